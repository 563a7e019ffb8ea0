"""Outcomes that flipped between two versions: the exact McNemar test, and Wilson's interval of a share. numpy and scipy only.

Shapes: N images.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import bdtr, ndtri


@dataclass(frozen=True)
class Flips:
    """What an exact McNemar test found. gained, lost : misses that became hits, hits that became misses. n : both. p : two-sided."""

    gained: int
    lost: int
    n: int
    images: int
    p: float


def mcnemar(before_N: ArrayLike, after_N: ArrayLike) -> Flips:
    """Exact two-sided McNemar test: whether as many images were gained as were lost.

    Only images whose outcome changed (discordant ones) say anything; under "no change" each is a gain with probability 1/2, and p is
    twice the smaller binomial tail, at most 1. p = 1 is as many gains as losses.

    No discordant image gives p = 1 and n = 0: nothing speaks against "no change", and nothing was tested.

    Parameters
    ----------
    before_N, after_N : (N,) booleans, hit or miss of the same images in the same order.

    Returns
    -------
    Flips.

    Raises
    ------
    ValueError
        If the sides differ in length.

    References
    ----------
    McNemar (1947), Psychometrika 12.

    Examples
    --------
    >>> mcnemar([1, 1, 1, 0, 0], [0, 0, 0, 0, 1])
    Flips(gained=1, lost=3, n=4, images=5, p=0.625)
    """
    before, after = np.asarray(before_N, dtype=bool), np.asarray(after_N, dtype=bool)
    if before.shape != after.shape or before.ndim != 1:
        raise ValueError(f"outcomes of shapes {before.shape} and {after.shape}: both sides need one outcome per image")
    gained, lost = int(np.count_nonzero(after & ~before)), int(np.count_nonzero(before & ~after))
    p = min(1.0, 2 * float(bdtr(min(gained, lost), gained + lost, 0.5))) if gained + lost else 1.0
    return Flips(gained, lost, gained + lost, len(before), p)


def wilson(count: int, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share.

    The shares p with ``|count / n - p| <= z sqrt(p (1 - p) / n)``. It stays within 0 to 1 and keeps a width where `count` is 0 or n.

    Parameters
    ----------
    count : how many of them, 0 to n. n : at least 1. confidence : between 0 and 1.

    Returns
    -------
    Both ends, in [0, 1].

    Raises
    ------
    ValueError
        If n is below 1 (a share of nothing is no number), or `count` or `confidence` is outside its range.

    References
    ----------
    Wilson (1927), JASA 22.

    Examples
    --------
    >>> tuple(round(end, 4) for end in wilson(0, 10))
    (0.0, 0.2775)
    """
    if n < 1 or not 0 <= count <= n or not 0 < confidence < 1:
        raise ValueError(f"{count} of {n} at confidence {confidence}: n is at least 1, the count is 0 to n, confidence between 0 and 1")
    share, z = count / n, float(ndtri((1 + confidence) / 2))
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * (share * (1 - share) / n + z**2 / (4 * n**2)) ** 0.5
    # At 0 and n one end is 0 or 1 exactly; rounding may put it a little beside.
    low, high = (0.0 if count == 0 else middle - half), (1.0 if count == n else middle + half)
    return low, high
