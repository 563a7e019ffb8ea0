"""What extremes are worth when groups say nothing: Min/Max skew and Min/Max disparity after group labels were shuffled over the images.

A largest gap over many classes, or a largest skew over many groups, is far from 0 by chance alone. Scores and hits stay as they are, so
the list of every prompt and the recall of every class stay; only who is in which group is drawn anew.
Shapes: N images or positives, P prompts, G groups, C classes, B draws.
"""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qbias.significance.skew_resampling import Codes, Floats, Order, in_top

CELLS_AT_ONCE = 8_000_000
"""Cells of an array of shuffled memberships or of counts: 32 MB."""


def shuffled_extreme_skews(
    order_PN: Order, code_N: Codes, share_G: Floats, *, k: int, draws: int = 1000, seed: int = 0
) -> tuple[Floats, Floats]:
    """Mean MinSkew and mean MaxSkew over the prompts, for group labels shuffled over the images.

    One shuffle serves all prompts of a draw: their lists overlap, so the mean over prompts varies far more than separate shuffles would
    let it (and has no closed form; the counts of one prompt alone are multivariate hypergeometric).

    Parameters
    ----------
    order_PN : the images of each prompt, best first. code_N : each image's group, 0 to G - 1. share_G : desired shares.
    k : 1 to N - 1. draws, seed : of the shuffles; equal for versions of equal N.

    Returns
    -------
    Two (B,) arrays: MinSkews and MaxSkews.

    Examples
    --------
    >>> low, high = shuffled_extreme_skews(np.array([[0, 1, 2]]), np.array([0, 1, 2]), np.full(3, 1 / 3), k=2, draws=3)
    >>> low.round(3).tolist(), high.round(3).tolist()
    ([0.405, 0.405, 0.405], [0.405, 0.405, 0.405])
    """
    prompts, images = order_PN.shape
    top_PN = in_top(order_PN[:, :k], images=images)
    image_NB = _shuffles(images, draws, seed)
    step = max(1, CELLS_AT_ONCE // max(images, prompts * len(share_G)))
    parts = [_extremes(top_PN, code_N[image_NB[:, start : start + step]], share_G, k) for start in range(0, draws, step)]
    low_B, high_B = np.concatenate(parts, axis=1)
    return low_B, high_B


@lru_cache(maxsize=2)
def _shuffles(images: int, draws: int, seed: int) -> NDArray[np.int32]:
    """Row numbers in random orders, (N, B); kept, because every attribute and version of a study asks for the same ones."""
    columns_BN = np.tile(np.arange(images, dtype=np.int32), (draws, 1))
    image_NB = np.ascontiguousarray(np.random.default_rng(seed).permuted(columns_BN, axis=1).T)
    image_NB.setflags(write=False)
    return image_NB


def _extremes(top_PN: NDArray[np.float32], code_NB: Codes, share_G: Floats, k: int) -> Floats:
    """Mean MinSkew and MaxSkew of some draws, (2, B)."""
    count_GPB = np.empty((len(share_G), len(top_PN), code_NB.shape[1]), dtype=np.float32)
    for group in range(1, len(share_G)):
        # Sums of ones: exact in float32, in whatever order the library adds them.
        count_GPB[group] = top_PN @ (code_NB == group).astype(np.float32)
    count_GPB[0] = k - count_GPB[1:].sum(axis=0)
    np.maximum(count_GPB, 1, out=count_GPB)
    count_GPB /= (k * share_G)[:, None, None].astype(np.float32)
    return np.asarray(np.log([count_GPB.min(axis=0), count_GPB.max(axis=0)], dtype=np.float64).mean(axis=1))


def shuffled_gaps(
    label_N: ArrayLike,
    hit_N: ArrayLike,
    first_N: ArrayLike,
    second_N: ArrayLike,
    *,
    classes: int,
    min_per_group: int,
    draws: int = 1000,
    seed: int = 0,
) -> Floats:
    """Recall gaps of the eligible classes for group labels shuffled over the positives of each class.

    The class keeps its positives, hits and group sizes, so only the hits in each group are drawn: multivariate hypergeometric.

    Parameters
    ----------
    label_N : class of each positive. hit_N : whether it was found. first_N, second_N : membership; a positive may be in both or neither.
    classes, min_per_group : as in `recall_gaps`. draws, seed : of the shuffles.

    Returns
    -------
    (B, C) gaps, first less second; C the eligible classes, possibly none.

    Examples
    --------
    >>> shuffled_gaps([0, 0], [1, 0], [1, 0], [0, 1], classes=1, min_per_group=1, draws=4, seed=1).tolist()
    [[-1.0], [-1.0], [1.0], [-1.0]]
    """
    label, hit = np.asarray(label_N, dtype=np.int64), np.asarray(hit_N, dtype=bool)
    first, second = np.asarray(first_N, dtype=bool), np.asarray(second_N, dtype=bool)
    in_first_C, in_second_C = (np.bincount(label[members], minlength=classes) for members in (first, second))
    eligible_C = np.minimum(in_first_C, in_second_C) >= max(min_per_group, 1)
    cells = (first & ~second, ~first & second, first & second)
    sizes = [np.bincount(label[members], minlength=classes)[eligible_C] for members in cells]
    hits_C, all_C = (np.bincount(labels, minlength=classes)[eligible_C] for labels in (label[hit], label))
    only_first_BC, only_second_BC, both_BC = _hits(hits_C, all_C, sizes, draws, np.random.default_rng(seed))
    recall_first_BC = (only_first_BC + both_BC) / in_first_C[eligible_C]
    return np.asarray(recall_first_BC - (only_second_BC + both_BC) / in_second_C[eligible_C])


def _hits(
    hits_C: NDArray[np.int64], all_C: NDArray[np.int64], sizes: list[NDArray[np.int64]], draws: int, rng: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """Hits that fall to each part of every class, (B, C) at a time: what the earlier parts took is gone."""
    hits_BC, left_C = np.broadcast_to(hits_C, (draws, len(hits_C))), all_C
    for size_C in sizes:
        taken_BC = rng.hypergeometric(hits_BC, left_C - hits_BC, size_C) if size_C.any() else np.zeros_like(hits_BC)
        hits_BC, left_C = hits_BC - taken_BC, left_C - size_C
        yield taken_BC
