"""Counts of parts add up to the counts of the whole, and give the same recalls, gaps and worst group to the last bit."""

from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qbias.metrics import gaps_between, group_counts, hit_counts, recall_gaps, recall_per_class, worst_group, worst_group_accuracy
from qbias.metrics.counts import HitCounts

CLASSES, GROUPS = 5, ("a", "b", "rare")


def drawn(seed: int, rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    group = rng.choice(["a", "b", "a|b", "rare", ""], rows, p=[0.4, 0.3, 0.1, 0.05, 0.15]).astype(object)
    return rng.integers(0, CLASSES, rows), rng.random(rows) < 0.6, group


def parts(rows: int, cuts: list[int], order: Random) -> list[slice]:
    ends = sorted({0, rows, *(cut % (rows + 1) for cut in cuts)})
    found = [slice(*pair) for pair in pairwise(ends)]
    order.shuffle(found)
    return found


def total(counts: list[HitCounts], order: Random) -> HitCounts:
    """Joined two at a time, whichever two come."""
    while len(counts) > 1:
        order.shuffle(counts)
        counts = [counts[0] + counts[1], *counts[2:]]
    return counts[0]


@settings(max_examples=50)
@given(seed=st.integers(0, 99), cuts=st.lists(st.integers(0, 300), max_size=9), order=st.randoms(use_true_random=False))
def test_parts_in_any_order_give_the_whole(seed: int, cuts: list[int], order: Random) -> None:
    label, hit, group = drawn(seed, 300)
    first, second = (np.array([name in cell.split("|") for cell in group]) for name in ("a", "b"))
    some = parts(300, cuts, order)
    all_of_it = total([hit_counts(label[part], hit[part], classes=CLASSES) for part in some], order)
    recall, count = recall_per_class(label, hit, classes=CLASSES)
    assert all_of_it.recall_C.tobytes() == recall.tobytes()
    assert np.array_equal(all_of_it.count_C, count)
    sides = [
        total([hit_counts(label[part][side[part]], hit[part][side[part]], classes=CLASSES) for part in some], order)
        for side in (first, second)
    ]
    gaps, expected = gaps_between(*sides, min_per_group=5), recall_gaps(label, hit, first, second, classes=CLASSES, min_per_group=5)
    assert all(getattr(gaps, name).tobytes() == getattr(expected, name).tobytes() for name in vars(expected))
    counted = total([group_counts(hit[part], group[part], groups=GROUPS) for part in some], order)
    assert worst_group(counted, groups=GROUPS, min_per_group=5) == worst_group_accuracy(hit, group, groups=GROUPS, min_per_group=5)


def test_counts_of_other_cells_do_not_add_up() -> None:
    with pytest.raises(ValueError, match="counts of 2 and of 3 cells"):
        hit_counts([0], [True], classes=2) + hit_counts([0], [True], classes=3)


def test_no_part_of_no_group_counts() -> None:
    empty = group_counts([True], ["a"], groups=())
    with pytest.raises(ValueError, match="no group has 1 images"):
        worst_group(empty + empty, groups=(), min_per_group=1)
