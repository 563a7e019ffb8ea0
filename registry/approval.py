"""Whether a version is approved now: the newest decision, its age, and what it was about."""

import unicodedata
from datetime import UTC, datetime

from registry.cards import VersionCard
from registry.commands import review_command
from registry.evidence import Evidence, Missing
from registry.policy import Policy
from registry.review import ReviewRecord, reviews_of

DAY_MS = 24 * 60 * 60 * 1000
CLOCK_SLACK_MS = 5 * 60 * 1000
"""How far two machines' clocks may disagree before an approval counts as dated in the future."""


def approval(card: VersionCard, evidence: Evidence, policy: Policy, *, now_ms: int) -> tuple[ReviewRecord | None, list[Missing]]:
    """The newest approval, if the version is approved now; else None and what is missing.

    Approved means: no rejection since, and approvals of as many different people as the policy asks for, each of a
    finished run, not expired, and about exactly this evidence and this policy. A rejection counts even if its run did
    not finish; a decision that is not known counts as one.

    Parameters
    ----------
    card : the version.
    evidence : what is on record about it now.
    policy : how many approvals are needed, and how many days they count.
    now_ms : the moment of asking, in milliseconds since 1970.

    Returns
    -------
    The newest approval and an empty list, or None and one entry that says what is missing.
    """
    since: list[ReviewRecord] = []
    rejected: ReviewRecord | None = None
    for record in reviews_of(card):
        if record.decision != "approve":
            rejected = record
            break
        if record.finished:
            since.append(record)
    fault = _fault(since, rejected, evidence, policy, now_ms)
    if fault:
        reason = f"{card.name} version {card.version} is not approved: {fault}"
        return None, [Missing("approval", reason, review_command(card.name, card.version))]
    return since[0], []


def _fault(since: list[ReviewRecord], rejected: ReviewRecord | None, evidence: Evidence, policy: Policy, now_ms: int) -> str | None:
    if not since:
        return f"the newest review rejects it ({_day(rejected)}, run {rejected.run_id})" if rejected else "it has no finished review"
    faults = [_invalid(record, evidence, policy, now_ms) for record in since]
    if faults[0]:
        return faults[0]
    people = {_person(record.reviewer) for record, fault in zip(since, faults, strict=True) if not fault}
    needed = policy.sign_off.approvals
    return f"{len(people)} of {needed} people have approved it" if len(people) < needed else None


def _invalid(record: ReviewRecord, evidence: Evidence, policy: Policy, now_ms: int) -> str | None:
    """Why an approval does not count (any more); None if it does."""
    run = f"the approval of {_day(record)} (run {record.run_id})"
    age_ms = now_ms - record.started_ms
    if record.policy_digest != policy.digest():
        return f"{run} was given under another policy"
    if record.evidence_digest != evidence.digest:
        return f"{run} was given on other evidence: the version, an evaluation or the comparison has changed since"
    if age_ms > policy.sign_off.valid_days * DAY_MS:
        return f"{run} is older than {policy.sign_off.valid_days} days"
    return f"{run} is dated in the future" if age_ms < -CLOCK_SLACK_MS else None


def _day(record: ReviewRecord) -> str:
    return datetime.fromtimestamp(record.started_ms / 1000, tz=UTC).date().isoformat()


def _person(name: str) -> str:
    """One spelling per name, so that `Ada ` and `ada` are one person."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())
