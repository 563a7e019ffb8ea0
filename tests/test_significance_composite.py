"""The largest change of any group: which group, Bonferroni over all declared ones, equivalence of all by the worst one."""

import math

import numpy as np
import pytest
from scipy import stats

from qbias.records import Insufficient
from qbias.significance.composite import LargestChange, largest_change
from qbias.significance.paired import PairedTest
from tests.golden.significance_r import paired_test

SMALL_AND_SURE = [0.010, 0.011, 0.012, 0.010]
LARGE_AND_UNSURE = [-0.10, 0.02, -0.09, 0.01]


def found(tests: dict[str, PairedTest | Insufficient], **options: float) -> LargestChange:
    result = largest_change(tests, name="largest", **options)
    assert isinstance(result, LargestChange)
    return result


def test_estimate_and_p_may_come_from_two_groups() -> None:
    result = found({"small": paired_test(SMALL_AND_SURE), "large": paired_test(LARGE_AND_UNSURE), "none": paired_test([0.0] * 4)})
    assert (result.member, result.p_member, result.n) == ("large", "small", 4)
    assert result.mean_difference == pytest.approx(-0.04)
    assert result.p == pytest.approx(3 * stats.ttest_1samp(SMALL_AND_SURE, 0).pvalue)
    interval = stats.ttest_1samp(LARGE_AND_UNSURE, 0).confidence_interval(1 - 0.05 / 3)
    assert (result.ci_low, result.ci_high) == pytest.approx((interval.low, interval.high))
    assert (result.confidence, result.members, result.missing) == (0.95, ("small", "large", "none"), ())
    assert result.equivalence is None


def test_equivalence_of_all_is_that_of_the_worst() -> None:
    groups = {"small": paired_test(SMALL_AND_SURE), "large": paired_test(LARGE_AND_UNSURE)}
    result = found({**groups}, margin=0.05).equivalence
    assert result is not None
    worst = stats.ttest_1samp(LARGE_AND_UNSURE, -0.05, alternative="greater").pvalue
    assert (result.p, result.equivalent, result.margin, result.alpha) == (pytest.approx(worst), False, 0.05, 0.05)
    at_last = found(
        {"small": paired_test(SMALL_AND_SURE), "large": paired_test(LARGE_AND_UNSURE)}, margin=result.smallest_margin * 1.001
    ).equivalence
    assert at_last is not None
    assert at_last.equivalent
    assert (at_last.low, at_last.high) == (result.low, result.high)
    assert max(-result.low, result.high) == pytest.approx(result.smallest_margin)
    assert at_last.non_inferior is None


def test_a_missing_group_counts_and_leaves_equivalence_of_all_unsaid() -> None:
    short = Insufficient("rare", "too few", {"models": 2})
    result = found({"small": paired_test(SMALL_AND_SURE), "rare": short}, margin=0.5)
    alone = found({"small": paired_test(SMALL_AND_SURE)}, margin=0.5)
    assert (result.missing, result.equivalence, result.p) == (("rare",), None, pytest.approx(2 * alone.p))
    assert alone.equivalence is not None
    assert list(result.tests) == ["small"]


def test_no_group_with_a_test_is_insufficient() -> None:
    short = Insufficient("rare", "too few", {"models": 2})
    assert largest_change({"rare": short}, name="largest") == Insufficient(
        "largest", "no group has a test over models", {"groups": 1, "with a test": 0}
    )
    assert isinstance(largest_change({}, name="largest"), Insufficient)


def test_no_change_at_all() -> None:
    result = found({"a": paired_test([0.0] * 4), "b": paired_test([0.0] * 4)}, margin=0.01)
    assert (result.member, result.mean_difference, result.p, result.ci_low, result.ci_high) == ("a", 0, 1, 0, 0)
    assert result.equivalence is not None
    assert (result.equivalence.p, result.equivalence.smallest_margin) == (0, 0)


def test_at_most_five_percent_of_true_nulls_are_rejected() -> None:
    rng = np.random.default_rng(2)
    rejected = [found({str(row): paired_test(d) for row, d in enumerate(rng.normal(size=(7, 8)))}).p < 0.05 for _ in range(600)]
    assert np.mean(rejected) <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 600)


@pytest.mark.parametrize("margin", [0.0, math.nan])
def test_margins_that_are_none_are_refused_even_where_they_would_not_be_used(margin: float) -> None:
    with pytest.raises(ValueError, match="largest: margin="):
        largest_change({"a": Insufficient("a", "too few")}, name="largest", margin=margin)


def test_alpha_is_a_small_share() -> None:
    with pytest.raises(ValueError, match="alpha=5"):
        largest_change({}, name="largest", alpha=5)
