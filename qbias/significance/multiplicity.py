"""Corrections for making many tests: Holm (family-wise error) and Benjamini-Hochberg (false discovery rate)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit


@dataclass(frozen=True)
class Corrected:
    """One test's p-value beside its corrected ones, with the family they belong to.

    Attributes
    ----------
    p : as the test gave it. holm, bh : corrected, each at least p and at most 1. family, size : of how many declared tests.
    """

    p: float
    holm: float
    bh: float
    family: str
    size: int


@dataclass(frozen=True)
class FirstStep:
    """What the smallest p-value of a family has to reach for Holm to reject anything at all.

    Attributes
    ----------
    size : tests of the family. df : degrees of freedom of each t-test. alpha : family-wise error rate.
    p, t : largest p and smallest absolute t that pass.
    smallest_exact_p : smallest p that a test by sign flips of df + 1 models reaches.
    """

    size: int
    df: int
    alpha: float
    p: float
    t: float
    smallest_exact_p: float

    @property
    def note(self) -> str:
        """The same in one sentence, for a report."""
        exact = "could" if self.smallest_exact_p <= self.p else "could not"
        return (
            f"With {self.size} tests and {self.df} degrees of freedom, Holm's correction at {self.alpha:g} needs p of at most "
            f"{self.p:.2g}, that is |t| of at least {self.t:.2f}; an exact sign-flip test of {self.df + 1} models reaches "
            f"p = {self.smallest_exact_p:.2g} at the smallest and so {exact} pass."
        )


def corrected(p_values: Mapping[str, float], *, family: str, size: int | None = None) -> dict[str, Corrected]:
    """Holm's and Benjamini-Hochberg's corrected p-values within one family.

    Sorted p_(1) <= ... <= p_(m): Holm is the running maximum of (m - i + 1) p_(i), Benjamini-Hochberg the running minimum from the
    end of m p_(i) / i, both at most 1. A corrected p of 1 means that the family as a whole gives no reason to look at this test.

    A test that was declared but could not be made still belongs to the family: it counts as p = 1, so that a family does not
    become smaller, and its results stronger, because data is missing. Equal p-values get equal corrected ones.

    Parameters
    ----------
    p_values : p in [0, 1] by test name.
    family : what the tests have in common.
    size : tests declared (default: those given).

    Returns
    -------
    One Corrected per given test, in the given order.

    Raises
    ------
    ValueError
        If a p-value is outside [0, 1] or not a number, or `size` is smaller than the number of tests.

    References
    ----------
    Holm (1979), Scandinavian Journal of Statistics 6. Benjamini and Hochberg (1995), JRSS B 57.

    Examples
    --------
    >>> found = corrected({"a": 0.01, "b": 0.04}, family="two gaps", size=3)
    >>> round(found["a"].holm, 3), round(found["b"].holm, 3), round(found["b"].bh, 3)
    (0.03, 0.08, 0.06)
    """
    declared = len(p_values) if size is None else size
    if declared < len(p_values):
        raise ValueError(f"size={declared} is below the {len(p_values)} tests given: a family holds all tests declared for it")
    for name, p in p_values.items():
        if not 0 <= p <= 1:
            raise ValueError(f"{name}: p={p} is outside 0 to 1")
    if not p_values:
        return {}
    # Not at the top: importing scipy.stats takes longer than everything else here.
    from scipy.stats import false_discovery_control

    padded = np.array([*p_values.values(), *[1.0] * (declared - len(p_values))])
    rows = zip(p_values.items(), _holm(padded), false_discovery_control(padded, method="bh"), strict=False)
    return {name: Corrected(p, float(first), float(second), family, declared) for (name, p), first, second in rows}


def _holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Here because the library's own collects garbage at each call, which in a study's process takes longer than all else it does."""
    order = np.argsort(p_values, kind="stable")
    steps = np.maximum.accumulate(p_values[order] * np.arange(len(order), 0, -1))
    found = np.empty_like(p_values)
    found[order] = np.minimum(steps, 1)
    return found


def first_step(size: int, *, df: int, alpha: float = 0.05) -> FirstStep:
    """What Holm's first step asks of the smallest p-value of a family of two-sided t-tests.

    Holm rejects nothing unless the smallest p is at most alpha / size. A t-test's p has no lower bound; a sign-flip test's has, two
    of 2^n sign patterns, so with few models it can never pass.

    Parameters
    ----------
    size : tests in the family, at least 1.
    df : degrees of freedom, number of models - 1, at least 1.
    alpha : family-wise error rate, between 0 and 1.

    Returns
    -------
    FirstStep.

    Raises
    ------
    ValueError
        If an argument is outside its range.

    References
    ----------
    Holm (1979), Scandinavian Journal of Statistics 6.

    Examples
    --------
    >>> step = first_step(66, df=7)
    >>> round(step.t, 2), round(step.p, 6), step.smallest_exact_p
    (5.67, 0.000758, 0.0078125)
    """
    if size < 1 or df < 1 or not 0 < alpha < 1:
        raise ValueError(f"size={size}, df={df}, alpha={alpha}: size and df are at least 1, alpha is between 0 and 1")
    needed = alpha / size
    return FirstStep(size, df, alpha, needed, float(stdtrit(df, 1 - needed / 2)), 2.0**-df)
