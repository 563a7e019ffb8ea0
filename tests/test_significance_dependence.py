"""The inflation curve against R and simulation; Cochran's Q against R, statsmodels and its null; covariances that say too little."""

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.meta_analysis import combine_effects

from qbias.records import Insufficient
from qbias.significance.dependence import heterogeneity, inflation_curve, rejection_rate
from qbias.significance.records import Heterogeneity
from tests.golden.significance_r import R


def found(change: Any, covariance: Any, **options: Any) -> Heterogeneity:
    result = heterogeneity([f"m{row}" for row in range(len(change))], change, covariance, name="gap", **options)
    assert isinstance(result, Heterogeneity)
    return result


@pytest.mark.parametrize("expected", R["inflation"], ids=str)
def test_rejection_rate_against_r(expected: dict[str, float]) -> None:
    assert rejection_rate(expected["rho"], n=int(expected["n"])) == pytest.approx(expected["rate"], rel=1e-9)


@pytest.mark.parametrize(("rho", "n"), [(0.3, 8), (0.1, 5)])
def test_rejection_rate_against_simulation(rho: float, n: int) -> None:
    rng, draws = np.random.default_rng(3), 20_000
    d = math.sqrt(rho) * rng.normal(size=(draws, 1)) + math.sqrt(1 - rho) * rng.normal(size=(draws, n))
    seen = float(np.mean(stats.ttest_1samp(d, 0, axis=1).pvalue < 0.05))
    assert rejection_rate(rho, n=n) == pytest.approx(seen, abs=4 * math.sqrt(0.21 / draws))


def test_the_paper_s_eight_models() -> None:
    assert rejection_rate(0.3, n=8) == pytest.approx(0.30, abs=0.005)
    assert rejection_rate(0.0, n=8, alpha=0.1) == pytest.approx(0.1, rel=1e-12)
    curve = inflation_curve(8, rhos=[0.0, 0.2, 0.9])
    assert [rho for rho, _ in curve] == [0, 0.2, 0.9]
    assert curve[1] == (0.2, rejection_rate(0.2, n=8))
    assert curve[0][1] < curve[1][1] < curve[2][1] < 1


@pytest.mark.parametrize(("rho", "n", "alpha"), [(1.0, 8, 0.05), (-1 / 7, 8, 0.05), (0.1, 1, 0.05), (0.1, 8, 0.0), (math.nan, 8, 0.05)])
def test_arguments_outside_their_range_are_refused(rho: float, n: int, alpha: float) -> None:
    with pytest.raises(ValueError, match="rho above"):
        rejection_rate(rho, n=n, alpha=alpha)


@pytest.mark.parametrize("case", R["heterogeneity"])
def test_q_against_r(case: str) -> None:
    expected = R["heterogeneity"][case]
    result = found(expected["changes"], expected["covariance"])
    assert (result.q, result.df, result.p) == pytest.approx((expected["q"], expected["df"], expected["p"]), rel=1e-8)
    assert [result.pooled, result.low, result.high] == pytest.approx([expected["pooled"], *expected["ci"]], rel=1e-8)
    assert (result.i_squared, result.mean_correlation) == pytest.approx((expected["i_squared"], expected["mean_correlation"]), rel=1e-8)
    assert result.change_M == tuple(expected["changes"])
    assert result.covariance_MM == tuple(map(tuple, expected["covariance"]))


def test_independent_models_against_statsmodels() -> None:
    rng = np.random.default_rng(8)
    change, variance = rng.normal(size=6), rng.uniform(0.1, 2, 6)
    expected, result = combine_effects(change, variance), found(change, np.diag(variance))
    assert (result.q, result.pooled) == pytest.approx((expected.q, expected.mean_effect_fe))
    assert result.i_squared == pytest.approx(max(0.0, expected.i2))


def test_q_is_chi_squared_if_models_changed_alike_however_correlated() -> None:
    rng = np.random.default_rng(4)
    factors = rng.normal(size=(6, 8))
    covariance = factors @ factors.T
    changes = 0.7 + rng.multivariate_normal(np.zeros(6), covariance, size=1500)
    results = [found(change, covariance) for change in changes]
    assert stats.kstest([row.p for row in results], "uniform").pvalue > 0.01
    covered = np.mean([row.low <= 0.7 <= row.high for row in results])
    assert covered == pytest.approx(0.95, abs=3 * math.sqrt(0.95 * 0.05 / 1500))


def test_the_unit_does_not_matter() -> None:
    expected = R["heterogeneity"]["correlated"]
    change, covariance = np.array(expected["changes"]), np.array(expected["covariance"])
    assert found(change * 1e-6, covariance * 1e-12).q == pytest.approx(expected["q"], rel=1e-8)


def test_one_model_twice_counts_once() -> None:
    once = found([0.1, 0.3, 0.2], np.diag([0.01, 0.02, 0.03]))
    twice = np.diag([0.01, 0.02, 0.03, 0.03])
    twice[2, 3] = twice[3, 2] = 0.03
    result = found([0.1, 0.3, 0.2, 0.2], twice)
    assert (result.q, result.df, result.p, result.pooled, result.high) == pytest.approx((once.q, 2, once.p, once.pooled, once.high))


@pytest.mark.parametrize("change", [[0.1, 0.3, 0.2, 0.25], [0.1, 0.1, 0.1, 0.2]])
def test_a_difference_that_no_image_explains_is_insufficient(change: list[float]) -> None:
    covariance = np.diag([0.01, 0.02, 0.03, 0.03])
    covariance[2, 3] = covariance[3, 2] = 0.03
    result = heterogeneity("abcd", change, covariance, name="gap")
    assert isinstance(result, Insufficient)
    assert result.counts == {"models": 4, "rank": 3}


def test_a_combination_with_a_known_mean_is_insufficient() -> None:
    # Two models whose changes are the same images' at 1 and 2 times the size: 2 a - b never varies, and would fix the mean exactly.
    result = heterogeneity("abc", [0.1, 0.2, 0.3], [[1, 2, 0], [2, 4, 0], [0, 0, 1]], name="gap")
    assert isinstance(result, Insufficient)
    assert "does not vary over images" in result.reason


@pytest.mark.parametrize("rounding", [0.0, 1e-34])
def test_a_model_that_no_image_changed_is_insufficient(rounding: float) -> None:
    result = heterogeneity("abc", [0.1, 0.0, 0.2], np.diag([0.01, rounding, 0.02]), name="gap")
    assert isinstance(result, Insufficient)
    assert result.counts == {"models": 3, "without variance": 1}
    assert isinstance(heterogeneity("ab", [0, 0], np.zeros((2, 2)), name="gap"), Insufficient)


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_models_are_insufficient(n: int) -> None:
    result = heterogeneity(["a"][:n], [0.1][:n], np.ones((n, n)), name="gap")
    assert isinstance(result, Insufficient)
    assert result.counts == {"models": n, "needed": 2}


def test_equal_changes_leave_nothing_to_explain() -> None:
    result = found([0.2, 0.2, 0.2], np.diag([1.0, 2.0, 3.0]))
    assert (result.q, result.p, result.i_squared, result.pooled) == pytest.approx((0, 1, 0, 0.2), abs=1e-12)
    assert found([0.0, 0.0], np.eye(2)).i_squared == 0


@pytest.mark.parametrize(
    ("models", "change", "covariance", "message"),
    [
        ("ab", [1.0], np.eye(2), "shape"),
        ("ab", [1.0, 2.0], np.eye(3), "shape"),
        ("aa", [1.0, 2.0], np.eye(2), "a comes twice"),
        ("ab", [1.0, math.nan], np.eye(2), "not finite"),
        ("ab", [1.0, 2.0], [[1, math.inf], [math.inf, 1]], "not finite"),
        ("ab", [1.0, 2.0], [[1, 0.5], [0.2, 1]], "not symmetric"),
        ("ab", [1.0, 2.0], [[1, 0], [0, -1]], "negative variance"),
        ("ab", [1.0, 2.0], [[1, 2], [2, 1]], "negative eigenvalue"),
    ],
)
def test_what_is_no_covariance_is_refused(models: str, change: Any, covariance: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        heterogeneity(models, change, covariance, name="gap")


def test_confidence_is_a_share() -> None:
    with pytest.raises(ValueError, match="confidence=95"):
        heterogeneity("ab", [1.0, 2.0], np.eye(2), name="gap", confidence=95)
