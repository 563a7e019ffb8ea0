"""Skew of an image search: how much a group's share of the top k departs from its share of the images.

Shapes: N images, P prompts, G groups, K top ranks.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qbias.metrics.counts import Floats, Ints
from qbias.metrics.groups import Groups

Desired = Literal["dataset", "uniform"]


@dataclass(frozen=True)
class Skews:
    """Skew of every group for every prompt, and what it was made from.

    Attributes
    ----------
    groups : the G groups that occur, in the order of the columns.
    skew_PG : ln(share of the top k / desired share), 1/k standing for an empty share.
    count_PG : images of each group in the top k.
    desired_G : the desired shares.
    ndkl_P : normalised discounted cumulative KL divergence of each prompt.
    """

    groups: tuple[str, ...]
    skew_PG: Floats
    count_PG: Ints
    desired_G: Floats
    ndkl_P: Floats

    @property
    def max_P(self) -> Floats:
        """Each prompt's MaxSkew."""
        return np.asarray(self.skew_PG.max(axis=1))

    @property
    def min_P(self) -> Floats:
        """Each prompt's MinSkew."""
        return np.asarray(self.skew_PG.min(axis=1))

    @property
    def floored(self) -> int:
        """Cells (prompt and group) with nobody in the top k, which count as 1/k."""
        return int(np.count_nonzero(self.count_PG == 0))


def top_images(score_NP: ArrayLike, *, k: int) -> Ints:
    """The k best-scored images of each prompt, best first.

    Exactly k: ties at the cut go to the lower index.

    Parameters
    ----------
    score_NP : (N, P) finite scores. k : 1 to N.

    Returns
    -------
    (P, k) row numbers.

    Raises
    ------
    ValueError
        If k is outside 1 to N, or a score is NaN or infinite.

    Examples
    --------
    >>> top_images([[0.1], [0.9], [0.9], [0.5]], k=2).tolist()
    [[1, 2]]
    """
    score = np.asarray(score_NP)
    if score.ndim != 2 or not 1 <= k <= len(score):
        raise ValueError(f"k={k} with scores of shape {score.shape}: give (N, P) scores and k from 1 to N")
    if not np.isfinite(score).all():
        image = int(np.argmin(np.isfinite(score).all(axis=1)))
        raise ValueError(f"image {image} has a score that is NaN or infinite: scores must be finite")
    # Only what can be among the k best is sorted: the k-th value found first, a stable sort of those up to it afterwards.
    worse_PN = np.ascontiguousarray(-score.T)
    cut_P = np.partition(worse_PN, k - 1, axis=1)[:, k - 1]
    top_PK = np.empty((len(worse_PN), k), dtype=np.int64)
    for prompt, row_N in enumerate(worse_PN):
        near = np.flatnonzero(row_N <= cut_P[prompt])
        top_PK[prompt] = near[np.argsort(row_N[near], kind="stable")[:k]]
    return top_PK


def skews(group_N: Groups, score_NP: ArrayLike, *, k: int, desired: Desired = "dataset", top_PK: ArrayLike | None = None) -> Skews:
    """Skew@k of every group and NDKL, for every prompt.

    ``skew_g = ln(p_g / q_g)``: p_g is group g's share of the top k, q_g its desired share. 0 means the group is as frequent in the
    top k as desired. NDKL is ``1/Z sum_i KL(top_i || q) / log2(i + 1)``, Z = ``sum_i 1 / log2(i + 1)``, i from 1 to k; 0 means that every
    prefix of the ranking has the desired shares.

    Ties go to the lower index and exactly k images are kept; a group with none among them counts as 1/k, since the logarithm would be
    minus infinity. Groups are those that occur; every image must be in one.

    Parameters
    ----------
    group_N : (N,) group of each image. score_NP : (N, P) scores.
    k : size of the top list, 1 to N.
    desired : `dataset` (shares among all N images) or `uniform` (1/G each).
    top_PK : what `top_images` gave for the same scores and k, to spare the sorting when several attributes are measured.

    Returns
    -------
    Skews.

    Raises
    ------
    ValueError
        If k is outside 1 to N, an image has no group, `desired` is unknown, or a score is not finite.

    References
    ----------
    Geyik, Ambler and Kenthapadi 2019, definitions 2 to 5; Berg et al. 2022.

    Examples
    --------
    >>> found = skews(["a", "a", "b", "b"], [[0.9], [0.8], [0.2], [0.1]], k=2)
    >>> found.groups, found.skew_PG.round(4).tolist(), found.floored
    (('a', 'b'), [[0.6931, 0.0]], 1)
    """
    column = np.asarray(group_N, dtype=object).astype(str)
    groups, code_N = np.unique(column, return_inverse=True)
    if "" in groups:
        raise ValueError(f"image {int(np.argmax(column == ''))} has no group: leave images without the attribute out")
    if desired not in ("dataset", "uniform"):
        raise ValueError(f"desired={desired!r} is not one of dataset, uniform")
    top = top_images(score_NP, k=k) if top_PK is None else np.asarray(top_PK)[:, :k]
    return skews_of_top(code_N.astype(np.int16)[top], np.bincount(code_N), groups=tuple(map(str, groups)), desired=desired)


def skews_of_top(top_code_PK: ArrayLike, size_G: ArrayLike, *, groups: tuple[str, ...], desired: Desired = "dataset") -> Skews:
    """`skews` from the groups of the top k and the size of each group, which is all that they depend on.

    Parameters
    ----------
    top_code_PK : (P, k) group of each of the best images, best first, as an index into `groups`.
    size_G : (G,) images of each group in the whole data, none of them 0. groups : their names.
    desired : `dataset` or `uniform`.

    Returns
    -------
    Skews.

    Examples
    --------
    >>> skews_of_top([[0, 0]], [2, 2], groups=("a", "b")).skew_PG.round(4).tolist()
    [[0.6931, 0.0]]
    """
    top, size = np.asarray(top_code_PK), np.asarray(size_G)
    shares = size / size.sum() if desired == "dataset" else np.full(len(groups), 1 / len(groups))
    count_PG = np.column_stack([np.count_nonzero(top == g, axis=1) for g in range(len(groups))])
    skew_PG = np.log(np.maximum(count_PG, 1) / top.shape[1]) - np.log(shares)
    return Skews(groups, skew_PG, count_PG, shares, _ndkl(top, shares))


def _ndkl(top_code_PK: NDArray[np.integer], share_G: Floats) -> Floats:
    """Prefix by prefix, group by group; an empty share contributes 0 (the limit of p ln p)."""
    rank_K = np.arange(1, top_code_PK.shape[1] + 1)
    weight_K = 1 / np.log2(rank_K + 1)
    # p ln(p / q) summed over groups; the table of c ln c spares a logarithm per prompt, rank and group.
    count_K = np.arange(top_code_PK.shape[1] + 1)
    entropy_K = count_K * np.log(np.maximum(count_K, 1))
    total_PK = np.zeros(top_code_PK.shape)
    for g, share in enumerate(share_G):
        count_PK = np.cumsum(top_code_PK == g, axis=1, dtype=np.int32)
        total_PK += entropy_K[count_PK] - count_PK * np.log(share)
    divergence_PK = total_PK / rank_K - np.log(rank_K)
    return np.asarray(np.maximum(divergence_PK, 0) @ weight_K / weight_K.sum())


def max_skew(group_N: Groups, score_N: ArrayLike, *, k: int, desired: Desired = "dataset") -> float:
    """Largest over-representation of any group among the k best-scored images.

    ``max_g ln(p_g / q_g)``: p_g is group g's share of the top k, q_g its desired share (by default its share of all N images).
    0 means every group is as frequent in the top k as desired.

    Ties at rank k go to the lower index, so exactly k images are kept; a group with none among them counts as 1/k (its logarithm would be
    minus infinity).

    Parameters
    ----------
    group_N : (N,) group of each image. score_N : (N,) scores of one prompt.
    k : size of the top list, 1 to N. desired : `dataset` or `uniform`.

    Returns
    -------
    At least 0, up to ln(1 / smallest desired share).

    Raises
    ------
    ValueError
        If k is outside 1 to N, an image has no group, or a score is not finite.

    References
    ----------
    Geyik, Ambler and Kenthapadi 2019, definition 3.

    Examples
    --------
    >>> round(max_skew(["a", "a", "b", "b"], [0.9, 0.8, 0.2, 0.1], k=2), 4)
    0.6931
    """
    return float(skews(group_N, np.asarray(score_N)[:, None], k=k, desired=desired).max_P[0])


def min_skew(group_N: Groups, score_N: ArrayLike, *, k: int, desired: Desired = "dataset") -> float:
    """Largest under-representation of any group among the k best-scored images.

    ``min_g ln(p_g / q_g)``, as in `max_skew`; 0 means every group is as frequent in the top k as desired.

    Ties go to the lower index; a group with none in the top k counts as 1/k.

    Parameters
    ----------
    group_N : (N,) group of each image. score_N : (N,) scores of one prompt.
    k : size of the top list, 1 to N. desired : `dataset` or `uniform`.

    Returns
    -------
    At least ln(1 / (k * largest desired share)); above 0 only where the floor of 1/k exceeds every desired share.

    Raises
    ------
    ValueError
        If k is outside 1 to N, an image has no group, or a score is not finite.

    References
    ----------
    Geyik, Ambler and Kenthapadi 2019, definition 4.

    Examples
    --------
    >>> round(min_skew(["a", "a", "a", "b", "b"], [0.9, 0.2, 0.1, 0.8, 0.3], k=2), 4)
    -0.1823
    """
    return float(skews(group_N, np.asarray(score_N)[:, None], k=k, desired=desired).min_P[0])


def ndkl(group_N: Groups, score_N: ArrayLike, *, k: int, desired: Desired = "dataset") -> float:
    """Divergence of every prefix of a ranking from the desired shares, early ranks weighing more.

    ``1/Z sum_i KL(top_i || q) / log2(i + 1)``, Z = ``sum_i 1 / log2(i + 1)``, i from 1 to k. 0 means that every prefix has the desired
    shares, which whole images cannot reach.

    Ties go to the lower index; a group that is absent from a prefix contributes 0.

    Parameters
    ----------
    group_N : (N,) group of each image. score_N : (N,) scores of one prompt.
    k : length of the ranking, 1 to N. desired : `dataset` or `uniform`.

    Returns
    -------
    At least 0, up to ln(1 / smallest desired share).

    Raises
    ------
    ValueError
        If k is outside 1 to N, an image has no group, or a score is not finite.

    References
    ----------
    Geyik, Ambler and Kenthapadi 2019, definition 5.

    Examples
    --------
    >>> round(ndkl(["a", "b"], [0.9, 0.1], k=1), 4)
    0.6931
    """
    return float(skews(group_N, np.asarray(score_N)[:, None], k=k, desired=desired).ndkl_P[0])
