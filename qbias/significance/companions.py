"""What stands beside the paper's t-test in the same row: effect size, exact tests that assume no normal distribution, and counts."""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from qbias.records import Insufficient
from qbias.significance.paired import NEEDED, ROUNDING
from qbias.significance.records import Companions

ENUMERATED = 16
"""Most models whose 2^n sign patterns are all tried; above, random patterns."""
CELLS = 2_000_000
"""Random signs held in memory at once."""


def companions(
    differences: Mapping[str, float], *, name: str, seed: int, draws: int = 100_000, scale: float = 1.0
) -> Companions | Insufficient:
    """Effect size, sign-flip test, Wilcoxon's signed-rank test and counts of one row of differences over models.

    ``d_z = J m / s``: mean over standard deviation (n - 1) of the differences, times Hedges' exact
    ``J = gamma(df / 2) / (sqrt(df / 2) gamma((df - 1) / 2))``, df = n - 1. 0 means no change on average. It is None where the spread
    is 0 and for fewer than three models, where J is 0.

    The sign-flip test asks how often the mean is at least as far from 0 if every difference's sign were a coin's: over all 2^n
    patterns for n of at most 16, else over `draws` random ones of which ``(hits + 1) / (draws + 1)`` is reported. Wilcoxon's test asks
    the same of the ranks of the absolute differences; differences of 0 are dropped (Wilcoxon's own rule), equal ones share their mean
    rank, and p is exact at every n, with ties too. Both give p = 1 where nothing changed. Whatever is equal within floating-point
    rounding is equal: such differences are tied, such sums count as reached, and one that only rounding tells from 0 is 0.

    Parameters
    ----------
    differences : candidate - baseline by model, finite.
    name : what is tested; it stands in the result.
    seed : of the random sign patterns; the result holds None where none were drawn.
    draws : random sign patterns above 16 models, at least 1.
    scale : largest absolute value that the differences were taken from, which decides what rounding is; 1 suits shares.

    Returns
    -------
    Companions (one model gives p = 1), or Insufficient where there is no model.

    Raises
    ------
    ValueError
        If a difference is not finite or `draws` is below 1.

    References
    ----------
    Hedges (1981), Journal of Educational Statistics 6. Fisher (1935), The Design of Experiments. Wilcoxon (1945), Biometrics Bulletin 1.

    Examples
    --------
    >>> found = companions({"a": 0.01, "b": 0.02, "c": 0.04, "d": -0.01}, name="gap", seed=1)
    >>> found.sign_flip_p, found.wilcoxon_p, round(found.d_z, 3), (found.up, found.down)
    (0.375, 0.375, 0.521, (3, 1))
    """
    if odd := {model: value for model, value in differences.items() if not math.isfinite(value)}:
        raise ValueError(f"{name}: {odd} are no numbers: leave out what could not be measured, and say so")
    if draws < 1:
        raise ValueError(f"{name}: draws={draws}: at least 1 random sign pattern is needed, 100,000 are usual")
    n = len(differences)
    if not n:
        return Insufficient(name, "no model has both values", {"models": 0})
    difference_M = np.array([*differences.values()], dtype=np.float64)
    step = ROUNDING * float(np.finfo(np.float64).eps) * max(scale, float(np.abs(difference_M).max()))
    difference_M = np.where(np.abs(difference_M) <= step, 0.0, difference_M)
    exact = n <= ENUMERATED
    return Companions(
        name=name,
        n=n,
        mean_difference=float(difference_M.mean()),
        d_z=_hedges(difference_M, step),
        sign_flip_p=_enumerated_p(difference_M, step) if exact else _drawn_p(difference_M, step, seed, draws),
        smallest_sign_flip_p=2.0 ** (1 - n) if exact else 1 / (draws + 1),
        sign_flip_method="exact" if exact else "monte carlo",
        draws=2**n if exact else draws,
        seed=None if exact else seed,
        wilcoxon_p=_wilcoxon_p(difference_M, step),
        up=int(np.count_nonzero(difference_M > 0)),
        down=int(np.count_nonzero(difference_M < 0)),
        unchanged=int(np.count_nonzero(difference_M == 0)),
    )


def _hedges(difference_M: NDArray[np.float64], step: float) -> float | None:
    df = len(difference_M) - 1
    if df + 1 < NEEDED or np.ptp(difference_M) <= step:
        return None
    correction = math.exp(gammaln(df / 2) - gammaln((df - 1) / 2)) / math.sqrt(df / 2)
    return float(correction * difference_M.mean() / difference_M.std(ddof=1))


def _enumerated_p(difference_M: NDArray[np.float64], step: float) -> float:
    """Share of all sign patterns whose sum is as far from 0 as the observed one. A pattern and its mirror image count alike."""
    sums = difference_M[:1]
    for difference in difference_M[1:]:
        sums = np.concatenate([sums + difference, sums - difference])
    return float(np.mean(np.abs(sums) >= abs(difference_M.sum()) - len(difference_M) * step))


def _drawn_p(difference_M: NDArray[np.float64], step: float, seed: int, draws: int) -> float:
    rng, n = np.random.default_rng(seed), len(difference_M)
    reached, least, chunk = 0, abs(difference_M.sum()) - n * step, max(1, CELLS // n)
    for start in range(0, draws, chunk):
        sign_BM = rng.integers(0, 2, size=(min(chunk, draws - start), n), dtype=np.int8) * 2 - 1
        reached += int(np.count_nonzero(np.abs(sign_BM @ difference_M) >= least))
    return (reached + 1) / (draws + 1)


def _wilcoxon_p(difference_M: NDArray[np.float64], step: float) -> float:
    """Exact two-sided p by adding the ranks one at a time to the distribution of the signed sum, in half ranks so that all are whole."""
    moved = difference_M[difference_M != 0]
    if not len(moved):
        return 1.0
    double_M = np.rint(2 * _midranks(np.abs(moved), step)).astype(np.int64)
    chance = np.ones(1)
    for double in double_M:  # chance[t]: that the ranks so far, each in the sum or not, add up to t half ranks
        chance = 0.5 * (np.pad(chance, (0, double)) + np.pad(chance, (double, 0)))
    observed = abs(2 * int(double_M[moved > 0].sum()) - int(double_M.sum()))
    distance = np.abs(2 * np.arange(len(chance)) - int(double_M.sum()))
    return min(1.0, float(chance[distance >= observed].sum()))


def _midranks(size_M: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """Ranks from 1, equal ones sharing their mean."""
    order = np.argsort(size_M, kind="stable")
    tie_M = np.concatenate([[0], np.cumsum(np.diff(size_M[order]) > step)])
    rank_M = np.empty(len(size_M))
    rank_M[order] = (np.bincount(tie_M, weights=np.arange(1, len(size_M) + 1)) / np.bincount(tie_M))[tie_M]
    return rank_M
