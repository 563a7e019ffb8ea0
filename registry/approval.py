"""Whether a version is approved now: the decisions since the newest rejection, their age, who made them, and what they were about."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from registry.cards import VersionCard
from registry.chain import Record
from registry.commands import review_command
from registry.evidence import Evidence, Missing
from registry.identity import person, record_fault, registrar_fault
from registry.policy import Policy

DAY_MS = 24 * 60 * 60 * 1000
CLOCK_SLACK_MS = 5 * 60 * 1000
"""How far two machines' clocks may disagree before an approval counts as dated in the future."""
OVERRIDERS = 2
"""So many different people must override a gate that blocks."""


@dataclass(frozen=True)
class Approval:
    """The approvals that count, newest first, and what is missing: an approval is given if nothing is."""

    records: tuple[Record, ...]
    missing: tuple[Missing, ...]

    @property
    def given(self) -> bool:
        """Whether the version is approved."""
        return not self.missing


def approval(card: VersionCard, evidence: Evidence, policy: Policy, records: Sequence[Record], *, verdict: str, now_ms: int) -> Approval:
    """Whether the version is approved now, and by which records.

    Approved means: no rejection since, and approvals of as many different people as the policy asks for, each of a finished run, by a
    person who may sign and did not register the version, not expired, and about exactly this evidence and policy. If the gate blocks,
    only approvals that override it count, and of two people at least. A rejection counts even if its run did not finish; a decision
    that is not known, and a record that was altered, count as one.

    Parameters
    ----------
    card : the version. evidence : what is on record about it. policy : what it is held to.
    records : the model's chain, oldest first. verdict : the gate's, on this evidence under this policy.
    now_ms : the moment of asking, in milliseconds since 1970.
    """
    since: list[Record] = []
    rejected: Record | None = None
    for record in reversed(reviews_of(card, records)):
        if record.facts.get("decision") != "approve" or record.faults:
            rejected = record
            break
        if record.finished:
            since.append(record)
    counted = tuple(record for record in since if not _invalid(record, card, evidence, policy, verdict, now_ms))
    fault = _fault(since, counted, rejected, policy, verdict)
    if not fault:
        return Approval(counted, ())
    told = [_invalid(record, card, evidence, policy, verdict, now_ms) for record in since if record not in counted]
    reason = f"{card.name} version {card.version} is not approved: {'; '.join([fault, *told[:1]])}"
    return Approval(counted, (Missing("approval", reason, review_command(card.name, card.version)),))


def reviews_of(card: VersionCard, records: Sequence[Record]) -> list[Record]:
    """The decisions on a version, oldest first; a review record that cannot be read could be about any version."""
    reviews = [record for record in records if record.kind == "review" or not record.facts]
    return [record for record in reviews if record.facts.get("version", card.version) == card.version]


def overrides(record: Record) -> bool:
    """Whether a record overrides a gate that blocked."""
    return record.facts.get("override") == "true"


def _fault(since: list[Record], counted: tuple[Record, ...], rejected: Record | None, policy: Policy, verdict: str) -> str:
    people = {person(record.facts.get("reviewer", "")) for record in counted}
    needed = max(policy.sign_off.approvals, OVERRIDERS) if verdict == "block" else policy.sign_off.approvals
    if len(people) >= needed:
        return ""
    if not since and rejected:
        what = f"was altered ({rejected.faults[0]})" if rejected.faults else "rejects it"
        return f"the newest review {what} ({day(rejected)}, run {rejected.run_id})"
    if not since:
        return "it has no finished review"
    if verdict == "block":
        return f"the gate blocks it, and {len(people)} of {needed} people have overridden that"
    return f"{len(people)} of {needed} people have approved it"


def _invalid(record: Record, card: VersionCard, evidence: Evidence, policy: Policy, verdict: str, now_ms: int) -> str:
    """Why an approval does not count (any more); "" if it does."""
    run, facts = f"the approval of {day(record)} (run {record.run_id})", record.facts
    age_ms = now_ms - record.started_ms
    if fault := record_fault(record, policy) or registrar_fault(policy, card, facts.get("reviewer", "")):
        return f"{run} does not count: {fault}"
    if facts.get("policy_digest") != policy.digest():
        return f"{run} was given under another policy"
    if facts.get("evidence_digest") != evidence.digest or facts.get("weights_sha256") != card.weights_sha256:
        return f"{run} was given on other evidence: the version, an evaluation or the comparison has changed since"
    if verdict == "block" and not overrides(record):
        return f"{run} does not override the gate, which blocks"
    if age_ms > policy.sign_off.valid_days * DAY_MS:
        return f"{run} is older than {policy.sign_off.valid_days} days"
    return f"{run} is dated in the future" if age_ms < -CLOCK_SLACK_MS else ""


def day(record: Record) -> str:
    """The day on which a record's run began, in UTC."""
    return datetime.fromtimestamp(record.started_ms / 1000, tz=UTC).date().isoformat()
