"""The paired t-test against scipy, against hand arithmetic and on degenerate input."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from qbias.records import Insufficient
from qbias.significance import PairedTest, paired_t

BEFORE = {"a": 0.10, "b": 0.20, "c": 0.30, "d": 0.40}


def result(before: dict[str, float], after: dict[str, float], **options: float) -> PairedTest:
    found = paired_t(before, after, name="gap", **options)
    assert isinstance(found, PairedTest)
    return found


def test_against_hand_arithmetic() -> None:
    # Differences 1, 2, 3, 6: mean 3, squared deviations 4 + 1 + 0 + 9 = 14, s^2 = 14 / 3, t = 3 / sqrt(14 / 12) = 2.77746.
    # With 3 degrees of freedom the 97.5 % quantile is 3.18245 (tables), so the half width is 3.18245 * sqrt(14 / 12) = 3.43743.
    found = result({"a": 0.0, "b": 0.0, "c": 0.0, "d": 0.0}, {"a": 1.0, "b": 2.0, "c": 3.0, "d": 6.0})
    assert (found.n, found.df, found.mean_difference) == (4, 3, 3.0)
    assert found.spread == pytest.approx(math.sqrt(14 / 3))
    assert found.t == pytest.approx(2.77746, abs=1e-5)
    assert (found.ci_low, found.ci_high) == pytest.approx((3 - 3.43743, 3 + 3.43743), abs=1e-4)


def test_p_against_the_closed_form_for_two_degrees_of_freedom() -> None:
    # With 2 degrees of freedom P(|T| > t) = 1 - t / sqrt(t^2 + 2). Differences 1, 2, 3: t = 2 sqrt(3), p = 1 - sqrt(12 / 14).
    found = result({"a": 0.0, "b": 0.0, "c": 0.0}, {"a": 1.0, "b": 2.0, "c": 3.0})
    assert found.p == pytest.approx(1 - math.sqrt(12 / 14), rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.integers(3, 30), st.integers(0, 2**32 - 1), st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_against_scipy(n: int, seed: int, confidence: float) -> None:
    random = np.random.default_rng(seed)
    before_M, after_M = random.uniform(0, 1, n), random.uniform(0, 1, n)
    names = [f"model-{row}" for row in range(n)]
    found = result(dict(zip(names, before_M.tolist(), strict=True)), dict(zip(names, after_M.tolist(), strict=True)), confidence=confidence)
    expected = stats.ttest_rel(after_M, before_M)
    interval = expected.confidence_interval(confidence)
    assert (found.t, found.p, found.df) == pytest.approx((expected.statistic, expected.pvalue, expected.df))
    assert (found.ci_low, found.ci_high) == pytest.approx((interval.low, interval.high))


def test_it_keeps_its_inputs_whatever_their_order() -> None:
    after = {"d": 0.41, "c": 0.33, "b": 0.19, "a": 0.12}
    found = result(BEFORE, after)
    assert found.baseline == BEFORE
    assert found.candidate == after
    assert found.differences == pytest.approx({"a": 0.02, "b": -0.01, "c": 0.03, "d": 0.01})


def test_changing_sides_turns_every_sign() -> None:
    after = {"a": 0.12, "b": 0.19, "c": 0.33, "d": 0.41}
    there, back = result(BEFORE, after), result(after, BEFORE)
    assert (there.t, there.ci_low, there.ci_high) == pytest.approx((-back.t, -back.ci_high, -back.ci_low))
    assert there.p == pytest.approx(back.p)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_fewer_than_three_models_are_insufficient(n: int) -> None:
    side = {f"model-{row}": 0.1 * row for row in range(n)}
    found = paired_t(side, side, name="gap")
    assert isinstance(found, Insufficient)
    assert found.reason == "a t-test across models needs at least three models"
    assert found.counts == {"models": n, "needed": 3}


def test_no_change_at_all_is_p_one_and_an_interval_of_zero() -> None:
    found = result(BEFORE, dict(BEFORE))
    assert (found.mean_difference, found.ci_low, found.ci_high, found.t, found.p) == (0, 0, 0, 0, 1)
    assert math.isnan(stats.ttest_rel([*BEFORE.values()], [*BEFORE.values()]).pvalue)


def test_the_same_change_everywhere_is_insufficient_not_certain() -> None:
    # .1 + .01, .2 + .01 ... differ in the last bits, as metrics that move by one image do.
    found = paired_t(BEFORE, {model: value + 0.01 for model, value in BEFORE.items()}, name="gap")
    assert isinstance(found, Insufficient)
    assert "0.01" in found.reason
    assert found.counts["distinct differences"] == 1


def test_what_only_rounding_changed_did_not_change() -> None:
    found = result(BEFORE, {model: (value * 3) / 3 + 1e-17 for model, value in BEFORE.items()})
    assert found.p == 1
    assert set(found.differences.values()) == {0.0}


def test_a_small_but_true_spread_is_kept() -> None:
    found = result(BEFORE, {model: value + 1e-9 * row for row, (model, value) in enumerate(BEFORE.items())})
    assert found.spread == pytest.approx(1.29e-9, rel=0.01)


def test_sides_with_other_models_are_refused() -> None:
    with pytest.raises(ValueError, match="d stand on one side only"):
        paired_t(BEFORE, {"a": 1.0, "b": 1.0, "c": 1.0}, name="gap")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_values_that_are_not_finite_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="the value of b"):
        paired_t(BEFORE, {**BEFORE, "b": value}, name="gap")


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0])
def test_confidence_is_a_share(confidence: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        paired_t(BEFORE, BEFORE, name="gap", confidence=confidence)


def test_five_percent_of_true_nulls_are_rejected() -> None:
    random = np.random.default_rng(7)
    names = [f"model-{row}" for row in range(8)]
    rejected = 0
    for difference_M in random.normal(size=(2000, 8)):
        found = result(dict.fromkeys(names, 0.0), dict(zip(names, difference_M.tolist(), strict=True)))
        rejected += found.p < 0.05
    # Monte Carlo standard error of a share of .05 over 2,000 draws: .0049.
    assert rejected / 2000 == pytest.approx(0.05, abs=3 * 0.0049)
