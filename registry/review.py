"""A named person's decision on a candidate's evidence, sealed into the active run as the next record of the model's chain.

What the decision rests on stands in the run's parameters, which MLflow does not let anyone change, and in `record.json`, which the next
record holds by its digest: version, weights, decision, who and why, the gate's verdict and findings, evidence and policy as they were.
"""

from dataclasses import dataclass
from pathlib import Path

import mlflow
from mlflow.entities import Run

from qbias.tables import pick
from registry import anchor as anchors
from registry.approval import overrides, reviews_of
from registry.cards import VersionCard
from registry.chain import Record, records_of
from registry.display import show_model, show_version
from registry.evidence import Evidence, evidence_of
from registry.gate import GateResult, gate
from registry.identity import identity_of, registrar_fault
from registry.ledger import PARAM_LENGTH, seal
from registry.policy import Policy
from registry.production import pin_for, ruling_policy, trusted_experiments
from registry.record_facts import check_anchor, evidence_facts, evidence_files, unfinished
from registry.slot import slot

DECISIONS = {"approve": "approve", "reject": "reject"}
WAIT_S = 60.0
"""How long a review waits for another command that writes to the same chain: two reviewers at once are no conflict."""


@dataclass(frozen=True)
class Decision:
    """A review as it was recorded. notes : what could not be shown on MLflow's pages for lack of rights."""

    record: Record
    result: GateResult
    notes: tuple[str, ...]


def review(
    card: VersionCard,
    *,
    decision: str,
    reviewer: str,
    reason: str,
    policy: Policy | None = None,
    override: bool = False,
    signing_key: Path | None = None,
    anchor: Path | None = None,
) -> Decision:
    """Record a decision on a candidate in the active run, with the evidence and the gate's findings as they are now.

    What the gate passes or leaves to a person can be approved with a reason. A `block` can only be rejected, or approved with `override`,
    which is recorded as such and counts together with the override of a second person.

    Parameters
    ----------
    card : the candidate's version. decision : `approve` or `reject`.
    reviewer, reason : who decides and why; free text of at most 6,000 characters.
    policy : what the evidence is held to; None: the one that rules. override : approve although the gate blocks.
    signing_key : an SSH key's file to sign with. anchor : a file that gets the chain's new head.

    Raises
    ------
    ValueError
        If the decision is unknown, reviewer or reason is empty or too long, the version is a baseline, no run is active, the policy does
        not rule, the reviewer may not decide, or a candidate that the gate blocks is approved without `override`. Nothing is recorded.
    Busy
        If another command keeps writing to this model's records.
    """
    pick(DECISIONS, decision, what="decision")
    for what, text in (("reviewer", reviewer), ("reason", reason)):
        check_text(what, text)
    refuse_baseline(card)
    run = active_run("review")
    rules = ruling_policy(card.name, policy)
    who = identity_of(rules, "review", name=reviewer, run=run, signing_key=signing_key)
    if fault := registrar_fault(rules, card, who.name):
        raise ValueError(fault)
    evidence = evidence_of(card, rules)
    result = gate(evidence, rules)
    _check_override(card, evidence, result, approve=decision == "approve", override=override)
    trusted = trusted_experiments(rules, pin_for(card.name))
    with slot(card.name, run.info.run_id, trusted=trusted, wait_s=WAIT_S) as place:
        before = records_of(card.name, trusted=trusted)
        check_anchor(card.name, before, anchor)
        facts = {
            "model": card.name,
            "version": card.version,
            "decision": decision,
            "reviewer": who.name,
            "reason": reason,
            "override": str(override).lower(),
            **evidence_facts(evidence, result, rules, who),
            "unfinished": unfinished(before),
        }
        record = seal(place, "review", facts, evidence_files(evidence, result, rules), signing_key=signing_key)
    if anchor:
        anchors.append(anchor, card.name, record.sequence, record.digest)
    return Decision(record, result, tuple(_shown(card, result, [*before, record], evidence.comparison_run)))


def show_gate(card: VersionCard, policy: Policy | None = None) -> GateResult:
    """The gate's findings on a candidate as they are now, logged on the active run as kind `gate`: nobody's decision, and no record."""
    refuse_baseline(card)
    active_run("review")
    rules = ruling_policy(card.name, policy)
    evidence = evidence_of(card, rules)
    result = gate(evidence, rules)
    for path, content in evidence_files(evidence, result, rules).items():
        mlflow.log_text(content.decode(), path)
    tags = {"model": card.name, "version": card.version, "gate": result.verdict, "policy_digest": rules.digest(), "kind": "gate"}
    mlflow.set_tags({f"qbias.{name}": value for name, value in tags.items()})
    return result


def refuse_baseline(card: VersionCard) -> None:
    """Refuse a baseline: it is what candidates are compared with, so there is no comparison that anyone could judge.

    Raises
    ------
    ValueError
        If the version is its own baseline, or has none.
    """
    if not card.baseline_version:
        raise ValueError(f"{card.name} version {card.version} names no baseline, so nothing can be compared: register it with qbias")
    if card.version == card.baseline_version:
        raise ValueError(
            f"{card.name} version {card.version} is a baseline: candidates are compared with it, and it with "
            "nothing. Give one of the quantized versions"
        )


def check_text(what: str, text: str) -> None:
    """Refuse free text that a run's parameter cannot hold as it is.

    Raises
    ------
    ValueError
        If it is blank, longer than 6,000 characters, or holds characters that a database cannot store.
    """
    if not text.strip():
        raise ValueError(f"{what} is empty: a decision needs a {what}, pass -P {what}=...")
    if len(text) > PARAM_LENGTH:
        raise ValueError(f"{what} has {len(text)} characters, MLflow keeps {PARAM_LENGTH}: shorten it, and put details in a document")
    if any(sign == "\0" or "\ud800" <= sign <= "\udfff" for sign in text):
        raise ValueError(f"{what} holds bytes that are no text: type it again in UTF-8")


def active_run(verb: str) -> Run:
    """The run that the verb writes into.

    Raises
    ------
    ValueError
        If there is none.
    """
    run = mlflow.active_run()
    if run is None:
        raise ValueError(f"{verb} writes into the active MLflow run and there is none: call it inside 'with mlflow.start_run():'")
    return run


def _check_override(card: VersionCard, evidence: Evidence, result: GateResult, *, approve: bool, override: bool) -> None:
    if override and not (approve and result.verdict == "block"):
        raise ValueError(
            f"override=true is for approving what the gate blocks; the gate's verdict on {card.name} version {card.version} is "
            f"{result.verdict!r}, and this {'approves' if approve else 'rejects'} it: leave override out"
        )
    if approve and result.verdict == "block" and not override:
        raise ValueError(_blocked(card, evidence, result))


def _blocked(card: VersionCard, evidence: Evidence, result: GateResult) -> str:
    """Why a candidate cannot be approved, and the commands that would help."""
    rows = [f"- {reason}" for reason in result.reasons("block")]
    remedies = list(dict.fromkeys(row.remedy for row in evidence.missing))
    steps = ["First run:", *(f"  {remedy}" for remedy in remedies)] if remedies else []
    return "\n".join([f"{card.name} version {card.version} cannot be approved, the gate blocks it:", *rows, *steps])


def shown_tags(record: Record) -> dict[str, str]:
    """What the tags of a version say about the newest record on it: the gate's verdict, the decision, and the comparison's run."""
    decision = record.facts.get("decision", "approve")
    said = f"{decision} (OVERRIDE)" if overrides(record) else decision
    return {"gate": record.facts.get("gate", ""), "review": said, "report_run": record.facts.get("comparison_run", "")}


def _shown(card: VersionCard, result: GateResult, records: list[Record], comparison: str) -> list[str]:
    """Tags and pages of the version and of the registered model; a note for each that this user may not edit."""
    tags, reviews = shown_tags(records[-1]), reviews_of(card, records)
    notes = show_version(card.name, card.version, tags, result=result, reviews=reviews, comparison=comparison)
    return [*notes, *show_model(card.name, records)]
