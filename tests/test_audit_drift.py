"""qbias.audit.drift: angles, overlaps and rank correlations by hand, and beside SciPy's."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from qbias.audit.drift import angles, drift, others, overlap, rank_correlation


def turned(degrees: list[float]) -> np.ndarray:
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1)


def test_angles_are_those_that_were_made() -> None:
    made = [0.0, 1e-7, 0.5, 30.0, 90.0, 135.0, 179.999, 180.0]
    np.testing.assert_allclose(angles(turned(made) * 3, turned([0.0] * 8)), made, rtol=1e-6, atol=1e-12)


def test_small_angles_keep_their_digits_in_float32() -> None:
    rows = turned([0.0, 0.0]).astype(np.float32)
    assert angles(rows, rows).tolist() == [0.0, 0.0]


def test_drift_by_hand() -> None:
    found = drift(turned([0.0, 60.0, 90.0, 0.0]), turned([0.0] * 4))
    wanted = {"cosine_mean": 0.625, "cosine_min": 0.0, "angle_mean": 37.5, "angle_median": 30.0, "angle_p95": 85.5, "angle_max": 90.0}
    assert found == pytest.approx(wanted, abs=1e-12)


def test_others_leave_out_the_item_itself() -> None:
    assert others(np.arange(9.0).reshape(3, 3)).tolist() == [[1, 2], [3, 5], [6, 7]]


def test_overlap_by_hand_ties_to_the_lower_index_and_k_beyond_the_columns() -> None:
    before = np.array([[4.0, 3.0, 2.0, 1.0], [1.0, 1.0, 1.0, 1.0]])
    after = np.array([[1.0, 2.0, 3.0, 4.0], [0.0, 1.0, 1.0, 1.0]])
    # Row 0: {0, 1} and {2, 3} share none. Row 1: {0, 1} and {1, 2} share one of two.
    assert overlap(after, before, 2) == 0.25
    assert overlap(before, before, 2) == 1.0
    assert overlap(after, before, 10) == 1.0


def test_rank_correlation_agrees_with_scipy_ties_included() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 6, (5, 30)).astype(float), rng.integers(0, 6, (5, 30)).astype(float)
    wanted = np.mean([spearmanr(one, two).statistic for one, two in zip(first, second, strict=True)])
    assert rank_correlation(first, second) == pytest.approx(wanted, abs=1e-12)
    assert rank_correlation(first, -first) == pytest.approx(-1.0)


def test_rows_without_an_order_are_left_out() -> None:
    rows = np.array([[1.0, 2.0, 3.0], [5.0, 5.0, 5.0]])
    assert rank_correlation(rows, rows) == pytest.approx(1.0)
    assert rank_correlation(rows[1:], rows[:1]) is None
