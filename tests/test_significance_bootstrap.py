"""The bootstrap from counts: equal in distribution to drawing rows, intervals that cover, and strata in which nothing flipped."""

import numpy as np
import pytest
from scipy import stats

from qbias.significance.bootstrap import Counts, cluster_studentized, counts, intervals, resampled, sorted_binomials, studentized

DRAWS = 20_000
# Images of three strata: gained, lost, same.
STRATA = ((4, 2, 24), (0, 5, 7), (0, 0, 9))


def rows() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Before, after and stratum of each image of STRATA."""
    before = np.concatenate([[0] * gained + [1] * lost + [1] * same for gained, lost, same in STRATA])
    after = np.concatenate([[1] * gained + [0] * lost + [1] * same for gained, lost, same in STRATA])
    return before.astype(bool), after.astype(bool), np.repeat(np.arange(len(STRATA)), [sum(row) for row in STRATA])


def drawn_rows(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Flips and net gains of each stratum when rows are drawn one by one, with replacement, within strata."""
    before, after, stratum = rows()
    delta = after.astype(int) - before
    flips, net = np.zeros((2, len(STRATA), DRAWS))
    for number in range(len(STRATA)):
        own = delta[stratum == number]
        again = own[random.integers(0, len(own), (DRAWS, len(own)))]
        flips[number], net[number] = np.abs(again).sum(axis=1), again.sum(axis=1)
    return flips, net


def found() -> Counts:
    return counts(*rows(), strata=3)


def test_counts_by_hand() -> None:
    assert found().gained_S.tolist() == [4, 0, 0]
    assert found().lost_S.tolist() == [2, 5, 0]
    assert found().size_S.tolist() == [30, 12, 9]
    assert counts([1, 0], [0, 0], [0, -1], strata=1).size_S.tolist() == [1]


def test_counts_are_equal_in_distribution_to_rows() -> None:
    again = resampled(found(), draws=DRAWS, random=np.random.default_rng(1))
    slow = drawn_rows(np.random.default_rng(2))
    for fast_SB, slow_SB in zip((again.discordant_SB, again.net_SB), slow, strict=True):
        for fast_B, slow_B in zip(fast_SB, slow_SB, strict=True):
            values = np.arange(-30, 31)
            shares = [(side[None] <= values[:, None]).mean(axis=1) for side in (fast_B, slow_B)]
            # Two empirical distribution functions of 20,000 draws differ by more than .019 once in 1,000.
            assert np.abs(shares[0] - shares[1]).max() < 0.019
    assert np.corrcoef(again.discordant_SB[0], again.net_SB[0])[0, 1] == pytest.approx(np.corrcoef(slow[0][0], slow[1][0])[0, 1], abs=0.03)


def test_strata_are_drawn_independently_and_in_no_order() -> None:
    again = resampled(found(), draws=DRAWS, random=np.random.default_rng(3))
    assert abs(np.corrcoef(again.discordant_SB[0], again.discordant_SB[1])[0, 1]) < 0.03
    assert abs(np.corrcoef(again.net_SB[0][1:], again.net_SB[0][:-1])[0, 1]) < 0.03
    assert not again.discordant_SB[2].any()


def test_a_weighted_sum_has_the_spread_of_drawn_rows() -> None:
    weight_TS = np.array([[1 / 30, -1 / 12, 0.0], [0.2, 0.1, 0.05]])
    again = resampled(found(), draws=DRAWS, random=np.random.default_rng(4))
    slow_TB = weight_TS @ drawn_rows(np.random.default_rng(5))[1]
    assert (weight_TS @ again.net_SB).std(axis=1) == pytest.approx(slow_TB.std(axis=1), rel=0.03)
    # With next to no smoothing the standard error is the bootstrap's own spread.
    student = studentized(found(), again, weight_TS, smoothing=1e-9)
    assert student.error_T == pytest.approx(slow_TB.std(axis=1), rel=0.03)
    assert student.change_T == pytest.approx(weight_TS @ [2, -5, 0])


def test_the_interval_by_hand() -> None:
    # One stratum of 30 images, 4 gained, 2 lost, half an image added to either: shares 4.5 / 31 and 2.5 / 31.
    one = Counts(np.array([4]), np.array([2]), np.array([30]))
    again = resampled(one, draws=999, random=np.random.default_rng(6))
    student = studentized(one, again, np.array([[1 / 30]]), smoothing=0.5)
    error = ((7 / 31 - (2 / 31) ** 2) / 30) ** 0.5
    assert student.error_T[0] == pytest.approx(error)
    flips, net = again.discordant_SB[0].astype(float), again.net_SB[0].astype(float)
    t_B = (net / 30 - 2 / 30) / np.sqrt(((flips + 1) / 31 - (net / 31) ** 2) / 30)
    critical = max(1.959964, np.quantile(np.abs(t_B), 0.95))
    (low,), (high,) = intervals(student)
    assert (low, high) == pytest.approx((2 / 30 - critical * error, 2 / 30 + critical * error), rel=1e-4)


def test_where_nothing_flipped_the_interval_keeps_a_width() -> None:
    still = Counts(np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64), np.array([400]))
    again = resampled(still, draws=100, random=np.random.default_rng(7))
    (low,), (high,) = intervals(studentized(still, again, np.array([[1 / 400]]), smoothing=0.5))
    assert -0.01 < low < 0 < high < 0.01


def covered(gained: float, lost: float, size: int, seed: int, times: int = 600) -> float:
    """How often the interval of one stratum's change holds the true one."""
    random, held = np.random.default_rng(seed), 0
    for _ in range(times):
        flips = random.binomial(size, gained + lost)
        up = random.binomial(flips, gained / (gained + lost))
        one = Counts(np.array([up]), np.array([flips - up]), np.array([size]))
        again = resampled(one, draws=200, random=random)
        (low,), (high,) = intervals(studentized(one, again, np.array([[1 / size]]), smoothing=0.5))
        held += low <= gained - lost <= high
    return held / times


def test_intervals_cover() -> None:
    # Monte Carlo error .009.
    assert 0.93 <= covered(0.02, 0.04, 600, seed=8) <= 0.97


# ---- clusters


def captions() -> tuple[np.ndarray, np.ndarray]:
    """Net gains and captions of 120 images, whose captions mostly flip together."""
    random = np.random.default_rng(9)
    size_I = random.integers(1, 6, 120)
    whole = random.choice([-1, 0, 1], 120, p=[0.15, 0.75, 0.1])
    return np.where(random.random(120) < 0.7, whole * size_I, whole), size_I


def test_clusters_are_equal_in_distribution_to_drawing_images() -> None:
    net_I, size_I = captions()
    student = cluster_studentized(net_I, size_I, draws=DRAWS, random=np.random.default_rng(10))
    row_BI = np.random.default_rng(11).integers(0, 120, (DRAWS, 120))
    change_B = net_I[row_BI].sum(axis=1) / size_I[row_BI].sum(axis=1)
    squares_B = ((net_I[row_BI] - change_B[:, None] * size_I[row_BI]) ** 2).sum(axis=1)
    change = net_I.sum() / size_I.sum()
    t_B = (change_B - change) / (np.sqrt(squares_B + 1) / size_I[row_BI].sum(axis=1))
    levels = [0.025, 0.25, 0.5, 0.75, 0.975]
    assert np.quantile(student.t_TB[0], levels) == pytest.approx(np.quantile(t_B, levels), abs=0.06)
    assert student.change_T[0] == pytest.approx(change)
    assert student.error_T[0] == pytest.approx(change_B.std(), rel=0.05)


def test_captions_that_flip_together_make_the_interval_wider() -> None:
    net_I, size_I = captions()
    together = cluster_studentized(net_I, size_I, draws=10, random=np.random.default_rng(0)).error_T[0]
    as_if_alone = np.abs(net_I).sum() ** 0.5 / size_I.sum()
    assert together > 1.4 * as_if_alone


def test_clusters_of_one_item_are_images() -> None:
    net_I = np.repeat([1, -1, 0], [6, 9, 85])
    student = cluster_studentized(net_I, np.ones(100), draws=DRAWS, random=np.random.default_rng(12))
    one = Counts(np.array([6]), np.array([9]), np.array([100]))
    again = resampled(one, draws=DRAWS, random=np.random.default_rng(13))
    image = studentized(one, again, np.array([[0.01]]), smoothing=0.5)
    assert intervals(student)[0] == pytest.approx(intervals(image)[0], abs=0.003)
    assert intervals(student)[1] == pytest.approx(intervals(image)[1], abs=0.003)


def test_equal_seeds_give_equal_intervals() -> None:
    first, second = (resampled(found(), draws=50, random=np.random.default_rng(14)) for _ in range(2))
    assert (first.net_SB == second.net_SB).all()


@pytest.mark.parametrize(("n", "share"), [(0, 0.5), (1, 0.5), (7, 0.0), (7, 1.0), (30, 0.2), (21_000, 0.03)])
def test_sorted_binomials_are_binomials(n: int, share: float) -> None:
    drawn_B = sorted_binomials(n, share, draws=DRAWS, random=np.random.default_rng(15))
    assert (np.diff(drawn_B) >= 0).all()
    below = np.linspace(0, n, 50).astype(int)
    seen = (drawn_B[None] <= below[:, None]).mean(axis=1)
    assert seen == pytest.approx(stats.binom.cdf(below, n, share), abs=0.015)
