"""The covariance of models' changes against a bootstrap that draws the same rows for all models."""

import numpy as np
import pytest

from qbias.significance.joint import change_covariance

SIZES = (40, 25, 90)


def shared(models: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Flips of models that partly fall on the same images, weights by stratum, strata."""
    random = np.random.default_rng(seed)
    stratum_N = np.repeat(np.arange(len(SIZES)), SIZES)
    common_N = random.choice([-1, 0, 1], len(stratum_N), p=[0.2, 0.7, 0.1])
    own_NM = random.choice([-1, 0, 1], (len(stratum_N), models), p=[0.1, 0.8, 0.1])
    delta_NM = np.where(random.random(own_NM.shape) < 0.5, common_N[:, None], own_NM)
    return delta_NM, np.array([0.02, -0.04, 0.01])[stratum_N], stratum_N


def test_against_a_joint_bootstrap_of_rows() -> None:
    delta_NM, weight_N, stratum_N = shared()
    change_M, covariance_MM = change_covariance(delta_NM, weight_N, stratum_N)
    random, draws = np.random.default_rng(1), 20_000
    row_BN = np.concatenate([random.choice(np.flatnonzero(stratum_N == place), (draws, size)) for place, size in enumerate(SIZES)], axis=1)
    drawn_BM = np.stack([(weight_N[:, None] * delta_NM)[row_BN, model].sum(axis=1) for model in range(3)], axis=1)
    assert change_M == pytest.approx(weight_N @ delta_NM)
    assert drawn_BM.mean(axis=0) == pytest.approx(change_M, abs=0.01)
    expected_MM = np.cov(drawn_BM.T)
    assert covariance_MM == pytest.approx(expected_MM, abs=0.03 * expected_MM.diagonal().max())
    assert covariance_MM[0, 1] > 0.2 * covariance_MM[0, 0]


def test_one_stratum_is_the_textbook_variance() -> None:
    delta_N1 = np.repeat([1, -1, 0], [6, 10, 84])[:, None]
    change_M, covariance_MM = change_covariance(delta_N1, np.full(100, 0.01), np.zeros(100))
    assert change_M == pytest.approx([-0.04])
    assert covariance_MM[0, 0] == pytest.approx((0.16 - 0.04**2) / 100)


def test_the_same_model_twice_is_fully_correlated() -> None:
    delta_NM, weight_N, stratum_N = shared(1)
    _, covariance_MM = change_covariance(np.repeat(delta_NM, 2, axis=1), weight_N, stratum_N)
    assert np.ptp(covariance_MM) == pytest.approx(0, abs=1e-15)


def test_a_model_that_did_not_change_has_no_covariance() -> None:
    delta_NM, weight_N, stratum_N = shared(2)
    change_M, covariance_MM = change_covariance(delta_NM * [1, 0], weight_N, stratum_N)
    assert change_M[1] == 0
    assert not covariance_MM[1].any()


def test_strata_that_flip_as_a_whole_have_no_spread() -> None:
    # Sizes are fixed: drawing anew from images that are all alike changes nothing.
    _, covariance_MM = change_covariance([[1], [1], [0]], [0.5, 0.5, 1.0], [4, 4, 9])
    assert covariance_MM.tolist() == [[0.0]]
