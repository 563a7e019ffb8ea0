"""The simultaneous band: one critical value for all, held together as often as it says, and never without width."""

import numpy as np
import pytest
from scipy import stats

from qbias.significance.bands import band
from qbias.significance.bootstrap import Counts, Studentized, intervals, resampled, studentized

CLASSES = 12


def made(t_TB: np.ndarray) -> Studentized:
    size = len(t_TB)
    return Studentized(np.linspace(-0.2, 0.2, size), np.linspace(0.1, 0.3, size), t_TB)


def weights(size_S: np.ndarray) -> np.ndarray:
    """Gaps of CLASSES classes whose two groups stand side by side."""
    weight_TS = np.zeros((CLASSES, 2 * CLASSES))
    place = np.arange(CLASSES)
    weight_TS[place, 2 * place], weight_TS[place, 2 * place + 1] = 1 / size_S[::2], -1 / size_S[1::2]
    return weight_TS


def test_one_critical_value_for_all() -> None:
    t_TB = 4 * np.random.default_rng(0).standard_normal((5, 2000))
    student = made(t_TB)
    low_T, high_T, critical = band(student)
    assert critical == pytest.approx(np.quantile(np.abs(t_TB).max(axis=0), 0.95))
    assert (high_T - student.change_T) / student.error_T == pytest.approx(critical)
    assert (student.change_T - low_T) / student.error_T == pytest.approx(critical)


def test_the_band_is_wider_than_each_interval_alone() -> None:
    student = made(4 * np.random.default_rng(1).standard_normal((5, 2000)))
    assert (band(student)[1] > intervals(student)[1]).all()


@pytest.mark.parametrize("classes", [1, 3, 52])
def test_where_nothing_flipped_the_critical_value_is_that_of_independent_normals(classes: int) -> None:
    *_, critical = band(made(np.zeros((classes, 10))))
    # P(all of `classes` independent |Z| below it) = .95.
    assert (2 * stats.norm.cdf(critical) - 1) ** classes == pytest.approx(0.95)


def test_one_class_is_its_own_interval() -> None:
    student = made(3 * np.random.default_rng(2).standard_normal((1, 500)))
    assert (band(student)[0], band(student)[1]) == intervals(student)


def test_the_band_holds_all_true_changes_together() -> None:
    # 400 worlds of 12 classes; Monte Carlo error .011.
    random, held, alone = np.random.default_rng(3), 0, 0
    size_S = random.integers(40, 200, 2 * CLASSES)
    gain_S, loss_S = random.uniform(0.02, 0.08, (2, 2 * CLASSES))
    weight_TS, true_T = weights(size_S), (weights(size_S) * size_S) @ (gain_S - loss_S)
    for _ in range(400):
        flips_S = random.binomial(size_S, gain_S + loss_S)
        gained_S = random.binomial(flips_S, gain_S / (gain_S + loss_S))
        found = Counts(gained_S, flips_S - gained_S, size_S)
        student = studentized(found, resampled(found, draws=200, random=random), weight_TS, smoothing=0.25)
        low_T, high_T, _ = band(student)
        held += bool(((low_T <= true_T) & (true_T <= high_T)).all())
        low_T, high_T = intervals(student)
        alone += bool(((low_T <= true_T) & (true_T <= high_T)).all())
    assert 0.94 <= held / 400 <= 0.99
    assert alone / 400 < 0.75
