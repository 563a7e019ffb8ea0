"""Paired bootstrap of statistics that are sums over images, from counts: how many of each stratum were gained, lost or stayed.

Drawing n images with replacement and counting gains and losses is drawing these counts from a multinomial: B draws of S strata cost
B x S numbers, however many images there are. numpy and scipy only.

Shapes: N images (or positives), S strata, T statistics, B resamples, I clusters, P distinct patterns of clusters.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr, ndtri

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Real = NDArray[np.floating]
Random = np.random.Generator


@dataclass(frozen=True)
class Counts:
    """Per stratum: images that became hits, images that no longer are, and all images."""

    gained_S: Ints
    lost_S: Ints
    size_S: Ints


@dataclass(frozen=True)
class Resamples:
    """Per stratum and resample: flipped images, and gains less losses. float32, which holds such counts exactly."""

    discordant_SB: NDArray[np.float32]
    net_SB: NDArray[np.float32]


@dataclass(frozen=True)
class Studentized:
    """Changes of T statistics, their standard errors (smoothed: never 0), and the resampled (change* - change) / error*."""

    change_T: Floats
    error_T: Floats
    t_TB: Floats


def counts(before_N: ArrayLike, after_N: ArrayLike, stratum_N: ArrayLike, *, strata: int) -> Counts:
    """Gains, losses and size of each stratum.

    Parameters
    ----------
    before_N, after_N : (N,) booleans. stratum_N : (N,) stratum of each image, 0 to `strata` - 1; below 0 is in none.

    Returns
    -------
    Counts with (S,) arrays.

    Examples
    --------
    >>> found = counts([1, 0, 0], [0, 0, 1], [0, 0, 1], strata=2)
    >>> found.gained_S.tolist(), found.lost_S.tolist(), found.size_S.tolist()
    ([0, 1], [1, 0], [2, 1])
    """
    stratum = np.asarray(stratum_N, dtype=np.int64)
    inside = stratum >= 0
    before, after = np.asarray(before_N, dtype=bool), np.asarray(after_N, dtype=bool)
    gained, lost, size = (np.bincount(stratum[inside & some], minlength=strata) for some in (after & ~before, before & ~after, inside))
    return Counts(gained.astype(np.int64), lost.astype(np.int64), size.astype(np.int64))


def resampled(found: Counts, *, draws: int, random: Random) -> Resamples:
    """Counts when each stratum's images are drawn anew with replacement, as many as there are.

    Equal in distribution to drawing rows: per stratum (gained, lost, same) is multinomial. Here the number of discordant images is drawn
    first, then how many of those are gains. A stratum without discordant images has none in any resample.

    Parameters
    ----------
    found : counts of S strata. draws : B.

    Returns
    -------
    Resamples with (S, B) arrays.
    """
    discordant_SB, net_SB = np.zeros((2, len(found.size_S), draws), dtype=np.float32)
    flipped_S = found.gained_S + found.lost_S
    for stratum in np.flatnonzero(flipped_S):
        flipped, size = int(flipped_S[stratum]), int(found.size_S[stratum])
        sorted_B = sorted_binomials(size, flipped / size, draws=draws, random=random)
        gained_B = random.binomial(sorted_B, found.gained_S[stratum] / flipped)
        order_B = random.permutation(draws)
        discordant_SB[stratum] = sorted_B[order_B]
        net_SB[stratum] = (2 * gained_B - sorted_B)[order_B]
    return Resamples(discordant_SB, net_SB)


def sorted_binomials(n: int, share: float, *, draws: int, random: Random) -> Ints:
    """Binomial draws in ascending order: how often each number comes up, which is several times faster than one draw after the other.

    Parameters
    ----------
    n : trials. share : chance of each, 0 to 1. draws : B.

    Returns
    -------
    (B,) numbers from 0 to n; shuffle them before use as independent draws.
    """
    chance = np.maximum(np.diff(bdtr(np.arange(n + 1), n, share), prepend=0.0), 0)
    return np.repeat(np.arange(n + 1), random.multinomial(draws, chance / chance.sum()))


def studentized(found: Counts, again: Resamples, weight_TS: Floats, *, smoothing: float) -> Studentized:
    """Changes ``sum_s weight_s (gained_s - lost_s)`` with their resampled studentized deviations.

    0 means that gains and losses cancel. The standard error is that of the strata's multinomials with `smoothing` images added to the
    gained and to the lost of each stratum, so that a stratum in which nothing flipped is not taken for one in which nothing can.

    Parameters
    ----------
    found : counts of S strata, whose sizes stay fixed. again : what `resampled` made of them.
    weight_TS : (T, S) weights, such as 1 / images of the stratum's group.
    smoothing : above 0; 1/2 for each statistic, shared out over its strata.

    Returns
    -------
    Studentized.
    """
    assert smoothing > 0
    gained_S, lost_S = found.gained_S.astype(np.float64), found.lost_S.astype(np.float64)
    change_T = weight_TS @ (gained_S - lost_S)
    error_T = _errors((gained_S + lost_S)[:, None], (gained_S - lost_S)[:, None], found.size_S, weight_TS, smoothing)[:, 0]
    change_TB = weight_TS.astype(np.float32) @ again.net_SB
    error_TB = _errors(again.discordant_SB, again.net_SB, found.size_S, weight_TS, smoothing)
    return Studentized(change_T, error_T, (change_TB - change_T[:, None]) / error_TB)


def _errors(discordant_SB: Real, net_SB: Real, size_S: Ints, weight_TS: Floats, smoothing: float) -> Floats:
    """Standard errors of the weighted sums, from smoothed shares of gains and losses."""
    one_S1 = (1 / (size_S + 2 * smoothing))[:, None].astype(net_SB.dtype)
    variance_SB = (discordant_SB + np.float32(2 * smoothing)) * one_S1 - (net_SB * one_S1) ** 2
    return np.asarray(np.sqrt((weight_TS**2 * size_S).astype(net_SB.dtype) @ variance_SB), dtype=np.float64)


def intervals(found: Studentized, *, confidence: float = 0.95) -> tuple[Floats, Floats]:
    """Symmetric studentized bootstrap interval of each statistic by itself.

    ``change -+ c error``: c is the `confidence` quantile of the resampled |t|, and at least the normal one, since resampling few
    discordant images knows too few values (with none it knows only 0).

    Parameters
    ----------
    found : T statistics. confidence : between 0 and 1.

    Returns
    -------
    (T,) low and (T,) high ends.

    References
    ----------
    Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapter 12. Agresti and Min (2005), Statistics in Medicine 24.
    """
    least = ndtri((1 + confidence) / 2)
    critical_T = np.maximum(np.quantile(np.abs(found.t_TB), confidence, axis=1), least)
    return found.change_T - critical_T * found.error_T, found.change_T + critical_T * found.error_T


def cluster_studentized(net_I: ArrayLike, size_I: ArrayLike, *, draws: int, random: Random) -> Studentized:
    """Change of a share over items that come in clusters (captions of an image), whole clusters drawn with replacement.

    ``sum net / sum size``; 0 means that gains and losses cancel. Items of a cluster rise and fall together, so drawing items would
    make the interval too narrow. Clusters that are alike are counted, not listed. The standard error is that of a ratio, smoothed by one
    flipped item.

    Parameters
    ----------
    net_I : (I,) gains less losses of each cluster. size_I : (I,) its items, at least 1.

    Returns
    -------
    Studentized with one statistic.
    """
    pattern_P2, count_P = np.unique(np.column_stack([net_I, size_I]), axis=0, return_counts=True)
    net_P, size_P = pattern_P2.T.astype(np.float64)
    count_BP = random.multinomial(count_P.sum(), count_P / count_P.sum(), size=draws).astype(np.float64)

    def ratio(count: Floats) -> tuple[Floats, Floats]:
        items = count @ size_P
        change = count @ net_P / items
        squares = count @ net_P**2 - 2 * change * (count @ (net_P * size_P)) + change**2 * (count @ size_P**2)
        return change, np.sqrt(np.maximum(squares, 0) + 1) / items

    (change, error), (change_B, error_B) = ratio(count_P[None].astype(np.float64)), ratio(count_BP)
    return Studentized(change, error, ((change_B - change) / error_B)[None])
