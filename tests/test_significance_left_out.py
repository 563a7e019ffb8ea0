"""The test without each source or size against the test of the rest made by hand; rests too small for an interval."""

import pytest
from scipy import stats

from qbias.significance.left_out import leave_one_out
from qbias.significance.paired import PairedTest, paired_t
from tests.golden.significance_r import paired_test

SIZES = {"m0": "B/32", "m1": "L/14", "m2": "B/32", "m3": "B/16", "m4": "L/14", "m5": "B/16"}


def test_against_scipy_on_the_rest() -> None:
    d = [0.01, 0.05, -0.02, 0.03, 0.00, 0.04]
    rows = leave_one_out(paired_test(d), SIZES, label="size")
    assert [(row.label, row.value, row.n) for row in rows] == [("size", "B/32", 4), ("size", "L/14", 4), ("size", "B/16", 4)]
    for row in rows:
        rest = [value for value, size in zip(d, SIZES.values(), strict=True) if size != row.value]
        interval = stats.ttest_1samp(rest, 0).confidence_interval(0.95)
        assert (row.mean_difference, row.low, row.high) == pytest.approx((sum(rest) / 4, interval.low, interval.high))


def test_the_confidence_is_the_test_s() -> None:
    values = {"m0": 1.0, "m1": 2.0, "m2": 4.0, "m3": 0.5}
    test = paired_t(dict.fromkeys(values, 0.0), values, name="gap", confidence=0.8)
    assert isinstance(test, PairedTest)
    rows = leave_one_out(test, {**dict.fromkeys(values, "x"), "m3": "y", "other": "z"}, label="source")
    interval = stats.ttest_1samp([1.0, 2.0, 4.0], 0).confidence_interval(0.8)
    assert [row.value for row in rows] == ["x", "y"]
    assert (rows[1].low, rows[1].high) == pytest.approx((interval.low, interval.high))


def test_a_rest_too_small_or_without_spread_has_a_mean_only() -> None:
    values = {"m0": 0.1, "m1": 0.31 - 0.21, "m2": 0.1, "m3": 0.4}
    before = {"m0": 0.0, "m1": 0.3, "m2": 0.0, "m3": 0.0}
    test = paired_t(before, {model: before[model] + change for model, change in values.items()}, name="gap")
    assert isinstance(test, PairedTest)
    first, second = leave_one_out(test, {"m0": "x", "m1": "x", "m2": "x", "m3": "y"}, label="source")
    assert (first.n, first.mean_difference, first.low, first.high) == (1, pytest.approx(0.4), None, None)
    assert (second.n, second.mean_difference, second.low, second.high) == (3, pytest.approx(0.1), None, None)


def test_no_change_at_all_stays_none() -> None:
    rows = leave_one_out(paired_test([0.0] * 6), SIZES, label="size")
    assert {(row.mean_difference, row.low, row.high) for row in rows} == {(0.0, 0.0, 0.0)}


def test_a_value_that_all_share_gives_no_row() -> None:
    assert leave_one_out(paired_test([1, 2, 4]), dict.fromkeys(SIZES, "x"), label="source") == ()


def test_models_without_a_label_are_refused() -> None:
    with pytest.raises(ValueError, match="gap: m1, m2 have no source"):
        leave_one_out(paired_test([1, 2, 4]), {"m0": "x"}, label="source")
