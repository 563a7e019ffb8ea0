"""Intervals held against a rule's margin: one finding for a metric, one for a band. Numbers in, findings out; nothing is estimated here."""

import math
from dataclasses import dataclass

from qbias.measure import harm_of
from qbias.records import Harm, Insufficient, Measured
from registry.findings import SEVERITY, Finding, Verdict, number_text
from registry.rules import Rule


@dataclass(frozen=True)
class Change:
    """One change with its interval, as a rule looks at it. `where`: class or group of a band."""

    where: str
    baseline: float | None
    candidate: float | None
    difference: float
    low: float
    high: float
    n: int


def weighed(rule: Rule, name: str, changes: list[Change], measured: Measured | Insufficient | None = None) -> Finding:
    """One metric's finding, or one band's about its worst entry.

    Parameters
    ----------
    rule : non-inferiority or equivalence. name : of the metric or band. changes : one, or all entries of the band.
    measured : of the candidate; what is insufficient blocks with its reason.

    Returns
    -------
    Finding: `pass` if every interval lies inside the margin, `block` if one lies wholly outside or is no interval, else `review`.
    """
    if isinstance(measured, Insufficient):
        return blocked(rule, name, f"{measured.reason}, so there is nothing to judge")
    if not changes:
        return blocked(rule, name, "no interval could be made")
    harm = _harm(rule, name)
    rows = [(*held(rule, change, harm), change) for change in changes]
    # The worst verdict first, then whose end reaches farthest past the margin.
    verdict, excess, change = max(rows, key=lambda row: (SEVERITY.index(row[0]), row[1]))
    reason = _reason(rule, verdict, harm)
    if len(rows) > 1:
        count = {known: sum(row[0] == known for row in rows) for known in SEVERITY}
        reason += f"; of {len(rows)} intervals that hold together {count['pass']} pass, {count['review']} undecided, {count['block']} fail"
    if not math.isfinite(excess):
        return blocked(rule, name, "a value or an end of its interval is not a finite number", where=change.where)
    return Finding(
        rule.name, verdict, reason, kind=rule.kind, metric=name, where=change.where, candidate=_number(change.candidate),
        baseline=_number(change.baseline), difference=change.difference, low=change.low, high=change.high, margin=rule.margin,
        level=rule.level, n=change.n,
    )  # fmt: skip


def held(rule: Rule, change: Change, harm: Harm) -> tuple[Verdict, float]:
    """The verdict on one change, and by how much its interval reaches past the margin (0 and below: not at all).

    Equality with the margin is never inside: an interval that touches it is undecided. What is not finite or not in order blocks, with
    an infinite excess.
    """
    low, high, margin = change.low, change.high, rule.margin
    values = [low, high, change.difference, *(row for row in (change.baseline, change.candidate) if row is not None)]
    if margin is None or not all(map(math.isfinite, values)) or not low <= change.difference <= high:
        return "block", math.inf
    downwards, upwards = -low, high
    if rule.kind == "equivalence":
        excess, outside = max(downwards, upwards) - margin, low > margin or high < -margin
    else:
        reach, least = (upwards, low) if harm == "higher" else (downwards, -high)
        excess, outside = reach - margin, least > margin
    return ("pass" if excess < 0 else "block" if outside else "review"), excess


def _harm(rule: Rule, name: str) -> Harm:
    """The harmful direction: of a logged metric its own, of a band that of its form."""
    harms: set[Harm] = {form.harm for form in rule.forms()} if rule.each else {"none"} if "/gap_at_" in name else {harm_of(name)}
    assert len(harms) == 1 or rule.kind == "equivalence"
    return harms.pop()


def _reason(rule: Rule, verdict: Verdict, harm: Harm) -> str:
    """One sentence about an interval and a margin."""
    margin = number_text(rule.margin)
    if rule.kind == "equivalence":
        told: dict[Verdict, str] = {
            "pass": f"the whole interval lies within {margin} of no change",
            "review": f"the interval reaches past {margin}, but does not lie wholly beyond it",
            "block": f"the whole interval lies more than {margin} from no change",
        }
        return told[verdict]
    what = "rise" if harm == "higher" else "loss"
    told = {
        "pass": f"the interval rules out a {what} of {margin}",
        "review": f"the interval holds both a {what} of {margin} and less",
        "block": f"the interval rules out every {what} of {margin} or less",
    }
    return told[verdict]


def blocked(rule: Rule, name: str, reason: str, *, where: str = "") -> Finding:
    """A rule that cannot be judged blocks."""
    margin = rule.margin if rule.weighs else rule.limit
    return Finding(rule.name, "block", reason, kind=rule.kind, metric=name, where=where, margin=margin, level=rule.level)


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value
