"""Swaps drawn from counts against all swaps enumerated, and the p-value made of them."""

from itertools import product

import numpy as np
import pytest

from qbias.significance.swaps import swap_p, swapped_hits

DRAWS = 20_000
# Image, cell, before, after: image 0 flips in two cells at once, 1 to 3 in one, 4 and 5 not at all; 6 is in no cell.
POSITIVES = [
    (0, 0, 0, 1), (0, 1, 1, 0), (1, 0, 0, 1), (2, 0, 1, 0), (3, 2, 1, 0),
    (4, 0, 1, 1), (5, 1, 0, 0), (5, 2, 1, 1), (6, -1, 0, 1), (7, 1, 1, 0), (7, 2, 1, 0),
]  # fmt: skip


def columns() -> tuple[np.ndarray, ...]:
    image_N, cell_N, before_N, after_N = np.array(POSITIVES).T
    return before_N, after_N, image_N, cell_N


def enumerated() -> dict[tuple[int, ...], float]:
    """The chance of each vector of hits after, over all 2^8 swaps."""
    before_N, after_N, image_N, cell_N = columns()
    chance: dict[tuple[int, ...], float] = {}
    for coins in product([False, True], repeat=8):
        swapped_N = np.array(coins)[image_N]
        hit_N = np.where(swapped_N, before_N, after_N)
        hits = tuple(int(hit_N[cell_N == cell].sum()) for cell in range(3))
        chance[hits] = chance.get(hits, 0) + 2.0**-8
    return chance


def test_the_draws_have_the_distribution_of_all_swaps() -> None:
    _, after_BS = swapped_hits(*columns(), cells=3, draws=DRAWS, random=np.random.default_rng(0))
    seen, times = np.unique(after_BS, axis=0, return_counts=True)
    expected = enumerated()
    assert {tuple(row) for row in seen.tolist()} == set(expected)
    for row, count in zip(seen.tolist(), times, strict=True):
        chance = expected[tuple(row)]
        assert count / DRAWS == pytest.approx(chance, abs=4.5 * (chance * (1 - chance) / DRAWS) ** 0.5)


def test_what_one_side_gains_the_other_loses() -> None:
    before_BS, after_BS = swapped_hits(*columns(), cells=3, draws=100, random=np.random.default_rng(1))
    before_N, after_N, _, cell_N = columns()
    total = [int((before_N + after_N)[cell_N == cell].sum()) for cell in range(3)]
    assert (before_BS + after_BS == total).all()


def test_without_flips_every_draw_is_what_was_seen() -> None:
    hit_N, cell_N = np.array([1, 0, 1]), np.array([0, 0, 1])
    before_BS, after_BS = swapped_hits(hit_N, hit_N, np.arange(3), cell_N, cells=2, draws=5, random=np.random.default_rng(2))
    assert before_BS.tolist() == after_BS.tolist() == [[1, 1]] * 5


def test_p_by_hand() -> None:
    assert swap_p(0.3, [0.3, -0.3, 0.29, 0.0]) == 3 / 5
    assert swap_p(-0.3, [0.3, -0.3, 0.29, 0.0]) == 3 / 5
    assert swap_p(9.0, np.zeros(99)) == 0.01
    assert swap_p(0.0, [0.0, 0.5]) == 1.0


def test_rounding_does_not_tell_equal_changes_apart() -> None:
    assert swap_p(0.1 + 0.2, [0.3]) == 1.0


def test_few_false_findings_of_an_extreme_where_nothing_changed() -> None:
    # The largest of six recalls; each image's outcomes are exchangeable. Monte Carlo error at .05: .011.
    random, rejected, cell_N = np.random.default_rng(3), 0, np.arange(600) % 6
    for _ in range(400):
        common, *own = random.random((3, 600)) < 0.9
        base = random.random(600) < np.linspace(0.5, 0.6, 6)[cell_N]
        before_N, after_N = (np.where(common | keep, base, ~base) for keep in own)
        before_BS, after_BS = swapped_hits(before_N, after_N, np.arange(600), cell_N, cells=6, draws=199, random=random)
        seen = [np.bincount(cell_N, weights=side).max() for side in (before_N, after_N)]
        rejected += swap_p(seen[1] - seen[0], after_BS.max(axis=1) - before_BS.max(axis=1)) <= 0.05
    assert rejected / 400 <= 0.05 + 0.022


def test_an_extreme_that_changed_is_found() -> None:
    before_N = np.repeat([True, False], [50, 250])
    after_N, cell_N = before_N.copy(), np.arange(300) % 3
    after_N[np.flatnonzero((cell_N == 1) & ~before_N)[:20]] = True
    before_BS, after_BS = swapped_hits(before_N, after_N, np.arange(300), cell_N, cells=3, draws=999, random=np.random.default_rng(4))
    assert swap_p(20, after_BS.max(axis=1) - before_BS.max(axis=1)) == 0.001
