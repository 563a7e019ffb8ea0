"""The only place that moves an alias: evidence, weights and approvals are checked at that moment, and a sealed record says what moved.

Whatever breaks off, the same command again completes it: the record comes before the alias, a record counts once its run has finished,
and what exists already (the copy in the production model, the alias) is found and used.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import mlflow
from mlflow import MlflowClient

from registry import anchor as anchors
from registry.approval import reviews_of
from registry.candidate import Candidate, candidate_of, check_approved
from registry.cards import VersionCard
from registry.chain import Record
from registry.display import show_model, show_version
from registry.identity import Identity, identity_of
from registry.ledger import seal
from registry.moves import Move, PromotionRecord, last_finished, moves_of, target
from registry.policy import Policy
from registry.production import (
    NEXT_POLICY_FILE,
    Pin,
    check_production,
    check_unchanged,
    in_production,
    pin_for,
    pin_tags,
    pinned_policy,
    production_name,
    registered,
    ruling_policy,
    trusted_experiments,
)
from registry.record_facts import NONE, evidence_facts, evidence_files, policy_file, unfinished
from registry.review import active_run, check_text, refuse_baseline, shown_tags
from registry.slot import Slot, slot

RESERVED = re.compile(r"latest|v\d+", re.IGNORECASE)


def promote(
    card: VersionCard,
    *,
    alias: str = "champion",
    policy: Policy | None = None,
    production: str = "prod",
    repin: bool = False,
    reason: str = "",
    promoter: str = "",
    signing_key: Path | None = None,
    anchor: Path | None = None,
) -> PromotionRecord:
    """Move an alias of the production model to a version whose evidence was approved as it is now; the active run becomes the record.

    Nothing is taken from the caller's knowledge: version, weights, evidence and reviews are read again.

    Parameters
    ----------
    card : the candidate's version. alias : the alias to move; it is created where it does not exist.
    policy : what evidence and approval are held to; None: the one that rules.
    production : `prod` promotes to `<name>-prod`, `same` to the candidate's own model (for one user; said in the record).
    repin : make `policy` the one that rules from now on. This promotion is held to the one that ruled until now, unless the alias
        stands there already and nothing moves; what is in production then needs a review and a promotion under the new policy.
    reason : why; needed with `repin`.
    promoter : who promotes; "" where experiment or user tells. signing_key : an SSH key's file to sign with.
    anchor : a file that gets the chain's new head.

    Raises
    ------
    ValueError
        If the alias cannot be one, the version is a baseline, the promoter or the policy is not the right one, the records are not whole,
        or evidence or approval is missing, changed or expired: the message lists all of it with the commands that help.
    Busy
        If another command is writing to this model's records, or took over.
    RuntimeError
        If the alias was moved elsewhere at the same moment.
    """
    check_alias(alias)
    refuse_baseline(card)
    run = active_run("promote")
    where = production_name(card.name, production)
    check_production(card.name, where)
    pin = pin_for(card.name)
    rules, following = _rules(card.name, policy, pin, repin=repin, reason=reason)
    who = identity_of(rules, "promotion", name=promoter, run=run, signing_key=signing_key)
    trusted = trusted_experiments(rules, pin)
    with slot(card.name, run.info.run_id, trusted=trusted) as place:
        check_unchanged(card.name, pin)
        found = candidate_of(card, rules, trusted=trusted, pin=pin, anchor=anchor)
        if not (repin and _stands_there(found, where, alias)):
            check_approved(found, rules, alias)
        move = Move(where, alias, alias_target(where, alias), in_production(found.card, where, found.files))
        if earlier := _same_promotion(found, move, following, pin):
            mlflow.set_tags({"qbias.promotion": "unchanged", "qbias.promotion_run": earlier.run_id})
            return PromotionRecord.of(earlier, recorded=False)
        facts = _facts(found, move, rules, who, reason=reason, following=following)
        files = evidence_files(found.evidence, found.result, rules) | policy_file(following, NEXT_POLICY_FILE)
        record = seal(place, "promotion", facts, files, signing_key=signing_key)
        complete(place, record, move, following, pin, [*found.records, record], anchor)
    return PromotionRecord.of(record, recorded=True, notes=_shown(found, move, record))


def _rules(name: str, policy: Policy | None, pin: Pin | None, *, repin: bool, reason: str) -> tuple[Policy, Policy]:
    """The policy that this promotion is held to, and the one that rules from then on: another one only with `repin`."""
    if reason:
        check_text("reason", reason)
    if not repin:
        rules = ruling_policy(name, policy)
        return rules, rules
    if policy is None:
        raise ValueError("repin=true changes the policy that rules: name the new one with -P policy=...")
    check_text("reason", reason)
    return _ruled(pin, policy), policy


def _ruled(pin: Pin | None, following: Policy) -> Policy:
    """The policy that ruled until now; the one that follows, where none did or it is lost, so that nobody can say who may change it."""
    try:
        return pinned_policy(pin) if pin else following
    except ValueError:
        return following


def _stands_there(found: Candidate, production: str, alias: str) -> bool:
    """Whether the alias points to this version, by a completed move, so that promoting it moves nothing."""
    last = last_finished(moves_of(found.records, production, alias))
    return last is not None and last.facts["version"] == found.card.version and target(last) == alias_target(production, alias)


def _facts(found: Candidate, move: Move, rules: Policy, who: Identity, *, reason: str, following: Policy) -> dict[str, str]:
    last = last_finished(moves_of(found.records, move.production, move.alias))
    reviews = [record.run_id for record in found.approved.records]
    return {
        "model": found.card.name,
        "version": found.card.version,
        **move.facts(found.card.name),
        "promoter": who.name,
        "reason": reason or NONE,
        "override": str(found.override).lower(),
        "review_runs": ",".join(reviews) if reviews or last is None else last.facts["review_runs"],
        "policy_next": following.digest(),
        **evidence_facts(found.evidence, found.result, rules, who),
        "unfinished": unfinished(list(found.records)),
    }


def _same_promotion(found: Candidate, move: Move, following: Policy, pin: Pin | None) -> Record | None:
    """The newest completed move of this alias, if it was this very promotion, the alias still stands there, and so does the policy."""
    moves = moves_of(found.records, move.production, move.alias)
    last = last_finished(moves)
    if last is None or last is not moves[-1] or move.from_version != move.to_version or pin is None:
        return None
    wanted = {"to_version": move.to_version, "evidence_digest": found.evidence.digest, "policy_next": following.digest()}
    reviews = ",".join(record.run_id for record in found.approved.records)
    same = all(last.facts.get(name) == value for name, value in wanted.items()) and last.facts.get("review_runs") == reviews
    pinned = pin.policy_digest == following.digest() and pin.length >= last.sequence
    return last if same and pinned else None


def complete(
    place: Slot, record: Record, move: Move, policy: Policy, pin: Pin | None, records: Sequence[Record], anchor: Path | None
) -> None:
    """What comes after a record of a move was sealed: anchor, alias, and what stands on the production model.

    Parameters
    ----------
    place : the slot, still held. record : sealed. move : as it says. policy : the one that rules from now on.
    pin : what stood on the production model. records : the whole chain, the new record too. anchor : file for the new head, or None.

    Raises
    ------
    Busy
        If the slot was taken over; nothing has moved.
    RuntimeError
        If the alias does not stand where it was set: MLflow has no compare-and-set for aliases.
    """
    if anchor:
        anchors.append(anchor, place.model, record.sequence, record.digest)
    place.check()
    client = MlflowClient()
    client.set_registered_model_alias(move.production, move.alias, move.to_version)
    now = alias_target(move.production, move.alias)
    if now != move.to_version:
        raise RuntimeError(
            f"alias {move.alias!r} of {move.production} was set to version {move.to_version} and now points to "
            f"{now or 'nothing'}: someone else moved it at this moment. Look at this model's records, then try again"
        )
    for tag, value in pin_tags(place.model, policy, (record.sequence, record.digest), records, pin).items():
        client.set_registered_model_tag(move.production, tag, value)


def check_alias(alias: str) -> None:
    """Refuse what MLflow would not take as an alias, before anything is read.

    Raises
    ------
    ValueError
        If it has other characters than letters, digits, `_` and `-`, or is reserved (`latest`, `v` with a number).
    """
    if not re.fullmatch(r"[\w\-]+", alias):
        raise ValueError(f"alias {alias!r} is not valid: use letters, digits, '_' and '-', such as 'champion'")
    if RESERVED.fullmatch(alias):
        raise ValueError(f"alias {alias!r} is reserved by MLflow ('latest', and 'v' with a number): use a word such as 'champion'")


def alias_target(model: str, alias: str) -> str:
    """The version that an alias points to; "" where there is no such alias or model."""
    found = registered(model)
    return str(found.aliases.get(alias, "")) if found else ""


def _shown(found: Candidate, move: Move, record: Record) -> tuple[str, ...]:
    """Tags and pages of the version in production and of both registered models; a note for each that this user may not edit."""
    records, reviews = [*found.records, record], reviews_of(found.card, found.records)
    tags, comparison = shown_tags(record), found.evidence.comparison_run
    notes = show_version(move.production, move.to_version, tags, result=found.result, reviews=reviews, comparison=comparison)
    names = dict.fromkeys((move.production, found.card.name))
    return (*notes, *(note for name in names for note in show_model(name, records)))
