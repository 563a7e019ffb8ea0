"""What a policy's rules can be expected to say when nothing changed: each rule on each metric or band that it names, and all together."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil

from registry.planning import WANTED, critical_value, half_widths, joint_probability, needed_scale, pass_probability
from registry.policy import Policy
from registry.rules import Each, Rule
from registry.subjects import Subject

LIKELY = 0.5
"""Below it, a person will have to look in most cases even if nothing changed: a warning."""


@dataclass(frozen=True)
class Prospect:
    """One rule on one metric or band, when nothing changed.

    Attributes
    ----------
    rule : its name. half_width : of the interval, on average; of a band the widest. probability : of `pass`.
    most_width : of a search, half the width if every prompt gave the same list; None for all else.
    needed : how many `subject.unit` give probability WANTED; None where no number up to a million times the size does.
    """

    rule: str
    subject: Subject
    half_width: float
    probability: float
    needed: int | None
    most_width: float | None = None


@dataclass(frozen=True)
class Blocked:
    """A metric or band that a rule names and that has no value on these images, and why: the rule blocks, whatever changed."""

    rule: str
    name: str
    reason: str


@dataclass(frozen=True)
class Prospects:
    """All rules with a margin; floors and ceilings stand nowhere here. `unknown` : names of those about which no size is known."""

    rows: tuple[Prospect, ...]
    unknown: tuple[str, ...]
    blocked: tuple[Blocked, ...] = ()

    def of(self, rule: str) -> list[Prospect]:
        """The rows of one rule, the least likely first."""
        return sorted((row for row in self.rows if row.rule == rule), key=lambda row: (row.probability, -row.half_width))

    def together(self, rule: str = "") -> tuple[float, float, float]:
        """Probability that all rows (of one rule, or of all) pass: if independent, and the least and the most under any dependence."""
        passing = [row.probability for row in self.rows if rule in ("", row.rule)]
        return joint_probability(passing + [0.0 for row in self.blocked if rule in ("", row.rule)])


def prospects(policy: Policy, subjects: Iterable[Subject], missing: Iterable[tuple[str, Each | None, str]] = ()) -> Prospects:
    """What each rule can be expected to say about each of the subjects that it names.

    Parameters
    ----------
    policy : its rules with a margin count. subjects : from registry/subjects.py. missing : from its `unmeasured`.

    Examples
    --------
    >>> from registry.policy import load_policy
    >>> prospects(load_policy(), []).rows
    ()
    """
    known, absent = list(subjects), list(missing)
    rules = [rule for rule in policy.rules if rule.weighs]
    rows = tuple(_prospect(rule, subject) for rule in rules for subject in _about(rule, known))
    blocked = tuple(
        Blocked(rule.name, name, reason) for rule in rules for name, each, reason in absent if each == rule.each and rule.matches(name)
    )
    named = {row.rule for row in rows} | {row.rule for row in blocked}
    return Prospects(rows, tuple(rule.name for rule in rules if rule.name not in named), blocked)


def _about(rule: Rule, subjects: Sequence[Subject]) -> list[Subject]:
    return [subject for subject in subjects if subject.each == rule.each and rule.matches(subject.name)]


def _prospect(rule: Rule, subject: Subject) -> Prospect:
    assert rule.margin is not None
    assert rule.level is not None
    both_sides, noise = rule.kind == "equivalence", subject.noise
    probability = pass_probability(noise, margin=rule.margin, level=rule.level, both_sides=both_sides)
    scale = needed_scale(noise, margin=rule.margin, level=rule.level, both_sides=both_sides, wanted=WANTED)
    needed = None if scale is None else ceil(scale * subject.size)
    most = None if subject.most_error is None else critical_value(noise, rule.level) * subject.most_error
    return Prospect(rule.name, subject, float(half_widths(noise, rule.level).max()), probability, needed, most)


def draws_needed(policy: Policy) -> bool:
    """Whether a rule with a margin is about mean skew, for which searches have to be drawn."""
    return any(form.kind == "skew" for rule in policy.rules if rule.weighs for form in rule.forms())
