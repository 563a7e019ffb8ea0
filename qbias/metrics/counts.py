"""Positives and hits, counted by class or group: all that accuracy, recalls and disparities depend on. Counts of parts add up.

Shapes: N images or positives, C cells (classes or groups).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class HitCounts:
    """Positives and hits in each of C cells of some part of the data. `+` joins two parts, in any order.

    Attributes
    ----------
    count_C, hit_C : (C,) positives, and how many of them are hits.
    """

    count_C: Ints
    hit_C: Ints

    def __add__(self, other: "HitCounts") -> "HitCounts":
        """Both parts together."""
        if len(self.count_C) != len(other.count_C):
            raise ValueError(f"counts of {len(self.count_C)} and of {len(other.count_C)} cells: only counts of the same cells add up")
        return HitCounts(self.count_C + other.count_C, self.hit_C + other.hit_C)

    @property
    def recall_C(self) -> Floats:
        """Hits by positives, 0 to 1; NaN in cells without positives."""
        empty = np.full(len(self.count_C), np.nan)
        return np.asarray(np.divide(self.hit_C, self.count_C, out=empty, where=self.count_C > 0))


def hit_counts(label_N: ArrayLike, hit_N: ArrayLike, *, classes: int) -> HitCounts:
    """Positives and hits of each class.

    Parameters
    ----------
    label_N : (N,) class indices, 0 to `classes` - 1. hit_N : (N,) booleans. classes : C.

    Returns
    -------
    HitCounts.

    Examples
    --------
    >>> part = hit_counts([0, 0, 1], [True, False, True], classes=2)
    >>> (part + part).count_C.tolist(), part.recall_C.tolist()
    ([4, 2], [0.5, 1.0])
    """
    label, hit = np.asarray(label_N, dtype=np.int64), np.asarray(hit_N, dtype=bool)
    count, found = (np.bincount(some, minlength=classes).astype(np.int64) for some in (label, label[hit]))
    return HitCounts(count, found)
