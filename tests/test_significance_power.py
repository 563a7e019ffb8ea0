"""Smallest detectable differences and models needed against R, statsmodels and simulation; degenerate input."""

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from qbias.significance.power import MOST_MODELS, _tost_power, power_of
from tests.golden.significance_r import R, paired_test


def with_spread(n: int, spread: float) -> list[float]:
    """Differences with mean 0 and this standard deviation."""
    d = np.linspace(-1, 1, n)
    return (d / d.std(ddof=1) * spread).tolist()


@pytest.mark.parametrize("expected", R["detectable"], ids=str)
def test_smallest_detectable_against_r(expected: dict[str, float]) -> None:
    test = paired_test(with_spread(int(expected["n"]), expected["sd"]))
    found = power_of(test, alpha=expected["alpha"], power=expected["power"])
    assert found.smallest_detectable == found.smallest_detectable_corrected == pytest.approx(expected["delta"], rel=1e-9)
    assert (found.power, found.models_needed) == (expected["power"], None)


@pytest.mark.parametrize("n", [4, 8, 25])
@pytest.mark.parametrize("family", [1, 6, 66])
def test_smallest_detectable_against_statsmodels(n: int, family: int) -> None:
    found = power_of(paired_test(with_spread(n, 0.02)), family_size=family)
    assert TTestPower().power(found.smallest_detectable / 0.02, n, 0.05) == pytest.approx(0.8, rel=1e-9)
    # One-sided: statsmodels' two-sided power is not a number where the far tail is as good as empty.
    beyond = TTestPower().power(found.smallest_detectable_corrected / 0.02, n, 0.05 / family / 2, alternative="larger")
    assert beyond == pytest.approx(0.8, abs=1e-5)


def test_it_depends_on_the_spread_not_on_the_mean() -> None:
    there, moved = power_of(paired_test([0.01, 0.03, 0.02])), power_of(paired_test([0.51, 0.53, 0.52]))
    assert there.smallest_detectable == pytest.approx(moved.smallest_detectable, rel=1e-9)


@pytest.mark.parametrize("expected", R["tost_power"], ids=str)
def test_power_of_an_equivalence_test_against_r(expected: dict[str, float]) -> None:
    assert _tost_power(int(expected["n"]), expected["ratio"], 1.0, 0.05) == pytest.approx(expected["power"], abs=1e-9)


def test_power_of_an_equivalence_test_against_simulation() -> None:
    rng, n, margin, draws = np.random.default_rng(11), 8, 1.0, 40_000
    d = rng.normal(size=(draws, n))
    half = stats.t.ppf(0.95, n - 1) * d.std(axis=1, ddof=1) / math.sqrt(n)
    seen = np.mean(np.abs(d.mean(axis=1)) + half <= margin)
    assert _tost_power(n, margin, 1.0, 0.05) == pytest.approx(seen, abs=4 * math.sqrt(0.25 / draws))


@pytest.mark.parametrize("expected", R["models_needed"], ids=str)
def test_models_needed_against_r(expected: dict[str, float]) -> None:
    assert power_of(paired_test(with_spread(8, 0.02)), margin=0.02 * expected["ratio"]).models_needed == expected["n"]


@pytest.mark.parametrize("ratio", [0.1, 0.31, 0.7, 1.6])
def test_models_needed_is_the_first_number_that_suffices(ratio: float) -> None:
    needed = power_of(paired_test(with_spread(5, 1.0)), margin=ratio, power=0.9).models_needed
    assert needed is not None
    assert _tost_power(needed, ratio, 1.0, 0.05) >= 0.9 > _tost_power(needed - 1, ratio, 1.0, 0.05)


def test_above_alpha_power_grows_with_the_number_of_models() -> None:
    for ratio in (0.1, 0.2, 0.3, 0.5, 1.0, 4.0):
        powers = np.array([_tost_power(n, ratio, 1.0, 0.05) for n in (*range(3, 300), 1000, MOST_MODELS)])
        growing = powers[np.argmax(powers > 0.05) :]
        assert growing[-1] > 0.99
        # Near 1 the curve is flat up to the quadrature's error.
        assert np.diff(growing).min() > -1e-10


def test_a_margin_out_of_reach_needs_none_that_exists() -> None:
    assert power_of(paired_test(with_spread(8, 1.0)), margin=1e-6).models_needed is None
    assert power_of(paired_test(with_spread(8, 1.0)), margin=0.03).models_needed == pytest.approx((1.645 + 1.282) ** 2 / 0.03**2, rel=0.01)


def test_no_change_at_all_would_have_shown_any() -> None:
    found = power_of(paired_test([0.0] * 8), family_size=66, margin=0.01)
    assert (found.smallest_detectable, found.smallest_detectable_corrected, found.models_needed) == (0, 0, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 0.0}, "alpha=0.0"),
        ({"margin": 0.0}, "margin=0.0"),
        ({"margin": math.inf}, "margin=inf"),
        ({"family_size": 0}, "family_size=0"),
        ({"power": 1.0}, "power=1.0"),
        ({"power": 0.05}, "power=0.05"),
    ],
)
def test_arguments_outside_their_range_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        power_of(paired_test([1, 2, 4]), **options)  # type: ignore[arg-type]
