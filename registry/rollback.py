"""An alias of a production model back to the version before, with a reason: for the day on which what was approved turns out wrong.

The version before must still be what it was, and the approvals it went live with must be on record. That they have expired, or that the
policy has changed since, does not hold a rollback up: it stands as a warning in the record, and the audit asks for a new approval.
"""

import time
from pathlib import Path

from registry.approval import approval
from registry.cards import version_card
from registry.chain import Record, chain_faults, records_of
from registry.display import show_model
from registry.evidence import evidence_of
from registry.gate import gate
from registry.identity import identity_of
from registry.ledger import seal
from registry.moves import Move, PromotionRecord, moves_of, target, version_before
from registry.policy import Policy
from registry.production import Pin, check_unchanged, pin_for, pin_of, ruling_policy, trusted_experiments
from registry.promote import alias_target, check_alias, complete
from registry.record_facts import NONE, check_anchor, evidence_facts, evidence_files, runs_in, unfinished
from registry.review import active_run, check_text
from registry.slot import slot
from registry.weights import files_of


def rollback(
    production: str,
    *,
    alias: str = "champion",
    reason: str,
    policy: Policy | None = None,
    promoter: str = "",
    signing_key: Path | None = None,
    anchor: Path | None = None,
) -> PromotionRecord:
    """Move an alias back to the version that stood there before; the active run becomes the record.

    Parameters
    ----------
    production : the production model, or the candidates' model that it serves. alias : which one. reason : why.
    policy : None: the one that rules; another one is refused. promoter : who; "" where experiment or user tells.
    signing_key : an SSH key's file to sign with. anchor : a file that gets the chain's new head.

    Raises
    ------
    ValueError
        If nothing was promoted there, there is no version before, that version is not what it was, was rejected or has lost the approvals
        that it went live with, the promoter is not the right one, or there is no reason.
    Busy
        If another command is writing to this model's records, or took over.
    RuntimeError
        If the alias was moved elsewhere at the same moment.
    """
    check_alias(alias)
    check_text("reason", reason)
    run = active_run("rollback")
    pin = production_pin(production)
    rules = ruling_policy(pin.candidate, policy)
    who = identity_of(rules, "rollback", name=promoter, run=run, signing_key=signing_key)
    trusted = trusted_experiments(rules, pin)
    with slot(pin.candidate, run.info.run_id, trusted=trusted) as place:
        check_unchanged(pin.candidate, pin)
        records = records_of(pin.candidate, trusted=trusted)
        check_anchor(pin.candidate, records, anchor)
        now = alias_target(pin.production, alias)
        back = _version_before(records, pin, alias, now)
        card = version_card(f"models:/{pin.candidate}/{back.facts['version']}")
        evidence = evidence_of(card, rules, runs=runs_in(back.facts))
        result = gate(evidence, rules)
        now_ms = int(time.time() * 1000)
        approved = approval(card, evidence, rules, records, verdict=result.verdict, now_ms=now_ms)
        warnings = [row.reason for row in (*evidence.missing, *approved.missing)]
        warnings += chain_faults(records, pinned=(pin.length, pin.digest))
        move = Move(pin.production, alias, now, target(back))
        facts = {
            "model": card.name,
            "version": card.version,
            **move.facts(card.name),
            "promoter": who.name,
            "reason": reason,
            "override": back.facts["override"],
            "review_runs": back.facts["review_runs"],
            "policy_next": rules.digest(),
            **evidence_facts(evidence, result, rules, who),
            # The runs that were approved, whether they can still be read or not.
            **{f"{side}_run": back.facts[f"{side}_run"] for side in ("candidate", "baseline", "comparison")},
            "warning": "; ".join(warnings)[:2000] or NONE,
            "unfinished": unfinished(records),
        }
        record = seal(place, "rollback", facts, evidence_files(evidence, result, rules), signing_key=signing_key)
        complete(place, record, move, rules, pin, [*records, record], anchor)
    notes = [note for name in dict.fromkeys((pin.production, card.name)) for note in show_model(name, [*records, record])]
    told = tuple(f"warning, on record: {row}" for row in warnings)
    return PromotionRecord.of(record, recorded=True, notes=(*told, *notes))


def production_pin(production: str) -> Pin:
    """What stands on the production model of this name, or on that of the candidates of this name.

    Raises
    ------
    ValueError
        If there is none.
    """
    name = production.removeprefix("models:/")
    pin = pin_of(name) or pin_for(name)
    if pin is None:
        raise ValueError(f"nothing was promoted to {production!r}: give the production model, such as toy-prod")
    return pin


def _version_before(records: list[Record], pin: Pin, alias: str, now: str) -> Record:
    """The record to go back to, of a version that still is what it was.

    Raises
    ------
    ValueError
        If there is none, or it may not be used.
    """
    where = f"alias {alias!r} of {pin.production}"
    moves = moves_of(records, pin.production, alias)
    if not moves:
        raise ValueError(f"no promotion of {where} is on record: there is nothing to go back to")
    back = version_before(moves, now)
    if back is None:
        raise ValueError(f"{where} points to version {now or 'none'}, and no other version stood there before: promote another one")
    which = f"version {target(back)} of {pin.production} ({pin.candidate} version {back.facts['version']})"
    files = files_of(pin.production, target(back))
    if (files.weights_sha256, files.files_sha256) != (back.facts["weights_sha256"], back.facts["files_sha256"]):
        raise ValueError(f"{which} is not what was promoted: its files have changed since. Promote another version")
    lost = _lost(records, back)
    if lost:
        raise ValueError(f"{where} cannot go back to {which}: {lost}. Review it again and promote it, or another version")
    return back


def _lost(records: list[Record], back: Record) -> str:
    """What became of the approvals that a version went live with; "" if they stand as they were and nobody has rejected it since."""
    by_run = {record.run_id: record for record in records}
    used = [by_run.get(run_id) for run_id in back.facts["review_runs"].split(",")]
    gone = [record for record in used if record is None or record.faults or record.facts.get("decision") != "approve"]
    if gone or not used:
        return "an approval that it went live with is gone or was altered"
    newest = max(record.sequence for record in used if record)
    own = [record for record in records if record.kind == "review" and record.sequence > newest]
    rejected = [
        record for record in own if record.facts.get("version") == back.facts["version"] and record.facts.get("decision") != "approve"
    ]
    return f"it was rejected since (run {rejected[-1].run_id})" if rejected else ""
