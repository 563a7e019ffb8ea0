"""Shuffled group labels: against protocol.md's figures, plain shuffling, and the metrics themselves."""

import numpy as np
import pytest

from qbias.metrics import recall_gaps, skews
from qbias.significance.label_shuffles import shuffled_extreme_skews, shuffled_gaps
from qbias.significance.skew_resampling import best_first

COUNTS = {
    "gender": (5792, 5162),
    "race": (2085, 1623, 1556, 1550, 1516, 1415, 1209),
    "age": (2736, 6983, 1235),
}
# Expected MaxSkew, its 95 % quantile and expected MinSkew of one prompt at k = 1000 (protocol.md 7, 100,000 draws).
FIGURES = {"gender": (0.024, 0.057, -0.025), "race": (0.104, 0.172, -0.115), "age": (0.053, 0.135, -0.058)}


@pytest.mark.parametrize("attribute", COUNTS)
def test_one_prompt_has_the_protocols_figures(attribute):
    counts = np.array(COUNTS[attribute])
    code, images = np.repeat(np.arange(len(counts)), counts), int(counts.sum())
    order = np.arange(images, dtype=np.int32)[None]
    low, high = shuffled_extreme_skews(order, code, counts / images, k=1000, draws=1500, seed=2)
    expected, q95, expected_low = FIGURES[attribute]
    assert high.mean() == pytest.approx(expected, abs=0.0005 + 3 * high.std() / 1500**0.5)
    assert np.quantile(high, 0.95) == pytest.approx(q95, rel=0.07)
    assert low.mean() == pytest.approx(expected_low, abs=0.0005 + 3 * low.std() / 1500**0.5)


@pytest.fixture(scope="module")
def search():
    rng = np.random.default_rng(5)
    score = rng.normal(size=(90, 1)) * 2 + rng.normal(size=(90, 12))
    return score, rng.integers(3, size=90)


@pytest.mark.parametrize("k", [1, 20, 89])
def test_shuffled_skews_are_the_metric_on_shuffled_labels(search, k):
    score, code = search
    low, high = shuffled_extreme_skews(best_first(score), code, np.bincount(code) / 90, k=k, draws=400, seed=0)
    rng, plain = np.random.default_rng(1), []
    for _ in range(400):
        found = skews(rng.permutation(code).astype(str), score, k=k)
        plain.append((found.min_P.mean(), found.max_P.mean()))
    for made, expected in zip((low, high), np.transpose(plain), strict=True):
        error = (made.var() / 400 + expected.var() / 400) ** 0.5
        assert made.mean() == pytest.approx(expected.mean(), abs=3.5 * error + 1e-6)
        assert made.std() == pytest.approx(expected.std(), rel=0.2, abs=1e-6)


def test_one_shuffle_serves_all_prompts():
    # The same list twenty times: the mean varies as one list does.
    score, code = np.random.default_rng(0).normal(size=(60, 1)), np.arange(60) % 2
    one, many = (shuffled_extreme_skews(best_first(rows), code, np.full(2, 0.5), k=20, draws=50) for rows in (score, np.tile(score, 20)))
    np.testing.assert_allclose(one, many)


def test_chunks_do_not_matter(search, monkeypatch):
    score, code = search
    whole = shuffled_extreme_skews(best_first(score), code, np.bincount(code) / 90, k=20, draws=30)
    monkeypatch.setattr("qbias.significance.label_shuffles.CELLS_AT_ONCE", 1000)
    np.testing.assert_array_equal(whole, shuffled_extreme_skews(best_first(score), code, np.bincount(code) / 90, k=20, draws=30))


def test_constant_scores_and_one_group_are_no_error():
    order = best_first(np.zeros((10, 3)))
    low, high = shuffled_extreme_skews(order, np.zeros(10, dtype=int), np.ones(1), k=4, draws=5)
    assert low.tolist() == high.tolist() == [0.0] * 5


def _plain_gaps(label, hit, first, second, floor, draws):
    """Labels of both groups shuffled row by row within each class."""
    rng, rows = np.random.default_rng(9), []
    for _ in range(draws):
        order = np.lexsort((rng.random(len(label)), label))
        place = np.argsort(label, kind="stable")
        shuffled = np.empty((2, len(label)), dtype=bool)
        shuffled[:, place] = np.stack([first, second])[:, order]
        found = recall_gaps(label, hit, *shuffled, classes=4, min_per_group=floor)
        rows.append(found.gap_C[found.eligible_C])
    return np.array(rows)


@pytest.mark.parametrize("overlap", [0.0, 0.2])
def test_shuffled_gaps_are_those_of_shuffled_rows(overlap):
    rng = np.random.default_rng(3)
    label, hit, side = rng.integers(4, size=200), rng.random(200) < 0.7, rng.random(200)
    first, second = side < 0.4 + overlap, (side > 0.4) & (side < 0.9)
    made = shuffled_gaps(label, hit, first, second, classes=4, min_per_group=22, draws=800)
    plain = _plain_gaps(label, hit, first, second, 22, 800)
    assert made.shape == plain.shape
    assert 0 < made.shape[1] < 4
    assert np.abs(made.mean(axis=0)).max() < 4 * made.std() / 800**0.5
    np.testing.assert_allclose(made.std(axis=0), plain.std(axis=0), rtol=0.12)
    for extreme in (np.min, np.max):
        assert extreme(np.abs(made), axis=1).mean() == pytest.approx(extreme(np.abs(plain), axis=1).mean(), rel=0.12)


def test_no_eligible_class_gives_no_gap():
    assert shuffled_gaps([0, 1], [1, 0], [1, 0], [0, 1], classes=2, min_per_group=1, draws=3).shape == (3, 0)
    assert shuffled_gaps([], [], [], [], classes=2, min_per_group=0, draws=3).shape == (3, 0)


def test_equal_seeds_give_equal_draws(search):
    score, code = search
    rows = [shuffled_extreme_skews(best_first(score), code, np.bincount(code) / 90, k=9, draws=20, seed=seed) for seed in (1, 1, 2)]
    assert np.array_equal(rows[0], rows[1])
    assert not np.array_equal(rows[0], rows[2])
