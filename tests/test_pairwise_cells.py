"""Positives sorted into strata, and the matrix that makes recall gaps of their hits."""

from dataclasses import replace

import numpy as np
import pytest

from qbias.outcomes import positives
from qbias.pairwise.cells import GapCells, gap_cells
from qbias.prepared import Prepared
from qbias.records import Outcomes, Pair
from tests.made import made_outcomes

SKIN = Pair("skin_ld", "skin", "lighter", "darker")


def cells(outcomes: Outcomes, pair: Pair = SKIN, k: int = 1) -> GapCells:
    return gap_cells(Prepared(outcomes), Prepared(outcomes), pair, k)


def test_positives_by_class_and_group() -> None:
    outcomes = made_outcomes("classification")
    found, skin = cells(outcomes), outcomes.frames["images"]["skin"].to_numpy()
    row_N, label_N = positives(outcomes).row_N, positives(outcomes).label_N
    for side, cell in enumerate(("lighter", "darker", "lighter|darker")):
        expected = [np.count_nonzero((label_N == number) & (skin[row_N] == cell)) for number in range(8)]
        assert found.size_E3[:, side].tolist() == expected
        assert min(expected) > 0
    assert found.classes == tuple(f"class {number}" for number in range(8))
    assert found.sharing == 0.5 / 24


@pytest.mark.parametrize("pair", [SKIN, Pair("gender_mf", "gender", "masc", "fem")], ids=lambda pair: pair.name)
@pytest.mark.parametrize("k", [1, 5])
def test_the_matrix_makes_the_gaps_of_the_hits(pair: Pair, k: int) -> None:
    outcomes = made_outcomes("classification")
    found, gaps = cells(outcomes, pair, k), Prepared(outcomes).gaps[pair.name, k]
    hit_S = np.bincount(found.cell_N[(found.cell_N >= 0) & found.before_N], minlength=found.size_E3.size)
    assert found.weight_ES @ hit_S == pytest.approx(gaps.gap_C[gaps.eligible_C])


def test_classes_that_are_not_eligible_count_nowhere() -> None:
    outcomes = made_outcomes("classification")
    images = outcomes.frames["images"].copy()
    images.loc[(images["label"] == 3) | (images["label2"] == 3), "skin"] = ""
    found = cells(replace(outcomes, frames={"images": images}))
    assert "class 3" not in found.classes
    assert len(found.classes) == 7
    label_N = positives(outcomes).label_N
    assert set(found.cell_N[label_N == 3]) == {-1}
    assert sorted(set(found.cell_N[label_N == 4])) == [-1, 9, 10, 11]


def test_no_eligible_class_has_no_cells() -> None:
    found = cells(made_outcomes("classification", min_per_group=10_000))
    assert found.classes == ()
    assert (found.cell_N == -1).all()
