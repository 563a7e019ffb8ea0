"""Equal items score equally, wherever they stand."""

import numpy as np
import pytest

from qbias.metrics.similarity import scorer


def unit(rng: np.random.Generator, count: int) -> np.ndarray:
    row = rng.standard_normal((count, 512)).astype(np.float32)
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
    assert score == pytest.approx(query @ item.T, abs=1e-6)


def test_distinct_items_are_a_plain_product() -> None:
    rng = np.random.default_rng(1)
    query, item = unit(rng, 4), unit(rng, 30)
    assert np.array_equal(scorer(item)(query), query @ item.T)
