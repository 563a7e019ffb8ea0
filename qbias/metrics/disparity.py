"""Disparity: the gap in recall between two groups of one attribute, class by class.

Shapes: N positives (a person counts once for each class labelled), C classes.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from qbias.metrics.counts import Bools, Floats, HitCounts, Ints, hit_counts

Sign = Literal["absolute", "signed"]


@dataclass(frozen=True)
class RecallGaps:
    """Per class: recall and positives in either group, the gap (first minus second, NaN where undefined), and whether the floor is met."""

    recall_first_C: Floats
    recall_second_C: Floats
    count_first_C: Ints
    count_second_C: Ints
    gap_C: Floats
    eligible_C: Bools


def recall_gaps(
    label_N: ArrayLike, hit_N: ArrayLike, first_N: ArrayLike, second_N: ArrayLike, *, classes: int, min_per_group: int = 25
) -> RecallGaps:
    """Recall of the first group minus recall of the second, for every class.

    0 is equality of opportunity: the model finds the class equally often in both groups. A class is eligible when both groups have
    at least `min_per_group` positives of it; the gap of one that is not is given where it exists, and counts nowhere.

    Parameters
    ----------
    label_N : (N,) class index of each positive. hit_N : (N,) whether it was found.
    first_N, second_N : (N,) booleans, membership; a person may be in both or in neither.
    classes : C. min_per_group : the floor.

    Returns
    -------
    RecallGaps; gaps from -1 to 1.

    References
    ----------
    Gustafson et al. 2023 (FACET), section 5; Slyman et al. 2024.

    Examples
    --------
    >>> first = [True, True, False, False]
    >>> gaps = recall_gaps([0, 0, 0, 0], [1, 1, 1, 0], first, [not one for one in first], classes=1, min_per_group=2)
    >>> gaps.gap_C.tolist(), gaps.eligible_C.tolist()
    ([0.5], [True])
    """
    label, hit = np.asarray(label_N, dtype=np.int64), np.asarray(hit_N, dtype=bool)
    first, second = np.asarray(first_N, dtype=bool), np.asarray(second_N, dtype=bool)
    sides = (hit_counts(label[side], hit[side], classes=classes) for side in (first, second))
    return gaps_between(*sides, min_per_group=min_per_group)


def gaps_between(first: HitCounts, second: HitCounts, *, min_per_group: int = 25) -> RecallGaps:
    """`recall_gaps` from the positives and hits of either group, which may be sums over parts of the data.

    Parameters
    ----------
    first, second : counts by class. min_per_group : the floor.

    Returns
    -------
    RecallGaps.

    Examples
    --------
    >>> part = hit_counts([0, 0], [1, 0], classes=1)
    >>> gaps_between(part + part, hit_counts([0], [1], classes=1), min_per_group=1).gap_C.tolist()
    [-0.5]
    """
    eligible = np.minimum(first.count_C, second.count_C) >= max(min_per_group, 1)
    return RecallGaps(first.recall_C, second.recall_C, first.count_C, second.count_C, first.recall_C - second.recall_C, eligible)


def min_disparity(gaps: RecallGaps, *, sign: Sign = "absolute") -> float:
    """Smallest disparity over the eligible classes.

    `absolute`: of |gap|, so 0 is a class without disparity. `signed`: of the gap, so the class that most favours the second group.

    Parameters
    ----------
    gaps : what `recall_gaps` returned. sign : `absolute` or `signed`.

    Returns
    -------
    0 to 1 (absolute) or -1 to 1 (signed).

    Raises
    ------
    ValueError
        If no class is eligible.

    Examples
    --------
    >>> gaps = recall_gaps([0, 0, 1, 1], [1, 0, 0, 1], [1, 0, 1, 0], [0, 1, 0, 1], classes=2, min_per_group=1)
    >>> min_disparity(gaps), min_disparity(gaps, sign="signed")
    (1.0, -1.0)
    """
    return float(_eligible(gaps, sign).min())


def max_disparity(gaps: RecallGaps, *, sign: Sign = "absolute") -> float:
    """Largest disparity over the eligible classes.

    `absolute`: of |gap|, 0 when no class has a disparity. `signed`: of the gap, the class that most favours the first group.

    Parameters
    ----------
    gaps : what `recall_gaps` returned. sign : `absolute` or `signed`.

    Returns
    -------
    0 to 1 (absolute) or -1 to 1 (signed).

    Raises
    ------
    ValueError
        If no class is eligible.

    Examples
    --------
    >>> gaps = recall_gaps([0, 0, 1, 1], [0, 1, 1, 1], [1, 0, 1, 0], [0, 1, 0, 1], classes=2, min_per_group=1)
    >>> max_disparity(gaps), max_disparity(gaps, sign="signed")
    (1.0, 0.0)
    """
    return float(_eligible(gaps, sign).max())


def macro_gap(gaps: RecallGaps) -> float:
    """Mean signed disparity over the eligible classes, each class counting once.

    0 is no gap on average; opposite gaps cancel, so read it beside the minimum and maximum.

    Parameters
    ----------
    gaps : what `recall_gaps` returned.

    Returns
    -------
    -1 to 1.

    Raises
    ------
    ValueError
        If no class is eligible.

    Examples
    --------
    >>> gaps = recall_gaps([0, 0, 1, 1], [1, 0, 1, 1], [1, 0, 1, 0], [0, 1, 0, 1], classes=2, min_per_group=1)
    >>> macro_gap(gaps)
    0.5
    """
    return float(_eligible(gaps, "signed").mean())


def _eligible(gaps: RecallGaps, sign: Sign) -> Floats:
    if sign not in ("absolute", "signed"):
        raise ValueError(f"sign={sign!r} is not one of absolute, signed")
    if not gaps.eligible_C.any():
        raise ValueError("no class has enough positives in both groups: lower min_per_group or use more images")
    gap: Floats = gaps.gap_C[gaps.eligible_C]
    return np.abs(gap) if sign == "absolute" else gap
