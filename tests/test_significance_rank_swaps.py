"""Swap permutation of extreme skews: against ranking whole lists again, and its error rate."""

import numpy as np
import pytest

from qbias.metrics import skews
from qbias.significance.rank_swaps import swap_p_values, swapped_counts
from qbias.significance.skew_resampling import best_first


def _ranks(order_PN):
    return np.argsort(order_PN, axis=1, kind="stable")


def _slow_counts(own_PN, other_PN, swap_N, code_N, k, groups):
    """The whole list ranked again: a stable sort of the ranks each image holds now."""
    rank_PN = np.where(swap_N, _ranks(other_PN), _ranks(own_PN))
    return [np.bincount(code_N[np.argsort(row, kind="stable")[:k]], minlength=groups) for row in rank_PN]


@pytest.mark.parametrize("k", [1, 7, 20, 33, 39, 40])
@pytest.mark.parametrize("noise", [0.0, 0.1, 5.0])
def test_swapped_counts_are_those_of_whole_lists_ranked_again(k, noise):
    rng = np.random.default_rng(k)
    score = rng.normal(size=(40, 6)).round(1)
    orders = best_first(score), best_first(score + noise * rng.normal(size=score.shape))
    code, swap = rng.integers(3, size=40), rng.integers(2, size=(40, 25), dtype=np.uint8)
    before, after = swapped_counts(*orders, swap, code[:, None] == np.arange(3), k=k)
    for draw in range(25):
        assert before[:, :, draw].T.tolist() == np.array(_slow_counts(*orders, swap[:, draw], code, k, 3)).tolist()
        assert after[:, :, draw].T.tolist() == np.array(_slow_counts(*orders[::-1], swap[:, draw], code, k, 3)).tolist()


def test_a_walk_that_does_not_reach_far_enough_goes_on():
    # The other list is upside down. Image 0 leaves the top 100 and nobody holds the ranks from 100 to 148, so the next in is far off.
    order, code = np.arange(400, dtype=np.int32)[None], np.arange(400) % 3
    swap = np.zeros((400, 1), dtype=np.uint8)
    swap[0] = swap[100:251] = 1
    before, after = swapped_counts(order, order[:, ::-1], swap, code[:, None] == np.arange(3), k=100)
    assert before[:, :, 0].T.tolist() == np.array(_slow_counts(order, order[:, ::-1], swap[:, 0], code, 100, 3)).tolist()
    assert after[:, :, 0].T.tolist() == np.array(_slow_counts(order[:, ::-1], order, swap[:, 0], code, 100, 3)).tolist()


def test_differences_are_those_of_the_metric():
    rng = np.random.default_rng(3)
    scores, code = rng.normal(size=(2, 60, 5)), np.repeat([0, 1, 2], 20)
    before, after = (skews(code.astype(str), score, k=15) for score in scores)
    [(low, _, high, _)] = swap_p_values(*map(best_first, scores), [code], [np.full(3, 1 / 3)], k=15, draws=3)
    assert low == pytest.approx(after.min_P.mean() - before.min_P.mean())
    assert high == pytest.approx(after.max_P.mean() - before.max_P.mean())


def test_lists_that_do_not_change_give_p_of_one():
    order = best_first(np.zeros((10, 2)))
    assert swap_p_values(order, order, [np.arange(10) % 2], [np.full(2, 0.5)], k=3, draws=50) == [(0.0, 1.0, 0.0, 1.0)]


def test_a_planted_shift_has_the_smallest_p():
    rng = np.random.default_rng(0)
    code = np.arange(300) % 2
    score = rng.normal(size=(300, 8))
    orders = best_first(score), best_first(score * 7 + 3 * (code == 0)[:, None])
    [(low, p_low, high, p_high)] = swap_p_values(*orders, [code], [np.full(2, 0.5)], k=60, draws=99)
    assert low < 0 < high
    assert p_low == p_high == 0.01


def _p_of_a_swapped_pair(seed):
    """Two models of which neither is the changed one; ten prompts that share what tells them apart."""
    rng = np.random.default_rng([7, seed])
    code, image, text = np.arange(120) % 3, rng.normal(size=(120, 4)), rng.normal(size=(4, 10)) * 0.4
    text[0] += 1
    sides = [(image + 0.4 * rng.normal(size=image.shape)) @ text * scale for scale in (1, 5)]
    return swap_p_values(*map(best_first, sides), [code], [np.full(3, 1 / 3)], k=40, draws=79, seed=seed)[0]


def test_exchangeable_models_are_told_apart_in_at_most_one_of_twenty():
    found = np.array([_p_of_a_swapped_pair(seed) for seed in range(400)])
    for column in (1, 3):
        assert (found[:, column] <= 0.05).mean() <= 0.05 + 2 * (0.05 * 0.95 / 400) ** 0.5
        assert (found[:, column] <= 0.5).mean() == pytest.approx(0.5, abs=0.1)


def test_equal_seeds_give_equal_results_and_chunks_do_not_matter(monkeypatch):
    rng = np.random.default_rng(1)
    orders = [best_first(rng.normal(size=(30, 4))) for _ in range(2)]
    code, share = np.arange(30) % 2, np.full(2, 0.5)
    once = swap_p_values(*orders, [code], [share], k=9, draws=40, seed=5)
    assert once == swap_p_values(*orders, [code], [share], k=9, draws=40, seed=5)
    several = swap_p_values(*orders, [code, code], [share, share], k=9, draws=40, seed=5)
    assert several == [once[0], once[0]]
