"""Zero-shot classification: the best-scored classes, accuracy, recall by class and by group.

Shapes: N images (or positives), C classes, K top ranks, G groups.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qbias.metrics.counts import Bools, Floats, HitCounts, Ints, hit_counts
from qbias.metrics.groups import Groups, members

Scores = NDArray[np.floating]


def top_k_indices(score_NC: ArrayLike, *, k: int) -> Ints:
    """The k best-scored classes of each image, best first.

    Ties go to the lower class index (two ImageNet class names stand twice, so exact ties exist).

    Parameters
    ----------
    score_NC : (N, C) finite scores.
    k : how many, 1 to C.

    Returns
    -------
    (N, k) class indices.

    Raises
    ------
    ValueError
        If k is outside 1 to C, or a score is NaN or infinite.

    Examples
    --------
    >>> top_k_indices([[0.1, 0.7, 0.7], [0.5, 0.2, 0.1]], k=2).tolist()
    [[1, 2], [0, 1]]
    """
    left = np.array(score_NC, dtype=np.result_type(np.asarray(score_NC).dtype, np.float32))
    if left.ndim != 2 or not 1 <= k <= left.shape[1]:
        raise ValueError(f"k={k} with scores of shape {left.shape}: give (N, C) scores and k from 1 to C")
    if not np.isfinite(left).all():
        raise ValueError(f"row {int(np.argmin(np.isfinite(left).all(axis=1)))} of the scores holds NaN or infinity: scores must be finite")
    rows, top_NK = np.arange(len(left)), np.empty((len(left), k), dtype=np.int64)
    for rank in range(k):
        # argmax gives the first of equal values: k passes are the stable sort's first k columns, without the sort.
        top_NK[:, rank] = left.argmax(axis=1)
        left[rows, top_NK[:, rank]] = -np.inf
    return top_NK


def hits(label_N: ArrayLike, top_NK: ArrayLike, *, k: int) -> Bools:
    """Whether each image's label is among its k best classes.

    A label below 0 stands for none and is never hit.

    Parameters
    ----------
    label_N : (N,) class indices.
    top_NK : (N, K) best classes, best first, K >= k.
    k : how many of them count.

    Returns
    -------
    (N,) booleans.

    Raises
    ------
    ValueError
        If fewer than k ranks are given, or the lengths differ.

    Examples
    --------
    >>> hits([1, 0], [[1, 2], [2, 0]], k=1).tolist()
    [True, False]
    """
    label, top = np.asarray(label_N), np.asarray(top_NK)
    if top.ndim != 2 or not 1 <= k <= top.shape[1] or len(top) != len(label):
        shapes = f"{len(label)} labels and top classes of shape {top.shape}"
        raise ValueError(f"k={k}, {shapes}: one row per label and at least k columns are needed")
    found: Bools = (top[:, :k] == label[:, None]).any(axis=1) & (label >= 0)
    return found


def accuracy(hit_N: ArrayLike) -> float:
    """Share of images that are hits.

    1 is every image, 0 is none.

    Parameters
    ----------
    hit_N : (N,) booleans, at least one.

    Returns
    -------
    0 to 1.

    Raises
    ------
    ValueError
        If there is no image: a share of nothing is no number.

    Examples
    --------
    >>> accuracy([True, False, True, True])
    0.75
    """
    hit = np.asarray(hit_N, dtype=bool)
    if not hit.size:
        raise ValueError("accuracy of no image: at least one is needed")
    return float(np.count_nonzero(hit) / hit.size)


def recall_per_class(label_N: ArrayLike, hit_N: ArrayLike, *, classes: int) -> tuple[Floats, Ints]:
    """Share of each class's positives that are hits, and how many positives it has.

    A class without positives has no recall: its value is NaN, for the caller to leave out, and its count 0.

    Parameters
    ----------
    label_N : (N,) class indices, 0 to `classes` - 1.
    hit_N : (N,) booleans.
    classes : C.

    Returns
    -------
    (C,) recalls from 0 to 1 or NaN, and (C,) counts.

    Examples
    --------
    >>> recall, count = recall_per_class([0, 0, 1], [True, False, True], classes=2)
    >>> recall.tolist(), count.tolist()
    ([0.5, 1.0], [2, 1])
    """
    found = hit_counts(label_N, hit_N, classes=classes)
    return found.recall_C, found.count_C


@dataclass(frozen=True)
class GroupRecalls:
    """Recall and number of positives per class and group; NaN where there is no positive."""

    groups: tuple[str, ...]
    recall_CG: Floats
    count_CG: Ints


def group_recalls(label_N: ArrayLike, hit_N: ArrayLike, group_N: Groups, *, classes: int, groups: tuple[str, ...]) -> GroupRecalls:
    """Recall of each class within each group.

    Equal values along a row are equality of opportunity for that class. An image in several groups counts in each; one in none
    counts nowhere.

    Parameters
    ----------
    label_N, hit_N : (N,) class index and hit of each positive.
    group_N : (N,) group column.
    classes : C. groups : the G groups wanted, in order.

    Returns
    -------
    GroupRecalls with (C, G) arrays.

    Examples
    --------
    >>> group_recalls([0, 0, 0], [True, False, True], ["a", "b", "a"], classes=1, groups=("a", "b")).recall_CG.tolist()
    [[1.0, 0.0]]
    """
    label, hit = np.asarray(label_N, dtype=np.int64), np.asarray(hit_N, dtype=bool)
    parts = [recall_per_class(label[inside], hit[inside], classes=classes) for inside in (members(group_N, name) for name in groups)]
    empty: list[Floats] = [np.empty((classes, 0))]
    recall = np.column_stack([part[0] for part in parts] or empty)
    return GroupRecalls(groups, recall, np.column_stack([part[1] for part in parts] or empty).astype(np.int64))


def worst_group_accuracy(hit_N: ArrayLike, group_N: Groups, *, groups: tuple[str, ...], min_per_group: int = 25) -> tuple[str, float, int]:
    """The group with the lowest accuracy, among those with enough images.

    The better every group, the closer to 1. Groups with fewer than `min_per_group` images are left out; of equal groups the first named
    is given.

    Parameters
    ----------
    hit_N : (N,) booleans. group_N : (N,) group column.
    groups : the groups compared. min_per_group : images a group needs.

    Returns
    -------
    The group, its accuracy (0 to 1) and its number of images.

    Raises
    ------
    ValueError
        If no group has enough images.

    References
    ----------
    Sagawa et al. 2020, "Distributionally Robust Neural Networks", section 2.

    Examples
    --------
    >>> worst_group_accuracy([True, False, True], ["a", "a", "b"], groups=("a", "b"), min_per_group=1)
    ('a', 0.5, 2)
    """
    return worst_group(group_counts(hit_N, group_N, groups=groups), groups=groups, min_per_group=min_per_group)


def group_counts(hit_N: ArrayLike, group_N: Groups, *, groups: tuple[str, ...]) -> HitCounts:
    """Images and hits of each group. An image in several groups counts in each; one in none counts nowhere.

    Parameters
    ----------
    hit_N : (N,) booleans. group_N : (N,) group column. groups : the G groups wanted, in order.

    Returns
    -------
    HitCounts with one cell per group.

    Examples
    --------
    >>> group_counts([True, False, True], ["a", "a", "b"], groups=("a", "b")).hit_C.tolist()
    [1, 1]
    """
    hit = np.asarray(hit_N, dtype=bool)
    inside = [members(group_N, name) for name in groups]
    count, found = ([int(np.count_nonzero(cells)) for cells in some] for some in (inside, [cells & hit for cells in inside]))
    return HitCounts(np.array(count, dtype=np.int64), np.array(found, dtype=np.int64))


def worst_group(counts: HitCounts, *, groups: tuple[str, ...], min_per_group: int = 25) -> tuple[str, float, int]:
    """`worst_group_accuracy` from the counts of each group, which may be sums over parts of the images.

    Parameters
    ----------
    counts : images and hits of each group. groups : their names, in that order. min_per_group : images a group needs.

    Returns
    -------
    The group, its accuracy (0 to 1) and its number of images.

    Raises
    ------
    ValueError
        If no group has enough images.

    Examples
    --------
    >>> half = group_counts([True, False], ["a", "b"], groups=("a", "b"))
    >>> worst_group(half + half, groups=("a", "b"), min_per_group=2)
    ('b', 0.0, 2)
    """
    rows = list(zip(groups, counts.count_C.tolist(), counts.hit_C.tolist(), strict=True))
    large = [(name, found / count, count) for name, count, found in rows if count >= max(min_per_group, 1)]
    if not large:
        sizes = ", ".join(f"{name}: {count}" for name, count, _ in rows)
        raise ValueError(f"no group has {min_per_group} images ({sizes}): lower min_per_group or use more images")
    return min(large, key=lambda row: row[1])
