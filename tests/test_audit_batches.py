"""qbias.audit.batches: every composition holds the tracked items, and what depends on company is found."""

import numpy as np
import pytest

from qbias.audit.batches import TRACKED, compositions, differences, tracked

REACH = np.concatenate([np.arange(60.0)[::-1], [-1.0, 100.0, 200.0, 300.0]])
OWN = [57, 58, 59, 60]
ROWS = np.random.default_rng(0).normal(size=(64, 5))


def test_the_tracked_items_have_the_smallest_activations() -> None:
    assert sorted(tracked(REACH)) == OWN
    assert tracked(np.zeros(64)).tolist() == list(range(TRACKED))


def test_sizes_and_companions() -> None:
    found = list(compositions(REACH))
    assert [(outlier, len(items)) for outlier, items in found] == [(False, 1)] * 4 + [(False, 8), (True, 8), (True, 32)]
    assert sorted(items[0] for _, items in found[:4]) == OWN
    for _, items in found[4:]:
        assert set(OWN) <= set(items.tolist())
        assert len(set(items.tolist())) == len(items)
    assert set(found[5][1].tolist()) == {*OWN, 0, 61, 62, 63}
    assert found[6][1].tolist() != sorted(found[6][1].tolist())


def test_what_does_not_depend_on_company_differs_by_nothing() -> None:
    assert differences(lambda items: ROWS[items], ROWS, REACH) == (0.0, 0.0)


def test_what_depends_on_the_largest_companion_is_found() -> None:
    def embed(items: np.ndarray) -> np.ndarray:
        return ROWS[items] + 0.125 * (REACH[items].max() >= 300)

    assert differences(embed, ROWS, REACH) == pytest.approx((0.125, 0.125))


def test_what_depends_on_the_place_in_a_batch_is_found() -> None:
    def embed(items: np.ndarray) -> np.ndarray:
        return ROWS[items] + 0.001 * np.arange(len(items))[:, None]

    difference, _ = differences(embed, ROWS, REACH)
    assert difference > 0.001


def test_the_usual_batches_count_as_a_composition() -> None:
    other = ROWS.copy()
    other[58, 2] += 0.5
    assert differences(lambda items: ROWS[items], other, REACH) == pytest.approx((0.5, 0.0))
