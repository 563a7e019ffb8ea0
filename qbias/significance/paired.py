"""The paper's test: whether the mean over models changed between baseline and candidate."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from qbias.records import Insufficient

NEEDED = 3
"""Fewest models for a t-test: with two, one degree of freedom makes an interval that is 12.7 standard errors wide on each side."""
ROUNDING = 16.0
"""Differences this many units of floating-point rounding apart are equal: .81 - .80 and .71 - .70 differ by one such unit."""


@dataclass(frozen=True)
class PairedTest:
    """A two-sided paired t-test over models, with the values it was made from.

    Attributes
    ----------
    name : what was tested.
    baseline, candidate : the metric's value by model.
    differences : candidate - baseline by model.
    n : models. mean_difference, spread : mean and standard deviation (n - 1) of the differences.
    ci_low, ci_high : interval of the mean difference at `confidence`.
    t, df, p : statistic, degrees of freedom (n - 1) and two-sided p-value, in [0, 1].
    """

    name: str
    baseline: Mapping[str, float]
    candidate: Mapping[str, float]
    differences: Mapping[str, float]
    n: int
    mean_difference: float
    spread: float
    ci_low: float
    ci_high: float
    confidence: float
    t: float
    df: int
    p: float


def paired_t(
    baseline: Mapping[str, float], candidate: Mapping[str, float], *, name: str, confidence: float = 0.95
) -> PairedTest | Insufficient:
    """Two-sided paired t-test of the mean difference candidate - baseline over models.

    ``t = m / (s / sqrt(n))`` with n - 1 degrees of freedom; m and s are mean and standard deviation of the differences, and the
    interval is ``m -+ t_q * s / sqrt(n)``. A mean of 0 means that the models moved as far up as down; a large p is not evidence
    that none moved.

    Differences that are all zero give mean 0, interval [0, 0], t = 0 and p = 1: nothing changed, so nothing speaks against "no
    change" (the formula itself gives 0/0). Differences that are all equal but not zero are insufficient: their spread of 0 would
    give an infinite t and p = 0, a certainty that comes from a metric moving in coarse steps, not from evidence. Equality is
    judged within floating-point rounding.

    Parameters
    ----------
    baseline, candidate : the metric's value by model name, the same models on both sides; any unit, both finite.
    name : what is tested; it stands in the result.
    confidence : of the interval, between 0 and 1.

    Returns
    -------
    PairedTest with finite numbers, or Insufficient for fewer than three models or differences that do not vary.

    Raises
    ------
    ValueError
        If the sides name different models, a value is not finite, or `confidence` is not between 0 and 1.

    References
    ----------
    Student (1908), The probable error of a mean.

    Examples
    --------
    >>> before = {"a": 0.10, "b": 0.20, "c": 0.30}
    >>> found = paired_t(before, {"a": 0.11, "b": 0.22, "c": 0.33}, name="gap")
    >>> found.n, round(found.mean_difference, 3), round(found.t, 3), round(found.p, 4)
    (3, 0.02, 3.464, 0.0742)
    """
    _check(baseline, candidate, name, confidence)
    difference_M = np.array([candidate[model] - baseline[model] for model in baseline], dtype=np.float64)
    n = len(difference_M)
    if n < NEEDED:
        return Insufficient(name, "a t-test across models needs at least three models", {"models": n, "needed": NEEDED})
    difference_M = _settled(difference_M, baseline, candidate)
    mean, spread, df = float(difference_M.mean()), float(difference_M.std(ddof=1)), n - 1
    if np.ptp(difference_M) == 0:
        mean, spread = float(difference_M[0]), 0.0
        if mean:
            reason = f"all {n} differences are {mean:.6g}: without spread there is no t-test"
            return Insufficient(name, reason, {"models": n, "distinct differences": 1})
    error = spread / n**0.5
    t = mean / error if error else 0.0
    half = float(stdtrit(df, (1 + confidence) / 2)) * error
    return PairedTest(
        name=name,
        baseline=dict(baseline),
        candidate={model: candidate[model] for model in baseline},
        differences=dict(zip(baseline, difference_M.tolist(), strict=True)),
        n=n,
        mean_difference=mean,
        spread=spread,
        ci_low=mean - half,
        ci_high=mean + half,
        confidence=confidence,
        t=t,
        df=df,
        p=float(2 * stdtr(df, -abs(t))),
    )


def _settled(difference_M: NDArray[np.float64], baseline: Mapping[str, float], candidate: Mapping[str, float]) -> NDArray[np.float64]:
    """The differences, with those that only rounding tells from zero set to zero, and all to one value where only rounding parts them."""
    scale = max(map(abs, [*baseline.values(), *candidate.values()]))
    step = ROUNDING * float(np.finfo(np.float64).eps) * scale
    settled_M = np.where(np.abs(difference_M) <= step, 0.0, difference_M)
    return np.full_like(settled_M, np.median(settled_M)) if np.ptp(settled_M) <= step else settled_M


def _check(baseline: Mapping[str, float], candidate: Mapping[str, float], name: str, confidence: float) -> None:
    """Refuse what has no paired test."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence={confidence} is not between 0 and 1: give 0.95 for a 95 % interval")
    if odd := sorted(set(baseline) ^ set(candidate)):
        raise ValueError(f"{name}: {', '.join(odd)} stand on one side only: a paired test needs both values of every model")
    for side in (baseline, candidate):
        for model, value in side.items():
            if not np.isfinite(value):
                raise ValueError(f"{name}: the value of {model} is {value}: leave out what could not be measured, on both sides")
