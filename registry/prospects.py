"""What a policy's rules can be expected to say when nothing changed: each rule on each metric or band that it names, and all together."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil

from registry.planning import WANTED, half_widths, joint_probability, needed_scale, pass_probability
from registry.policy import Policy
from registry.rules import Rule
from registry.subjects import Subject

LIKELY = 0.5
"""Below it, a person will have to look in most cases even if nothing changed: a warning."""


@dataclass(frozen=True)
class Prospect:
    """One rule on one metric or band, when nothing changed.

    Attributes
    ----------
    rule : its name. half_width : of the interval, on average; of a band the widest. probability : of `pass`.
    needed : how many `subject.unit` give probability WANTED; None where no number up to a million times the size does.
    """

    rule: str
    subject: Subject
    half_width: float
    probability: float
    needed: int | None


@dataclass(frozen=True)
class Prospects:
    """All rules with a margin. `unknown` : names of those about which no size is known; floors and ceilings stand in neither."""

    rows: tuple[Prospect, ...]
    unknown: tuple[str, ...]

    def of(self, rule: str) -> list[Prospect]:
        """The rows of one rule, the least likely first."""
        return sorted((row for row in self.rows if row.rule == rule), key=lambda row: (row.probability, -row.half_width))

    def together(self, rule: str = "") -> tuple[float, float, float]:
        """Probability that all rows (of one rule, or of all) pass: if independent, and the least and the most under any dependence."""
        return joint_probability([row.probability for row in self.rows if rule in ("", row.rule)])


def prospects(policy: Policy, subjects: Iterable[Subject]) -> Prospects:
    """What each rule can be expected to say about each of the subjects that it names.

    Parameters
    ----------
    policy : its rules with a margin count. subjects : from registry/subjects.py.

    Examples
    --------
    >>> from registry.policy import load_policy
    >>> prospects(load_policy(), []).rows
    ()
    """
    known = list(subjects)
    rules = [rule for rule in policy.rules if rule.weighs]
    rows = [_prospect(rule, subject) for rule in rules for subject in _about(rule, known)]
    named = {row.rule for row in rows}
    return Prospects(tuple(rows), tuple(rule.name for rule in rules if rule.name not in named))


def _about(rule: Rule, subjects: Sequence[Subject]) -> list[Subject]:
    return [subject for subject in subjects if subject.each == rule.each and rule.matches(subject.name)]


def _prospect(rule: Rule, subject: Subject) -> Prospect:
    assert rule.margin is not None
    assert rule.level is not None
    both_sides, noise = rule.kind == "equivalence", subject.noise
    probability = pass_probability(noise, margin=rule.margin, level=rule.level, both_sides=both_sides)
    scale = needed_scale(noise, margin=rule.margin, level=rule.level, both_sides=both_sides, wanted=WANTED)
    needed = None if scale is None else ceil(scale * subject.size)
    return Prospect(rule.name, subject, float(half_widths(noise, rule.level).max()), probability, needed)


def draws_needed(policy: Policy) -> bool:
    """Whether a rule with a margin is about mean skew, for which searches have to be drawn."""
    return any(form.kind == "skew" for rule in policy.rules if rule.weighs for form in rule.forms())
