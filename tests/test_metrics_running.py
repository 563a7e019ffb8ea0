"""Running top lists and skews: whatever the chunks, their order and the order of merging, exactly what the whole gives."""

from dataclasses import fields
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qbias.metrics import running as module
from qbias.metrics.running import RunningSkews, RunningTop
from qbias.metrics.similarity import scorer
from qbias.metrics.skew import Skews, skews, top_images
from tests.test_metrics_counts import parts

GROUPS = ("north", "east", "south", "rare")


def scores(seed: int, images: int, *, ties: bool, prompts: int = 4) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if ties:
        return rng.choice(np.array([-0.5, -0.0, 0.0, 0.25], dtype=np.float32), (images, prompts))
    return rng.standard_normal((images, prompts)).astype(np.float32)


def merged(tops: list, order: Random):
    """Merged two at a time, whichever two come, into either."""
    while len(tops) > 1:
        order.shuffle(tops)
        tops[0].merge(tops[1])
        del tops[1]
    return tops[0]


def same(one: Skews, two: Skews) -> bool:
    return one.groups == two.groups and all(
        np.asarray(getattr(one, field.name)).tobytes() == np.asarray(getattr(two, field.name)).tobytes()
        for field in fields(one)
        if field.name != "groups"
    )


CHUNKS = st.lists(st.integers(0, 1000), max_size=8)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 99), images=st.integers(1, 120), k=st.integers(1, 40), ties=st.booleans(), rows=st.integers(1, 50), cuts=CHUNKS,
    order=st.randoms(use_true_random=False), workers=st.integers(1, 3), by_prompt=st.booleans(),
)  # fmt: skip
def test_top_lists_do_not_depend_on_chunks_orders_or_merges(
    seed: int, images: int, k: int, ties: bool, rows: int, cuts: list[int], order: Random, workers: int, by_prompt: bool
) -> None:
    score_NP, tag_N = scores(seed, images, ties=ties), np.random.default_rng(seed).integers(0, 9, images)
    expected = top_images(score_NP, k=min(k, images))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ROWS", rows)
        tops = [RunningTop(4, k=k, tags=1) for _ in range(workers)]
        for part in parts(images, cuts, order):
            inside = np.arange(images)[part]
            order.shuffle(inside)
            chunk = score_NP[inside]
            order.choice(tops).add(inside, np.asfortranarray(chunk) if by_prompt else chunk, tag_N[inside, None])
        top = merged(tops, order)
    assert top.images == images
    assert np.array_equal(top.row_PK, expected)
    assert np.array_equal(top.tag_PKT[:, :, 0], tag_N[expected])
    assert np.array_equal(top.row_PK, expected), "looking changes nothing"


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 99), k=st.integers(1, 30), ties=st.booleans(), desired=st.sampled_from(["dataset", "uniform"]), cuts=CHUNKS,
    order=st.randoms(use_true_random=False), workers=st.integers(1, 3),
)  # fmt: skip
def test_skews_do_not_depend_on_chunks_orders_or_merges(
    seed: int, k: int, ties: bool, desired: str, cuts: list[int], order: Random, workers: int
) -> None:
    score_NP = scores(seed, 90, ties=ties)
    group_N = np.random.default_rng(seed).choice(GROUPS, 90, p=[0.5, 0.3, 0.19, 0.01]).astype(object)
    found = [RunningSkews(4, k=k, desired=desired) for _ in range(workers)]  # type: ignore[arg-type]
    for part in parts(90, cuts, order):
        order.choice(found).add(np.arange(90)[part], group_N[part], score_NP[part])
    assert same(merged(found, order).skews(), skews(group_N, score_NP, k=k, desired=desired))  # type: ignore[arg-type]


@pytest.mark.parametrize("chunk", [1, 7, 64, 1000])
def test_from_embeddings_chunk_by_chunk(chunk: int) -> None:
    rng = np.random.default_rng(8)
    image_ND, prompt_PD = (rng.standard_normal((count, 512)).astype(np.float32) for count in (400, 30))
    image_ND[300:] = image_ND[:100]  # images that stand twice tie, in whichever chunk they are
    group_N = rng.choice(GROUPS, 400).astype(object)
    scores_of = scorer(prompt_PD)
    found = RunningSkews(30, k=50)
    for start in range(0, 400, chunk):
        part = slice(start, min(start + chunk, 400))
        found.add(np.arange(400)[part], group_N[part], scores_of(image_ND[part]))
    assert same(found.skews(), skews(group_N, scores_of(image_ND), k=50))


def test_merging_leaves_the_other_as_it_was() -> None:
    one, two = RunningSkews(1, k=1), RunningSkews(1, k=1)
    one.add([0], ["b"], [[0.1]])
    two.add([1, 2], ["a", "c"], [[0.9], [0.8]])
    before = two.skews()
    one.merge(two)
    assert one.skews().count_PG.tolist() == [[1, 0, 0]]
    one.add([3], ["b"], [[2.0]])
    assert same(two.skews(), before)
    assert (one.images, two.images) == (4, 2)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_cannot_be_ranked_is_refused(bad: float) -> None:
    top = RunningTop(2, k=1)
    with pytest.raises(ValueError, match="image 7 has a score that is NaN or infinite"):
        top.add([5, 7], [[0.0, 1.0], [0.5, bad]])
    with pytest.raises(ValueError, match="image 5 has a score"):
        top.add([5, 7], [[np.inf, 1.0], [-np.inf, 1.0]])


def test_wrong_shapes_and_rows_are_refused() -> None:
    top = RunningTop(2, k=1, tags=1)
    with pytest.raises(ValueError, match=r"scores of shape \(1, 3\)"):
        top.add([0], [[0.0, 1.0, 2.0]], [[1]])
    with pytest.raises(ValueError, match=r"tags of shape \(1, 0\)"):
        top.add([0], [[0.0, 1.0]])
    for row in (-1, 2**32 - 1):
        with pytest.raises(ValueError, match="row numbers are from 0"):
            top.add([row], [[0.0, 1.0]], [[1]])
    with pytest.raises(ValueError, match="k=0"):
        RunningTop(2, k=0)
    with pytest.raises(ValueError, match="cannot be merged"):
        top.merge(RunningTop(2, k=2, tags=1))


def test_the_largest_row_and_the_smallest_score_have_their_place() -> None:
    least = np.finfo(np.float32).min
    top = RunningTop(1, k=3)
    top.add([2**32 - 2, 4, 3], [[least], [least], [np.finfo(np.float32).max]])
    assert top.row_PK.tolist() == [[3, 4, 2**32 - 2]]


def test_skews_refuse_what_they_would_be_wrong_about() -> None:
    found = RunningSkews(1, k=3)
    with pytest.raises(ValueError, match="image 6 has no group"):
        found.add([5, 6], ["a", ""], [[0.0], [0.1]])
    found.add([5], ["a"], [[0.0]])
    with pytest.raises(ValueError, match="k=3 of 1 images"):
        found.skews()
    with pytest.raises(ValueError, match="desired as dataset and as uniform"):
        found.merge(RunningSkews(1, k=3, desired="uniform"))
    with pytest.raises(ValueError, match="desired='equal'"):
        RunningSkews(1, k=3, desired="equal")  # type: ignore[arg-type]


def test_no_image_and_no_prompt() -> None:
    assert RunningTop(3, k=2).row_PK.shape == (3, 0)
    top = RunningTop(0, k=2, tags=1)
    top.add([0, 1, 2], np.empty((3, 0)), np.zeros((3, 1)))
    assert top.row_PK.shape == (0, 2)
