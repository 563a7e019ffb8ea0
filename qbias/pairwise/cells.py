"""Recall gaps as sums over strata: the positives of a pair of groups, sorted by class and group.

Shapes: B draws, N positives, E eligible classes, S strata (E x 3: in the first group alone, in the second alone, in both).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from qbias.metrics import members
from qbias.prepared import Prepared
from qbias.protocol import Sign
from qbias.records import Pair
from qbias.significance.bootstrap import Counts, counts

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class GapCells:
    """The positives of one pair of groups at one k, sorted into strata, with the linear form that makes gaps of them.

    Attributes
    ----------
    classes : names of the E eligible classes.
    image_N, cell_N : image and stratum of each positive, -1 for those that count nowhere. before_N, after_N : hit or miss.
    size_E3 : positives in the first group alone, in the second alone, in both.
    """

    classes: tuple[str, ...]
    image_N: NDArray[np.int64]
    cell_N: NDArray[np.int64]
    before_N: Bools
    after_N: Bools
    size_E3: NDArray[np.int64]

    @cached_property
    def weight_ES(self) -> Floats:
        """Gap of each class = this matrix times the hits of each stratum: 1/n of the first group less 1/n of the second."""
        first_E, second_E = (self.size_E3[:, side] + self.size_E3[:, 2] for side in (0, 1))
        part_E3 = np.column_stack([1 / first_E, -1 / second_E, 1 / first_E - 1 / second_E])
        weight_EE3 = np.eye(len(self.classes))[:, :, None] * part_E3[None]
        return np.asarray(weight_EE3.reshape(len(self.classes), -1))

    @cached_property
    def counts(self) -> Counts:
        """Gains, losses and size of each stratum."""
        return counts(self.before_N, self.after_N, self.cell_N, strata=self.size_E3.size)

    @property
    def sharing(self) -> float:
        """Half an image shared out over all strata that have any."""
        return 0.5 / int(np.count_nonzero(self.size_E3))


def gap_cells(before: Prepared, after: Prepared, pair: Pair, k: int) -> GapCells:
    """Sort the positives of a pair's eligible classes into strata.

    Parameters
    ----------
    before, after : the same benchmark's outcomes of baseline and candidate. pair : one of its pairs. k : one of its ranks.

    Returns
    -------
    GapCells; without classes where none is eligible.
    """
    found, column = before.positives, before.column(pair.column)[before.positives.row_N]
    first, second = members(column, pair.first), members(column, pair.second)
    side_N = np.select([first & second, first, second], [2, 0, 1], default=-1)
    eligible = np.flatnonzero(before.gaps[pair.name, k].eligible_C)
    place_C = np.full(len(before.classes), -1)
    place_C[eligible] = np.arange(len(eligible))
    place_N = place_C[found.label_N]
    cell_N = np.where((side_N >= 0) & (place_N >= 0), 3 * place_N + side_N, -1)
    size_S = np.bincount(cell_N[cell_N >= 0], minlength=3 * len(eligible))
    names = tuple(before.classes[number] for number in eligible)
    return GapCells(names, found.row_N, cell_N, found.hit_N[k], after.positives.hit_N[k], size_S.reshape(-1, 3))


def extremes(gap_BE: Floats, sign: Sign) -> dict[str, Floats]:
    """The smallest and the largest disparity in each draw, by the part of their names that stands before `_at_<k>`.

    Parameters
    ----------
    gap_BE : signed gaps of E eligible classes in B draws. sign : which of both kinds the short names stand for.

    Returns
    -------
    (B,) arrays by name, in the order of METRICS.
    """
    kinds: tuple[tuple[str, Sign], ...] = (("", sign), ("absolute_", "absolute"), ("signed_", "signed"))
    found: dict[str, Floats] = {}
    for kind, of in kinds:
        value_BE = np.abs(gap_BE) if of == "absolute" else gap_BE
        found |= {f"min_{kind}disparity": value_BE.min(axis=1), f"max_{kind}disparity": value_BE.max(axis=1)}
    return found
