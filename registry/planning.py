"""What a rule can be expected to say when nothing changed, from sizes and churn alone. Formulas; no data, no store.

What is assumed, everywhere in this file:

- churn is the share of images (persons, queries) whose hit or miss changes between the two versions; it is the same in every stratum;
- nothing changed: a change is a gain or a loss with probability one half, independently of all others;
- a sum of many such changes is normal, given how many there were; how many there were is averaged over (a gamma distribution with the
  mean and the variance of the binomials);
- the gate's interval is ``change -+ c error`` with the error of qbias/significance/bootstrap.py, its smoothing included, and c the normal
  quantile, or Sidak's for a band. Resampled quantiles are a little larger where few flip.

tests/test_planning.py holds these formulas against the gate's own statistics on drawn outcomes.

Shapes: T statistics judged together (classes or groups of a band; 1 for a number by itself), S strata, Q points of a quadrature.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaincinv, ndtr, ndtri

Floats = NDArray[np.float64]

POINTS = (np.arange(64) + 0.5) / 64
"""Quantiles at which the number of changed images is taken."""
TINY = 1e-300
"""Instead of a variance of 0, where the change is 0 too."""
WANTED = 0.8
"""Probability of `pass` that the sizes are worked out for."""
MOST = 1e6
"""Beyond so many times the planned sizes no answer is given."""
JOINT_DRAWS, JOINT_SEED = 20_000, 20240611
"""Of the normal draws behind the probability that correlated statistics lie inside together."""


@dataclass(frozen=True)
class Noise:
    """How changes vary when nothing changed.

    Attributes
    ----------
    variance_T : of each change. spread_T : variance of its estimate. extra_T : what smoothing adds to the estimate.
    correlation_TT : of the changes; None for independent ones.
    """

    variance_T: Floats
    spread_T: Floats
    extra_T: Floats
    correlation_TT: Floats | None = None

    def at(self, scale: float) -> "Noise":
        """The same with `scale` times as many images in every stratum (for skew: lists `scale` times as long)."""
        return Noise(self.variance_T / scale, self.spread_T / scale**3, self.extra_T / scale**2, self.correlation_TT)

    def of(self, place: int) -> "Noise":
        """One of the statistics by itself."""
        one = np.s_[place : place + 1]
        return Noise(self.variance_T[one], self.spread_T[one], self.extra_T[one])

    @property
    def error_T(self) -> Floats:
        """Standard error that the gate will see, on average."""
        return np.asarray(np.sqrt(self.variance_T + self.extra_T))


def flip_noise(size_S: ArrayLike, weight_TS: ArrayLike, *, churn: float, smoothing: float) -> Noise:
    """Noise of sums over strata, ``sum_s weight_s (gained_s - lost_s)``: accuracies, gaps, recalls.

    ``variance = churn sum_s weight_s^2 size_s``. 0 where no image can flip.

    Parameters
    ----------
    size_S : images of each stratum. weight_TS : such as 1 / images of the stratum's group. churn : above 0, below 1.
    smoothing : images added to the gained and to the lost of each stratum, as `studentized` does.

    Returns
    -------
    Noise of T independent statistics.

    Examples
    --------
    >>> flip_noise([25, 25], [[1 / 25, -1 / 25]], churn=0.05, smoothing=0.25).variance_T.round(4).tolist()
    [0.004]
    """
    size, square_TS = np.asarray(size_S, dtype=np.float64), np.asarray(weight_TS, dtype=np.float64) ** 2
    # The estimate's expectation: size (churn size + 2 smoothing) / (size + 2 smoothing), less what is there without smoothing.
    extra_S = 2 * smoothing * size * (1 - churn) / (size + 2 * smoothing)
    return Noise(square_TS @ (churn * size), square_TS**2 @ (churn * (1 - churn) * size), square_TS @ extra_S)


def critical_value(noise: Noise, level: float) -> float:
    """How many standard errors each interval reaches to one side, so that all of them hold with probability `level`.

    Sidak's for independent statistics (the normal quantile for one), a quantile of the largest of joint normal draws for correlated ones.

    Examples
    --------
    >>> independent = Noise(np.ones(52), np.ones(52), np.zeros(52))
    >>> round(critical_value(independent, 0.95), 2), round(critical_value(independent.of(0), 0.95), 2)
    (3.29, 1.96)
    """
    if noise.correlation_TT is None or len(noise.variance_T) == 1:
        return float(ndtri((1 + level ** (1 / len(noise.variance_T))) / 2))
    return float(np.quantile(np.abs(_joint_draws(noise)).max(axis=0), level))


def half_widths(noise: Noise, level: float) -> Floats:
    """Half the width of each interval, (T,), on average."""
    return critical_value(noise, level) * noise.error_T


def pass_probability(noise: Noise, *, margin: float, level: float, both_sides: bool) -> float:
    """Probability that every interval lies inside the margin when nothing changed.

    Given a number of changed images the interval has a known width and the change is normal: ``P(|change| + c error <= margin)`` for both
    sides, ``P(change + c error <= margin)`` for one. Independent statistics multiply; correlated ones are drawn jointly.

    Parameters
    ----------
    noise : of the T changes. margin : above 0, in the metric's unit. level : confidence of the interval, or of the whole band.
    both_sides : equivalence; else non-inferiority, which looks at the harmful end alone.

    Returns
    -------
    0 to 1.

    Examples
    --------
    >>> one = flip_noise([50_000], [[1 / 50_000]], churn=0.05, smoothing=0.5)
    >>> round(pass_probability(one, margin=0.01, level=0.95, both_sides=False), 3)
    1.0
    >>> gap = flip_noise([25, 25], [[1 / 25, -1 / 25]], churn=0.05, smoothing=0.25)
    >>> round(pass_probability(gap, margin=0.02, level=0.95, both_sides=True), 3)
    0.0
    """
    critical = critical_value(noise, level)
    if noise.correlation_TT is not None:
        return _together(noise, margin - critical * noise.error_T, both_sides=both_sides)
    shape_T = noise.variance_T**2 / noise.spread_T
    variance_TQ = np.maximum(gammaincinv(shape_T[:, None], POINTS) * (noise.spread_T / noise.variance_T)[:, None], TINY)
    room_TQ = margin - critical * np.sqrt(variance_TQ + noise.extra_T[:, None])
    inside_TQ = ndtr(room_TQ / np.sqrt(variance_TQ))
    if both_sides:
        inside_TQ = np.maximum(2 * inside_TQ - 1, 0)
    return float(inside_TQ.mean(axis=1).prod())


def _together(noise: Noise, room_T: Floats, *, both_sides: bool) -> float:
    """Share of joint normal draws in which every change, to both sides or to one, is at most its room."""
    change_TB = _joint_draws(noise) * np.sqrt(noise.variance_T)[:, None]
    return float(((np.abs(change_TB) if both_sides else change_TB) <= room_T[:, None]).all(axis=0).mean())


def _joint_draws(noise: Noise) -> Floats:
    """Standardized changes drawn jointly, (T, JOINT_DRAWS); always the same, so that probabilities grow with the margin."""
    assert noise.correlation_TT is not None
    value_T, vector_TT = np.linalg.eigh(noise.correlation_TT)
    root_TT = vector_TT * np.sqrt(np.maximum(value_T, 0))
    return np.asarray(root_TT @ np.random.default_rng(JOINT_SEED).standard_normal((len(value_T), JOINT_DRAWS)))


def needed_scale(noise: Noise, *, margin: float, level: float, both_sides: bool, wanted: float = WANTED) -> float | None:
    """How many times the planned sizes give probability `wanted` of a pass when nothing changed; below 1 where fewer would do.

    Returns
    -------
    The factor, by bisection to within 0.1 %; None where a million times would not do.
    """

    def enough(scale: float) -> bool:
        return pass_probability(noise.at(scale), margin=margin, level=level, both_sides=both_sides) >= wanted

    low, high = 1 / MOST, MOST
    if not enough(high):
        return None
    while high / low > 1.001:
        middle = (low * high) ** 0.5
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def joint_probability(probabilities: ArrayLike) -> tuple[float, float, float]:
    """Probability that all pass: if they were independent, and the least and the most that any dependence allows.

    Returns
    -------
    Product, ``max(0, 1 - sum(1 - p))`` and ``min p``; 1 three times where there is none.

    References
    ----------
    Frechet (1935), Fundamenta Mathematicae 25.

    Examples
    --------
    >>> [round(value, 2) for value in joint_probability([0.9, 0.8])]
    [0.72, 0.7, 0.8]
    """
    given = np.asarray(probabilities, dtype=np.float64)
    return float(given.prod()), max(0.0, 1 - float((1 - given).sum())), float(given.min(initial=1.0))
