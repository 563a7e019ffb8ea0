"""Effect size, sign-flip and signed-rank tests against R, scipy, hand arithmetic and plain enumeration; ties, zeros, few models."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from qbias.records import Insufficient
from qbias.significance.companions import companions
from qbias.significance.records import Companions
from tests.golden.significance_r import R, named


def row(differences: list[float], *, seed: int = 1, **options: float) -> Companions:
    found = companions(named(differences), name="gap", seed=seed, **options)  # type: ignore[arg-type]
    assert isinstance(found, Companions)
    return found


@pytest.mark.parametrize("case", R["over_models"])
def test_against_r(case: str) -> None:
    expected = R["over_models"][case]
    found = row(expected["differences"])
    assert found.mean_difference == pytest.approx(expected["mean"], rel=1e-12)
    assert found.d_z == pytest.approx(expected["d_z"], rel=1e-12)
    assert found.wilcoxon_p == pytest.approx(expected["wilcoxon"], rel=1e-12)
    if expected["sign_flip"] is not None:
        assert found.sign_flip_p == pytest.approx(expected["sign_flip"], rel=1e-12)


def test_against_hand_arithmetic() -> None:
    # 1, 2, 4, -1: |sum| >= 6 for +-(1, 2, 4, 1), +-(1, 2, 4, -1), +-(-1, 2, 4, 1): 6 of 16. Midranks 1.5, 3, 4, 1.5; the sum of those up
    # is 8.5; at least 8.5 or at most 1.5: none, {1.5}, {1.5}, and their complements: 6 of 16.
    # J = gamma(1.5) / (sqrt(1.5) gamma(1)) = .7236; mean 1.5, s^2 = (22 - 9) / 3.
    found = row([1, 2, 4, -1])
    assert (found.sign_flip_p, found.wilcoxon_p) == (6 / 16, 6 / 16)
    assert found.d_z == pytest.approx(math.sqrt(math.pi) / 2 / math.sqrt(1.5) * 1.5 / math.sqrt(13 / 3))
    assert (found.n, found.up, found.down, found.unchanged) == (4, 3, 1, 0)
    assert (found.sign_flip_method, found.draws, found.seed, found.smallest_sign_flip_p) == ("exact", 16, None, 1 / 8)


@pytest.mark.parametrize("seed", range(12))
def test_against_every_pattern_written_out_and_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Whole numbers: many ties and some zeros; no rounding in the plain version.
    d = rng.integers(-3, 5, size=rng.integers(2, 10)).astype(float)
    found = row(d.tolist())
    patterns = np.array(list(itertools.product([-1, 1], repeat=len(d))))
    assert found.sign_flip_p == np.mean(np.abs(patterns @ d) >= abs(d.sum()))
    moved = d[d != 0]
    ranks = stats.rankdata(np.abs(moved))
    ranked = np.array(list(itertools.product([-1, 1], repeat=len(moved)))) @ ranks if len(moved) else np.zeros(1)
    assert found.wilcoxon_p == pytest.approx(np.mean(np.abs(ranked) >= abs(np.sign(moved) @ ranks)), rel=1e-12)
    by_scipy = stats.permutation_test((d,), np.sum, permutation_type="samples", n_resamples=np.inf)
    assert found.sign_flip_p == pytest.approx(by_scipy.pvalue, rel=1e-12)


@pytest.mark.parametrize("n", [5, 16, 30, 60])
def test_wilcoxon_without_ties_against_scipy(n: int) -> None:
    d = np.random.default_rng(n).normal(0.2, 1, n)
    assert row(d.tolist(), draws=10).wilcoxon_p == pytest.approx(stats.wilcoxon(d, method="exact").pvalue, rel=1e-10)


def test_what_only_rounding_parts_is_tied() -> None:
    # .71 - .68 and .41 - .38 differ in the last bits, as does .2 + .1 from .3: the same p-values as whole hundredths.
    pairs = [(0.68, 0.71), (0.56, 0.58), (0.52, 0.50), (0.37, 0.36), (0.41, 0.38), (0.2 + 0.1, 0.3), (0.25, 0.24)]
    rounded, whole = row([a - b for a, b in pairs]), row([-3, -2, 2, 1, 3, 0, 1])
    for name in ("sign_flip_p", "wilcoxon_p", "up", "down", "unchanged"):
        assert getattr(rounded, name) == getattr(whole, name)
    assert (rounded.up, rounded.down, rounded.unchanged) == (4, 2, 1)


def test_scale_says_what_rounding_is() -> None:
    assert row([1e-14, 2e-14, -1e-14]).unchanged == 0
    assert row([1e-14, 2e-14, -1e-14], scale=100.0).unchanged == 3


def test_no_change_at_all_is_p_one() -> None:
    found = row([0.0] * 8)
    assert (found.mean_difference, found.d_z, found.sign_flip_p, found.wilcoxon_p, found.unchanged) == (0, None, 1, 1, 8)
    many = row([0.0] * 20, draws=50)
    assert (many.sign_flip_p, many.wilcoxon_p) == (1, 1)


def test_the_same_change_everywhere_has_no_effect_size_and_the_smallest_p() -> None:
    found = row([0.1 + 0.01 - 0.1, 0.01, 0.31 - 0.30, 0.01])
    assert found.d_z is None
    assert (found.sign_flip_p, found.wilcoxon_p) == (found.smallest_sign_flip_p, 0.125) == (0.125, 0.125)


def test_few_models() -> None:
    assert companions({}, name="gap", seed=1) == Insufficient("gap", "no model has both values", {"models": 0})
    one, two = row([0.3]), row([0.3, 0.1])
    assert (one.sign_flip_p, one.smallest_sign_flip_p, one.wilcoxon_p, one.d_z) == (1, 1, 1, None)
    assert (two.sign_flip_p, two.smallest_sign_flip_p, two.wilcoxon_p, two.d_z) == (0.5, 0.5, 0.5, None)


def test_random_patterns_above_sixteen_models() -> None:
    d = np.random.default_rng(5).normal(0.45, 1, 17)
    found = row(d.tolist(), seed=3, draws=40_000)
    signs = np.array(list(itertools.product([-1, 1], repeat=17)), dtype=np.int8)
    exact = float(np.mean(np.abs(signs @ d) >= abs(d.sum()) - 1e-12))
    assert 0.01 < exact < 0.3
    assert found.sign_flip_p == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 40_000))
    assert (found.sign_flip_method, found.draws, found.seed) == ("monte carlo", 40_000, 3)
    assert row(d.tolist(), seed=3, draws=40_000) == found
    assert row(d.tolist(), seed=4, draws=40_000).sign_flip_p != found.sign_flip_p


def test_random_patterns_never_give_zero() -> None:
    found = row([1.0 + step for step in range(40)], draws=99)
    assert found.sign_flip_p == found.smallest_sign_flip_p == 0.01


def test_random_patterns_in_parts_are_all_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qbias.significance.companions.CELLS", 100)
    assert row([0.0] * 20 + [1.0], draws=17).sign_flip_p == 1


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_differences_that_are_not_finite_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match=r"gap: \{'m1': "):
        companions(named([0.1, value, 0.2]), name="gap", seed=1)


def test_draws_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="draws=0"):
        companions(named([0.1]), name="gap", seed=1, draws=0)
