"""Scores depend on the two rows alone: any chunk, order, place, number of threads and arithmetic kernel gives the same bits."""

import os
import platform
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qbias.metrics.similarity import pair_scores, scorer

WIDTH = 512


def unit(rng: np.random.Generator, count: int, width: int = WIDTH) -> np.ndarray:
    row = rng.standard_normal((count, width)).astype(np.float32)
    return row / np.linalg.norm(row, axis=1, keepdims=True)


@pytest.mark.parametrize("items", [5, 7, 9, 13, 33, 100])
@pytest.mark.parametrize("queries", [1, 2, 3, 17])
def test_equal_items_tie_to_the_last_bit(queries: int, items: int) -> None:
    rng = np.random.default_rng(items)
    query, item = unit(rng, queries), unit(rng, items)
    item[items // 2], item[-1] = item[0], item[0]
    score = scorer(item)(query)
    assert (score[:, 0] == score[:, -1]).all()
    assert (score[:, 0] == score[:, items // 2]).all()


def test_scores_are_exact_sums_rounded_once() -> None:
    rng = np.random.default_rng(1)
    query, item = unit(rng, 3), unit(rng, 4)

    def whole(row: np.ndarray) -> list[int]:
        # Unit rows, so 2^-26 is the step; Python's integers know no rounding.
        return [round(Fraction(float(value)) * 2**26) for value in row]

    exact = [[sum(a * b for a, b in zip(whole(q), whole(i), strict=True)) for i in item] for q in query]
    expected = np.array([[np.float32(value / 2**52) for value in row] for row in exact])
    assert all(abs(value) < 2**53 for row in exact for value in row), "or the division above would round"
    assert np.array_equal(scorer(item)(query), expected)


def test_scores_are_close_to_the_true_products() -> None:
    rng = np.random.default_rng(2)
    query, item = unit(rng, 50), unit(rng, 200)
    item[:50] = query  # the largest scores there are
    true = query.astype(np.float64) @ item.T.astype(np.float64)
    score = scorer(item)(query)
    assert score.dtype == np.float32
    assert np.abs(score - true).max() < 1e-7
    plain = np.abs(query @ item.T - true)[:, 50:].max()
    assert np.abs(score - true)[:, 50:].max() < 3 * plain, "as close as an ordinary float32 product"


@settings(max_examples=30)
@given(data=st.data(), rows=st.integers(1, 60), width=st.sampled_from([1, 2, 16, 100, 512, 768]), seed=st.integers(0, 9))
def test_any_chunk_in_any_order_has_the_scores_of_the_whole(data: st.DataObject, rows: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    query, item = unit(rng, rows, width), unit(rng, 37, width)
    whole = scorer(item)(query)
    chosen = data.draw(st.lists(st.integers(0, rows - 1), min_size=1, max_size=rows))
    columns = data.draw(st.lists(st.integers(0, 36), min_size=1, max_size=37))
    part = scorer(item[columns])(query[chosen])
    assert part.tobytes() == whole[np.ix_(chosen, columns)].tobytes()
    assert scorer(query[chosen])(item[columns]).tobytes() == np.ascontiguousarray(part.T).tobytes(), "nor does it matter which side asks"
    assert pair_scores(query[chosen], item[[columns[0]] * len(chosen)]).tobytes() == part[:, 0].tobytes()


@pytest.mark.parametrize("length", [1e-6, 0.3, 1.2, 7.0, 4096.0])
def test_rows_of_any_length_keep_their_place_in_the_order(length: float) -> None:
    rng = np.random.default_rng(3)
    query, item = unit(rng, 5) * length, unit(rng, 40)
    score = scorer(item)(query)
    assert score == pytest.approx(query.astype(np.float64) @ item.T.astype(np.float64), abs=1e-7 * length)
    assert scorer(item[7:9])(query[2:3]).tobytes() == score[2:3, 7:9].tobytes()


def test_rows_of_zeros_score_zero() -> None:
    assert scorer(np.zeros((2, 3)))(np.ones((1, 3))).tolist() == [[0.0, 0.0]]


PRINT_DIGESTS = """
import hashlib, numpy as np
from qbias.metrics.similarity import scorer
rng = np.random.default_rng(5)
def unit(count):
    row = rng.standard_normal((count, 512)).astype(np.float32)
    return row / np.linalg.norm(row, axis=1, keepdims=True)
images, prompts = unit(3000), unit(319)
for score in (scorer(prompts)(images), images @ prompts.T):
    print(hashlib.sha256(np.ascontiguousarray(score).tobytes()).hexdigest())
"""


def digests(kernel: str, threads: int) -> tuple[str, str]:
    """Of our scores and of a plain product, in a process whose OpenBLAS uses this kernel."""
    environment = os.environ | {"OPENBLAS_CORETYPE": kernel, "OPENBLAS_NUM_THREADS": str(threads)}
    found = subprocess.run([sys.executable, "-c", PRINT_DIGESTS], env=environment, capture_output=True, text=True, check=True)
    ours, plain = found.stdout.split()
    return ours, plain


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the kernels' names are those of x86 processors")
def test_no_kernel_and_no_number_of_threads_changes_a_score() -> None:
    # Kernels that every 64-bit x86 processor of the last decade can run.
    found = [digests(kernel, threads) for kernel, threads in (("Haswell", 1), ("Haswell", 2), ("Nehalem", 2), ("Prescott", 1))]
    assert len({ours for ours, _ in found}) == 1
    if "openblas" in str(np.show_config(mode="dicts")).lower():
        assert len({plain for _, plain in found}) > 1, "a plain product does change, or this test could not fail"
