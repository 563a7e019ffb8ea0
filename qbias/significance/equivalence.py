"""Whether a change is small enough not to matter, and intervals that hold together for a whole family."""

import math
from collections.abc import Mapping

from scipy.special import stdtr, stdtrit

from qbias.records import Harm
from qbias.significance.paired import PairedTest
from qbias.significance.records import Equivalence


def equivalence(test: PairedTest, *, margin: float, harm: Harm, alpha: float = 0.05) -> Equivalence:
    """Two one-sided t-tests (TOST) of the mean difference against ``-margin`` and ``+margin``.

    ``p = P(T <= (|m| - margin) / e)``, e = spread / sqrt(n): the larger of both one-sided p-values. A small p is evidence that the mean
    change over models is smaller than the margin, which a large p of a t-test never is. ``smallest_margin = |m| + t_(1 - alpha) e``
    closes the question for every other margin. Non-inferior: only the test on the side that hurts has to pass.

    Where no model's value changed there is no spread: p = 0, the limit of ever smaller changes, [low, high] = [0, 0] and the smallest
    margin is 0. (Differences that are equal but not 0 have no PairedTest.)

    Parameters
    ----------
    test : differences over models. margin : largest change that does not matter, in the metric's unit, above 0.
    harm : which direction of change hurts; `none` gives `non_inferior` None.
    alpha : error rate of each one-sided test, between 0 and .5.

    Returns
    -------
    Equivalence.

    Raises
    ------
    ValueError
        If `margin` is not a number above 0, or `alpha` is outside its range.

    References
    ----------
    Schuirmann (1987), Journal of Pharmacokinetics and Biopharmaceutics 15.

    Examples
    --------
    >>> from qbias.significance import paired_t
    >>> test = paired_t({"a": 0.0, "b": 0.0, "c": 0.0}, {"a": 0.01, "b": 0.02, "c": 0.03}, name="gap")
    >>> found = equivalence(test, margin=0.05, harm="higher")
    >>> found.equivalent, round(found.p, 4), round(found.smallest_margin, 4), found.non_inferior
    (True, 0.0175, 0.0369, True)
    """
    check_margin(margin, test.name)
    check_alpha(alpha)
    error, mean = test.spread / test.n**0.5, test.mean_difference
    half = float(stdtrit(test.df, 1 - alpha)) * error
    above, below = (_p_beyond(test.df, shift - margin, error) for shift in (mean, -mean))
    hurts: dict[Harm, bool | None] = {"higher": above <= alpha, "lower": below <= alpha, "none": None}
    p = max(above, below)
    return Equivalence(margin, alpha, p, p <= alpha, mean - half, mean + half, abs(mean) + half, hurts[harm])


def simultaneous_intervals(tests: Mapping[str, PairedTest], *, size: int, alpha: float = 0.05) -> dict[str, tuple[float, float]]:
    """Bonferroni intervals: with probability 1 - alpha at least, every one of a family holds its mean difference.

    Each is a t interval at 1 - alpha / size. Holm's correction, which the p-values get, defines no intervals. A test that was declared
    but could not be made still counts in `size`.

    Parameters
    ----------
    tests : by name. size : tests declared in the family. alpha : error rate of the family, between 0 and .5.

    Returns
    -------
    (low, high) by name, in the given order.

    Raises
    ------
    ValueError
        If `size` is below the number of tests or `alpha` is outside its range.

    Examples
    --------
    >>> from qbias.significance import paired_t
    >>> test = paired_t({"a": 0.0, "b": 0.0, "c": 0.0}, {"a": 0.01, "b": 0.02, "c": 0.03}, name="gap")
    >>> [round(end, 4) for end in simultaneous_intervals({"gap": test}, size=2)["gap"]]
    [-0.0158, 0.0558]
    """
    check_alpha(alpha)
    if size < len(tests):
        raise ValueError(f"size={size} is below the {len(tests)} tests given: a family holds all tests declared for it")
    found = {}
    for name, test in tests.items():
        half = -float(stdtrit(test.df, alpha / (2 * size))) * test.spread / test.n**0.5
        found[name] = (test.mean_difference - half, test.mean_difference + half)
    return found


def check_margin(margin: float, name: str) -> None:
    """Refuse a margin that is not a number above 0."""
    if not (margin > 0 and math.isfinite(margin)):
        raise ValueError(f"{name}: margin={margin}: give the largest change that does not matter, a number above 0 in the metric's unit")


def check_alpha(alpha: float) -> None:
    """Refuse an error rate outside (0, .5)."""
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha={alpha} is not between 0 and 0.5: give 0.05 for an error rate of 5 %")


def _p_beyond(df: int, distance: float, error: float) -> float:
    """One-sided p of the mean lying as far inside the margin as `distance` (below 0: inside)."""
    return float(stdtr(df, distance / error)) if error else float(distance >= 0)
