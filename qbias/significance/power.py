"""What a test over these models could have found, and how many models an equivalence test would need."""

from functools import lru_cache

import numpy as np
from scipy.optimize import brentq
from scipy.special import gammaincinv, gammaln, ncfdtr, ndtr, stdtrit

from qbias.significance.equivalence import check_alpha, check_margin
from qbias.significance.paired import NEEDED, PairedTest
from qbias.significance.records import Power

MOST_MODELS = 10_000
"""`models_needed` is None beyond: no catalogue will ever hold so many, so the margin is out of reach for this spread."""
NEVER = 1e-13
"""Probability of the spreads left out of the quadrature, at each end."""
NODES, WEIGHTS = np.polynomial.legendre.leggauss(64)


def power_of(test: PairedTest, *, alpha: float = 0.05, family_size: int = 1, power: float = 0.8, margin: float | None = None) -> Power:
    """Smallest mean difference that the t-test would find, and the number of models that an equivalence test would need.

    The observed spread is taken for the true one. The two-sided t-test rejects when ``F(1, n - 1; (delta sqrt(n) / s)^2)``, the
    squared noncentral t, passes its critical value; `smallest_detectable` is the delta at which that has probability `power`.
    Corrected: at alpha / family_size, what Bonferroni, and Holm for its smallest p, allow.

    models_needed: fewest n, 3 or more, at which two one-sided t-tests at alpha pass with probability `power` if the true mean
    difference is 0; None without a margin, and where more than 10,000 would be needed. Where no model's value changed the spread is 0: any
    difference would have been found (0), and 3 models suffice.

    Parameters
    ----------
    test : differences over models. alpha : error rate, between 0 and .5. family_size : tests declared in the family, at least 1.
    power : wanted probability, above alpha and below 1. margin : of the equivalence test, in the metric's unit, above 0.

    Returns
    -------
    Power.

    Raises
    ------
    ValueError
        If an argument is outside its range.

    References
    ----------
    Cohen (1988), Statistical Power Analysis. Phillips (1990), Journal of Pharmacokinetics and Biopharmaceutics 18.

    Examples
    --------
    >>> from qbias.significance import paired_t
    >>> test = paired_t({"a": 0.0, "b": 0.0, "c": 0.0}, {"a": -0.01, "b": 0.0, "c": 0.01}, name="gap")
    >>> found = power_of(test, family_size=6, margin=0.01)
    >>> round(found.smallest_detectable, 3), round(found.smallest_detectable_corrected, 3), found.models_needed
    (0.033, 0.08, 11)
    """
    check_alpha(alpha)
    if margin is not None:
        check_margin(margin, test.name)
    if family_size < 1 or not alpha < power < 1:
        raise ValueError(f"family_size={family_size}, power={power}: a family has at least 1 test; power is above alpha and below 1")
    error = test.spread / test.n**0.5
    needed = None if margin is None else _models_needed(margin, test.spread, alpha, power)
    plain, corrected = (error * _noncentrality(test.df, level, power) for level in (alpha, alpha / family_size))
    return Power(power, plain, corrected, needed)


@lru_cache(maxsize=256)
def _noncentrality(df: int, alpha: float, power: float) -> float:
    """The true mean, in standard errors, that a two-sided t-test finds with this probability."""
    critical = -float(stdtrit(df, alpha / 2))

    def short_of(noncentrality: float) -> float:
        return power - (1 - float(ncfdtr(1, df, noncentrality**2, critical**2)))

    high = 1.0
    while short_of(high) > 0:
        high *= 2
    return float(brentq(short_of, 0.0, high, xtol=1e-12))


def _tost_power(n: int, margin: float, spread: float, alpha: float) -> float:
    """Probability that both one-sided t-tests of n models pass if the true mean difference is 0.

    Given the ratio r of estimated to true spread they pass where |mean| is at most margin - t r e. That normal probability is averaged
    over r, whose square is chi-squared / df, by Gauss-Legendre quadrature over the r that occur and leave room.
    """
    df, critical, width = n - 1, float(stdtrit(n - 1, 1 - alpha)), margin * n**0.5 / spread
    low, high = np.sqrt(2 * gammaincinv(df / 2, [NEVER, 1 - NEVER]) / df)
    half = (min(high, width / critical) - low) / 2
    if half <= 0:
        return 0.0
    ratio = low + half * (NODES + 1)
    log_density = (df - 1) * np.log(ratio) - df * ratio**2 / 2 + df / 2 * np.log(df / 2) - gammaln(df / 2)
    passes = 2 * ndtr(width - critical * ratio) - 1
    return float(2 * half * (WEIGHTS @ (np.exp(log_density) * passes)))


def _models_needed(margin: float, spread: float, alpha: float, power: float) -> int | None:
    """Fewest models by bisection: the power grows with n once it is above alpha (below, few models can have a lucky small spread)."""
    if not spread or _tost_power(NEEDED, margin, spread, alpha) >= power:
        return NEEDED
    if _tost_power(MOST_MODELS, margin, spread, alpha) < power:
        return None
    low, high = NEEDED, NEEDED
    while _tost_power(high, margin, spread, alpha) < power:
        low, high = high, min(2 * high, MOST_MODELS)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _tost_power(middle, margin, spread, alpha) >= power else (middle, high)
    return high
