"""Permutation by swapping: each image's two outcomes change sides with probability 1/2. For extremes, which no bootstrap covers.

Under "no change" an image's outcome before and after are exchangeable, so every swap is as likely as what was seen. Only images whose
outcome flipped matter, and those of one cell are alike: counts are drawn, not images.

Shapes: N positives, S cells, B draws.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qbias.significance.bootstrap import sorted_binomials

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
ROUNDING = 1e-12
"""Statistics closer than this are equal: sums of shares in another order differ in their last bits."""


def swapped_hits(
    before_N: ArrayLike, after_N: ArrayLike, image_N: ArrayLike, cell_N: ArrayLike, *, cells: int, draws: int, random: np.random.Generator
) -> tuple[Ints, Ints]:
    """Hits of each cell before and after, in each draw of swaps.

    All positives of an image are swapped together: their flips are one event.

    Parameters
    ----------
    before_N, after_N : (N,) booleans. image_N : (N,) image of each positive. cell_N : (N,) its cell, 0 to `cells` - 1; below 0 is in none.
    draws : B.

    Returns
    -------
    (B, S) hits before and (B, S) hits after.
    """
    cell, before, after = np.asarray(cell_N), np.asarray(before_N, dtype=bool), np.asarray(after_N, dtype=bool)
    both_S = np.bincount(cell[(cell >= 0) & before & after], minlength=cells)
    flipped = (cell >= 0) & (before != after)
    cell, gained = cell[flipped], after[flipped]
    _, group_N, size_I = np.unique(np.asarray(image_N)[flipped], return_inverse=True, return_counts=True)
    single = size_I[group_N] == 1
    # Of a cell's flipped images each is a hit after with probability 1/2, and otherwise before.
    flipped_S = np.bincount(cell[single], minlength=cells)
    after_SB = np.zeros((cells, draws), dtype=np.int64)
    for place in np.flatnonzero(flipped_S):
        after_SB[place] = random.permutation(sorted_binomials(int(flipped_S[place]), 0.5, draws=draws, random=random))
    after_BS = after_SB.T + _together(cell[~single], gained[~single], group_N[~single], cells, draws, random)
    all_S = np.bincount(cell, minlength=cells)
    return both_S + all_S - after_BS, both_S + after_BS


def _together(cell_N: Ints, gained_N: NDArray[np.bool_], image_N: Ints, cells: int, draws: int, random: np.random.Generator) -> Ints:
    """Hits after of images that flipped in several cells: one coin per image, which turns all its flips."""
    images, row_N = np.unique(image_N, return_inverse=True)
    seen_IS, turned_IS = np.zeros((2, len(images), cells), dtype=np.float32)
    np.add.at(seen_IS, (row_N[gained_N], cell_N[gained_N]), 1)
    np.add.at(turned_IS, (row_N[~gained_N], cell_N[~gained_N]), 1)
    coin_BI = random.integers(0, 2, (draws, len(images)), dtype=np.int8).astype(np.float32)
    return np.asarray((turned_IS.sum(axis=0) + coin_BI @ (seen_IS - turned_IS)).round(), dtype=np.int64)


def swap_p(observed: float, drawn_B: ArrayLike) -> float:
    """Two-sided Monte Carlo p of a change: ``(1 + draws at least as far from 0) / (1 + draws)``.

    What was seen is one of the possible swaps, so p is never 0, and a test at level alpha errs in at most alpha of all cases. A change of
    0 gives 1.

    Examples
    --------
    >>> swap_p(0.2, [0.1, -0.2, 0.0])
    0.5
    """
    drawn = np.abs(np.asarray(drawn_B, dtype=np.float64))
    return (1 + int(np.count_nonzero(drawn >= abs(observed) - ROUNDING))) / (1 + len(drawn))
