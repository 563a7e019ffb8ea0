"""Ranks in chunks, against the whole score matrix sorted, and by hand."""

from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qbias.metrics import retrieval
from qbias.metrics.retrieval import both_ranks, image_ranks, items_before, own_scores, recall_at_k, text_ranks


def small_data(*, ties: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """7 images with 1 to 4 captions each; with ties, the coordinates are few small whole numbers."""
    rng = np.random.default_rng(3)
    image_M = np.repeat(np.arange(7), [1, 2, 3, 4, 2, 1, 3])
    image_ND, text_MD = (rng.integers(-1, 2, (n, 3)) if ties else rng.standard_normal((n, 5)) for n in (7, len(image_M)))
    return image_ND.astype(np.float32), text_MD.astype(np.float32), image_M


@pytest.mark.parametrize("ties", [True, False])
@pytest.mark.parametrize("chunk", [1, 3, 1000])
def test_ranks_are_those_of_a_stable_sort(monkeypatch: pytest.MonkeyPatch, ties: bool, chunk: int) -> None:
    monkeypatch.setattr(retrieval, "BLOCK", chunk)
    image_ND, text_MD, image_M = small_data(ties=ties)
    score_MN = text_MD @ image_ND.T
    images_of = np.argsort(-score_MN, axis=1, kind="stable").tolist()
    expected = [row.index(image) for row, image in zip(images_of, image_M, strict=True)]
    assert image_ranks(text_MD, image_ND, image_M).tolist() == expected
    texts_of = np.argsort(-score_MN.T, axis=1, kind="stable")
    expected = [int(np.argmax(image_M[row] == image)) for image, row in enumerate(texts_of)]
    assert text_ranks(image_ND, text_MD, image_M).tolist() == expected
    both = both_ranks(text_MD, image_ND, image_M)
    assert np.array_equal(both[0], image_ranks(text_MD, image_ND, image_M))
    assert np.array_equal(both[1], text_ranks(image_ND, text_MD, image_M))


@settings(max_examples=40)
@given(cuts=st.lists(st.integers(0, 7), max_size=4), order=st.randoms(use_true_random=False), ties=st.booleans())
def test_counts_over_parts_of_the_items_add_up_in_any_order(cuts: list[int], order: Random, ties: bool) -> None:
    image_ND, text_MD, image_M = small_data(ties=ties)
    own_M = own_scores(text_MD, image_ND, image_M)
    ends = sorted({0, 7, *cuts})
    parts = list(pairwise(ends))
    order.shuffle(parts)
    counted = [items_before(text_MD, image_ND[start:stop], own_M, image_M, first=start) for start, stop in parts]
    assert np.array_equal(sum(counted), image_ranks(text_MD, image_ND, image_M))


def test_by_hand() -> None:
    # Three images on the axes. Captions: of image 0 exactly; of image 1 but looking like image 2; of image 2, equally like all.
    image_ND = np.eye(3)
    text_MD = np.array([[1.0, 0.0, 0.0], [0.0, 0.1, 0.9], [0.5, 0.5, 0.5]])
    assert image_ranks(text_MD, image_ND, [0, 1, 2]).tolist() == [0, 1, 2]  # the tie puts images 0 and 1 before 2
    # Image 0: own caption best. Image 1: caption 2 (.5) before its own (.1). Image 2: caption 1 (.9) before its own (.5).
    assert text_ranks(image_ND, text_MD, [0, 1, 2]).tolist() == [0, 1, 1]


def test_an_image_without_a_caption_is_refused() -> None:
    with pytest.raises(ValueError, match=r"image 1 has no caption \(1 such images\)"):
        text_ranks(np.eye(3), np.eye(3), [0, 2, 2])


def test_recall_by_hand() -> None:
    rank = [0, 0, 1, 4, 9, 10]
    assert [recall_at_k(rank, k=k) for k in (1, 5, 10, 11)] == [2 / 6, 4 / 6, 5 / 6, 1.0]


@pytest.mark.parametrize(("rank", "k"), [([], 1), ([0], 0)])
def test_no_query_and_no_k_are_refused(rank: list[int], k: int) -> None:
    with pytest.raises(ValueError, match="at least one query"):
        recall_at_k(rank, k=k)
