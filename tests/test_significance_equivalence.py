"""Equivalence tests and simultaneous intervals against R, statsmodels and hand arithmetic; borders and degenerate input."""

import math

import numpy as np
import pytest
from statsmodels.stats.weightstats import DescrStatsW

from qbias.significance.equivalence import equivalence, simultaneous_intervals
from tests.golden.significance_r import R, paired_test


@pytest.mark.parametrize("case", R["over_models"])
def test_against_r(case: str) -> None:
    expected = R["over_models"][case]
    test = paired_test(expected["differences"])
    found = equivalence(test, margin=expected["margin"], harm="higher")
    assert found.p == pytest.approx(expected["tost_p"], rel=1e-9)
    assert [found.low, found.high] == pytest.approx(expected["tost_ci"], rel=1e-9)
    assert found.smallest_margin == pytest.approx(expected["smallest_margin"], rel=1e-9)
    assert found.equivalent == (expected["tost_p"] <= 0.05)
    assert found.non_inferior == (expected["p_below_plus"] <= 0.05)
    assert equivalence(test, margin=expected["margin"], harm="lower").non_inferior == (expected["p_above_minus"] <= 0.05)
    assert simultaneous_intervals({"a": test}, size=6)["a"] == pytest.approx(expected["bonferroni_6"], rel=1e-9)


@pytest.mark.parametrize("seed", range(10))
def test_against_statsmodels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    d, margin = rng.normal(0.1, 1, rng.integers(3, 20)), float(rng.uniform(0.1, 2))
    found = equivalence(paired_test(d), margin=margin, harm="none", alpha=0.1)
    assert found.p == pytest.approx(DescrStatsW(d).ttost_mean(-margin, margin)[0], rel=1e-9)
    assert found.non_inferior is None


def test_the_smallest_margin_is_where_it_passes() -> None:
    test = paired_test([0.012, -0.004, 0.021, 0.007])
    least = equivalence(test, margin=1, harm="none").smallest_margin
    assert equivalence(test, margin=least, harm="none").p == pytest.approx(0.05, rel=1e-9)
    assert equivalence(test, margin=least * 1.0001, harm="none").equivalent
    assert not equivalence(test, margin=least * 0.9999, harm="none").equivalent


def test_passing_is_the_interval_inside_the_margin() -> None:
    for margin in np.linspace(0.005, 0.06, 40).tolist():
        found = equivalence(paired_test([0.03, 0.01, 0.04, -0.01, 0.02]), margin=margin, harm="higher", alpha=0.1)
        assert found.equivalent == (-margin <= found.low and found.high <= margin)
        assert found.non_inferior == (found.high <= margin)


def test_a_gain_beyond_the_margin_is_not_equivalent_but_not_inferior() -> None:
    found = equivalence(paired_test([0.10, 0.11, 0.12, 0.11]), margin=0.02, harm="lower")
    assert (found.equivalent, found.non_inferior) == (False, True)
    assert equivalence(paired_test([-0.10, -0.11, -0.12, -0.11]), margin=0.02, harm="lower").non_inferior is False


def test_no_change_at_all_is_equivalent_at_every_margin() -> None:
    found = equivalence(paired_test([0.0] * 8), margin=1e-12, harm="higher")
    assert (found.p, found.equivalent, found.non_inferior) == (0, True, True)
    assert (found.low, found.high, found.smallest_margin) == (0, 0, 0)
    assert simultaneous_intervals({"a": paired_test([0.0] * 3)}, size=4) == {"a": (0, 0)}


def test_simultaneous_intervals_widen_with_the_declared_family_and_keep_the_order() -> None:
    tests = {"b": paired_test([1, 2, 4]), "a": paired_test([0.5, 0.1, 0.2])}
    found = simultaneous_intervals(tests, size=2, alpha=0.1)
    assert list(found) == ["b", "a"]
    assert found["b"] == pytest.approx((tests["b"].ci_low, tests["b"].ci_high))
    assert simultaneous_intervals(tests, size=9)["a"][1] > simultaneous_intervals(tests, size=2)["a"][1]


@pytest.mark.parametrize("margin", [0.0, -0.1, math.nan, math.inf])
def test_margins_that_are_none_are_refused(margin: float) -> None:
    with pytest.raises(ValueError, match=r"gap: margin=.*above 0"):
        equivalence(paired_test([1, 2, 4]), margin=margin, harm="none")


@pytest.mark.parametrize("alpha", [0.0, 0.5, 5.0, math.nan])
def test_alpha_is_a_small_share(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha="):
        equivalence(paired_test([1, 2, 4]), margin=1, harm="none", alpha=alpha)
    with pytest.raises(ValueError, match="alpha="):
        simultaneous_intervals({}, size=1, alpha=alpha)


def test_a_family_smaller_than_its_tests_is_refused() -> None:
    with pytest.raises(ValueError, match="size=1 is below the 2"):
        simultaneous_intervals({"a": paired_test([1, 2, 4]), "b": paired_test([1, 2, 4])}, size=1)
