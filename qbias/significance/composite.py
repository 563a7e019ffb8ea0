"""One endpoint made of several tests: the largest change of any group."""

from collections.abc import Mapping
from dataclasses import dataclass

from qbias.records import Insufficient
from qbias.significance.equivalence import check_alpha, check_margin, equivalence, simultaneous_intervals
from qbias.significance.paired import PairedTest
from qbias.significance.records import Equivalence


@dataclass(frozen=True)
class LargestChange:
    """The largest mean change among groups, with what can be said of all groups together.

    Attributes
    ----------
    name : what was tested. n : models of the group that changed most.
    member, mean_difference : the group whose mean changed most, in absolute value, and its signed mean difference.
    ci_low, ci_high : its Bonferroni interval; at `confidence` the intervals of all groups hold together.
    p, p_member : Bonferroni p that any group changed, and the group with the smallest p, which need not be `member`.
    members, missing : all groups declared, and those without a test. tests : the tests by group.
    equivalence : every group is inside the margin (largest p of the groups); None without a margin or where a group is missing.
    """

    name: str
    n: int
    member: str
    mean_difference: float
    ci_low: float
    ci_high: float
    confidence: float
    p: float
    p_member: str
    members: tuple[str, ...]
    missing: tuple[str, ...]
    tests: Mapping[str, PairedTest]
    equivalence: Equivalence | None


def largest_change(
    tests: Mapping[str, PairedTest | Insufficient], *, name: str, alpha: float = 0.05, margin: float | None = None
) -> LargestChange | Insufficient:
    """The group whose mean changed most, the Bonferroni p of any change, and whether every group is equivalent.

    ``p = min(1, m * smallest p)`` over the m groups declared: choosing the group after seeing the data is paid for. The interval is the
    chosen group's at 1 - alpha / m. Equivalence of all is an intersection-union test: it passes if the group that is worst at it passes at
    alpha, without a correction. A mean difference of 0 means that no group changed on average. Equal changes go to the first group.

    A group without a test counts in m, and without it nothing is said about equivalence of all; the largest change is then that of the
    groups that have one, and `missing` names the others. No direction hurts: a largest change is a shift, so `non_inferior` is None.

    Parameters
    ----------
    tests : paired t-test of each group, or why there is none. name : of the endpoint.
    alpha : error rate, between 0 and .5. margin : largest change of a group that does not matter, above 0.

    Returns
    -------
    LargestChange, or Insufficient where no group has a test.

    Raises
    ------
    ValueError
        If `margin` is not a number above 0, or `alpha` is outside its range.

    References
    ----------
    Berger (1982), Technometrics 24 (intersection-union tests).

    Examples
    --------
    >>> from qbias.significance import paired_t
    >>> before = dict.fromkeys("abc", 0.0)
    >>> old = paired_t(before, {"a": 0.01, "b": 0.02, "c": 0.03}, name="old")
    >>> young = paired_t(before, {"a": -0.01, "b": 0.01, "c": 0.01}, name="young")
    >>> found = largest_change({"old": old, "young": young}, name="largest change", margin=0.05)
    >>> found.member, round(found.mean_difference, 3), round(found.p, 3), found.equivalence.equivalent
    ('old', 0.02, 0.148, True)
    """
    check_alpha(alpha)
    if margin is not None:
        check_margin(margin, name)
    made = {group: test for group, test in tests.items() if isinstance(test, PairedTest)}
    if not made:
        return Insufficient(name, "no group has a test over models", {"groups": len(tests), "with a test": 0})
    member = max(made, key=lambda group: abs(made[group].mean_difference))
    tested = min(made, key=lambda group: made[group].p)
    low, high = simultaneous_intervals({member: made[member]}, size=len(tests), alpha=alpha)[member]
    return LargestChange(
        name=name,
        n=made[member].n,
        member=member,
        mean_difference=made[member].mean_difference,
        ci_low=low,
        ci_high=high,
        confidence=1 - alpha,
        p=min(1.0, len(tests) * made[tested].p),
        p_member=tested,
        members=tuple(tests),
        missing=tuple(group for group in tests if group not in made),
        tests=made,
        equivalence=_all_equivalent(made, margin, alpha) if margin is not None and len(made) == len(tests) else None,
    )


def _all_equivalent(tests: Mapping[str, PairedTest], margin: float, alpha: float) -> Equivalence:
    """Intersection-union: every member's interval lies inside the margin."""
    rows = [equivalence(test, margin=margin, harm="none", alpha=alpha) for test in tests.values()]
    return Equivalence(
        margin=margin,
        alpha=alpha,
        p=max(row.p for row in rows),
        equivalent=all(row.equivalent for row in rows),
        low=min(row.low for row in rows),
        high=max(row.high for row in rows),
        smallest_margin=max(row.smallest_margin for row in rows),
        non_inferior=None,
    )
