"""Group columns: membership, values, intersections."""

import numpy as np

from qbias.metrics.groups import intersection, members, values

SKIN = ["lighter", "darker", "lighter|darker", "", "darker"]
GENDER = ["masc", "fem", "fem", "masc", ""]


def test_a_joined_cell_is_in_both_groups() -> None:
    assert members(SKIN, "lighter").tolist() == [True, False, True, False, False]
    assert members(np.array(SKIN, dtype=object), "darker").tolist() == [False, True, True, False, True]


def test_part_of_a_name_and_no_name_are_no_group() -> None:
    assert not members(SKIN, "light").any()
    assert not members(SKIN, "").any()
    assert members([], "lighter").shape == (0,)


def test_values_are_what_occurs() -> None:
    assert values(SKIN) == ["darker", "lighter"]
    assert values(["", ""]) == []


def test_an_intersection_has_every_combination_of_a_cell() -> None:
    both = intersection(GENDER, SKIN)
    assert both == ["masc & lighter", "fem & darker", "fem & lighter|fem & darker", "", ""]
    assert members(both, "fem & darker").tolist() == [False, True, True, False, False]
    expected = members(GENDER, "fem") & members(SKIN, "lighter")
    assert members(both, "fem & lighter").tolist() == expected.tolist()
