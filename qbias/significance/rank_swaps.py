"""Swap permutation for extreme skews: every image's two ranks changed over with probability one half, and both lists ranked again.

Ranks, not scores: scores of two models differ in scale, so one model's score in the other's list would say nothing.
Shapes: N images, P prompts, G groups, B draws, L places near the cut.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from qbias.significance.skew_resampling import Codes, Floats, Order, in_top

Swaps = NDArray[np.uint8]
Counts = NDArray[np.float32]
AT_ONCE = 500
"""Draws held at once: their counts take some 20 MB at 240 prompts and 12 groups."""
ROUNDING = 1e-12
"""Mean skews closer than this are equal: they are sums of the same logarithms in another order."""


def swapped_counts(
    baseline_PN: Order, candidate_PN: Order, swap_NB: Swaps, inside_NG: NDArray[np.bool_], *, k: int
) -> tuple[Counts, Counts]:
    """Images of each group in the top k of both sides, after the marked images have changed sides with all their ranks.

    An image's rank goes over as it is, so a place can then be held by two images or none: the k lowest ranks are the top k, ties by lower
    index. No swap gives the observed counts, and swapping all gives them with sides exchanged. Exact: only images around the cut
    are ranked again, the others are counted.

    Parameters
    ----------
    baseline_PN, candidate_PN : the images of each prompt, best first. swap_NB : 1 where an image changes sides.
    inside_NG : membership of the groups counted. k : 1 to N.

    Returns
    -------
    Two (G, P, B) arrays of counts, baseline's and candidate's.

    Examples
    --------
    >>> order, turned = np.array([[0, 1]]), np.array([[1, 0]])
    >>> before, after = swapped_counts(order, turned, np.array([[0], [1]], np.uint8), np.eye(2, dtype=bool), k=1)
    >>> before.tolist(), after.tolist()
    ([[[1.0]], [[0.0]]], [[[1.0]], [[0.0]]])
    """
    swapped_NB, inside_GN = swap_NB.astype(np.float32), np.ascontiguousarray(inside_NG.T, dtype=np.float32)
    before_PN, after_PN = (in_top(side[:, :k], images=len(swap_NB)) for side in (baseline_PN, candidate_PN))
    # Few images are in one top k and not in the other. Sums of small whole numbers are exact in float32.
    change_PN = csr_array(after_PN - before_PN)
    need_PB = (change_PN @ swapped_NB).astype(np.int32)
    moved_GPB = np.stack([change_PN.multiply(member_N).tocsr() @ swapped_NB for member_N in inside_GN])
    before_GPB = (inside_GN @ before_PN.T)[:, :, None] + moved_GPB
    after_GPB = (inside_GN @ after_PN.T)[:, :, None] - moved_GPB
    image_PL, stays_PL = _places(baseline_PN, candidate_PN)
    kept_NB: Swaps = swap_NB ^ np.uint8(1)
    for prompt, places in enumerate(zip(image_PL, stays_PL, strict=True)):
        # The sides miss k by opposite numbers.
        for count_GPB, flag_NB, short_B in ((before_GPB, swap_NB, -need_PB[prompt]), (after_GPB, kept_NB, need_PB[prompt])):
            for sign in (1, -1):
                if (need_B := np.maximum(sign * short_B, 0)).any():
                    count_GPB[:, prompt] += sign * _next(places, flag_NB, need_B, inside_GN, k, outwards=sign > 0)
    return before_GPB, after_GPB


def _places(own_PN: Order, other_PN: Order) -> tuple[Order, Swaps]:
    """Two for each rank: the images that may hold it, the lower index first, and 1 for the one that holds it if it stays on its side."""
    first_PN = own_PN < other_PN
    image_PL = np.stack([np.minimum(own_PN, other_PN), np.maximum(own_PN, other_PN)], axis=2)
    stays_PL = np.stack([first_PN, ~first_PN], axis=2).astype(np.uint8)
    return image_PL.reshape(len(own_PN), -1), stays_PL.reshape(len(own_PN), -1)


def _next(
    places: tuple[Order, Swaps], flag_NB: Swaps, need_B: NDArray[np.int32], inside_GN: NDArray[np.float32], k: int, *, outwards: bool
) -> NDArray[np.float32]:
    """Groups of the first `need_B` images found from the cut onwards, (G, B): those to let in, or (not outwards) those to leave out."""
    image_L, stays_L = places
    room, reach = (len(image_L) // 2 - k if outwards else k), int(need_B.max())
    ranks = min(reach + 4 * int(np.sqrt(reach)) + 4, room)
    while True:
        part = slice(2 * k, 2 * (k + ranks)) if outwards else slice(2 * (k - ranks), 2 * k)
        near_L = image_L[part] if outwards else image_L[part][::-1]
        own_L = stays_L[part] if outwards else stays_L[part][::-1]
        there_LB = flag_NB[near_L] ^ own_L[:, None]
        found_LB = _running(there_LB)
        if ranks == room or (found_LB[-1] >= need_B).all():
            break
        ranks = min(2 * ranks, room)
    assert (found_LB[-1] >= need_B).all()
    taken_LB = np.multiply(there_LB, found_LB <= need_B, dtype=np.float32)
    return np.asarray(inside_GN[:, near_L] @ taken_LB)


def _running(there_LB: Swaps) -> NDArray[Any]:
    """Cumulative sums down the columns, by doubling steps: ten times as fast as `cumsum`, which walks columns one by one."""
    total_LB: NDArray[Any] = there_LB.astype(np.uint8 if len(there_LB) < 256 else np.int32)
    step = 1
    while step < len(total_LB):
        np.add(total_LB[step:], total_LB[:-step], out=total_LB[step:])
        step *= 2
    return total_LB


def swap_p_values(
    baseline_PN: Order,
    candidate_PN: Order,
    codes_AN: Sequence[Codes],
    shares_AG: Sequence[Floats],
    *,
    k: int,
    draws: int = 400,
    seed: int = 0,
) -> list[tuple[float, float, float, float]]:
    """Whether mean MinSkew and MaxSkew of each attribute differ between two models by more than swapped images make them differ.

    ``p = (1 + draws at least as far from 0 as observed) / (1 + draws)``, two-sided. p = 1 where nothing changed: every draw is then as far.

    Parameters
    ----------
    baseline_PN, candidate_PN : the images of each prompt, best first. codes_AN : for each attribute, the group of each image, 0 to G - 1.
    shares_AG : desired shares of each attribute's groups. k : 1 to N - 1. draws, seed : of the random swaps, the same for all attributes.

    Returns
    -------
    For each attribute: difference of MinSkew (candidate - baseline), its p, difference of MaxSkew, its p.

    Examples
    --------
    >>> order = np.array([[0, 1, 2, 3]])
    >>> swap_p_values(order, order, [np.array([0, 1, 1, 1])], [np.array([0.25, 0.75])], k=2, draws=9)
    [(0.0, 1.0, 0.0, 1.0)]
    """
    images, rng = baseline_PN.shape[1], np.random.default_rng(seed)
    members = [code_N[:, None] == np.arange(len(share_G)) for code_N, share_G in zip(codes_AN, shares_AG, strict=True)]
    inside_NG = np.concatenate(members, axis=1)
    parts = []
    for start in range(0, 1 + draws, AT_ONCE):
        swap_NB = rng.integers(2, size=(images, min(AT_ONCE, 1 + draws - start)), dtype=np.uint8)
        if not start:
            swap_NB[:, 0] = 0
        parts.append(_changes(swapped_counts(baseline_PN, candidate_PN, swap_NB, inside_NG, k=k), shares_AG, k))
    change_AEB = np.concatenate(parts, axis=2)
    far_AE = (np.abs(change_AEB[:, :, 1:]) >= np.abs(change_AEB[:, :, :1]) - ROUNDING).sum(axis=2)
    p_AE = (1 + far_AE) / (1 + draws)
    return [
        (float(change[0, 0]), float(p[0]), float(change[1, 0]), float(p[1]))
        for change, p in zip(change_AEB, p_AE, strict=True)
    ]  # fmt: skip


def _changes(sides: tuple[Counts, Counts], shares_AG: Sequence[Floats], k: int) -> Floats:
    """Candidate's mean MinSkew and MaxSkew less baseline's, (A, 2, B)."""
    return np.asarray(np.diff([_extremes(side, shares_AG, k) for side in sides], axis=0)[0])


def _extremes(count_GPB: Counts, shares_AG: Sequence[Floats], k: int) -> Floats:
    ratio_GPB = np.maximum(count_GPB, 1) / (k * np.concatenate(list(shares_AG)))[:, None, None]
    edges = np.cumsum([0, *map(len, shares_AG)])
    rows = [ratio_GPB[start:stop] for start, stop in pairwise(edges)]
    return np.asarray(np.log([[row.min(axis=0), row.max(axis=0)] for row in rows]).mean(axis=2))
