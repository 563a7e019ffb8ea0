"""One pair on a retrieval benchmark: recalls as measured, captions of an image drawn together, and what cannot be counted."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from qbias.measure import measure
from qbias.pairwise import JointChanges, PairStatistics
from qbias.pairwise.retrieval import joint_changes, retrieval_changes
from qbias.records import Evaluation, Insufficient, Outcomes, Pairing
from qbias.significance.records import AnalysisPlan

PLAN = AnalysisPlan((), (), draws=2000)
IMAGES = 300
RNG = np.random.default_rng(0)
CAPTIONS = RNG.integers(1, 6, IMAGES)


def outcomes(caption_rank_Q: np.ndarray, image_rank_I: np.ndarray, ks: tuple[int, ...] = (1, 5)) -> Outcomes:
    ids = np.array([f"image-{row}" for row in range(len(image_rank_I))], dtype=object)
    image_Q = np.repeat(ids, CAPTIONS[: len(ids)])
    frames = {
        "captions": pd.DataFrame({"caption": range(len(image_Q)), "image": image_Q, "rank": caption_rank_Q}),
        "images": pd.DataFrame({"id": ids, "rank": image_rank_I}),
    }
    return Outcomes("coco", "retrieval", {"ks": list(ks)}, frames, "d", "p", {}, "q")


def paired(before: Outcomes, after: Outcomes, model: str = "m") -> Pairing:
    sides = [
        Evaluation(model, quantizer, version, "1", "s", "b", f"run-{version}", "w", {}, {"coco": side}, {})
        for quantizer, version, side in (("fp32", "1", before), ("ort-int8", "2", after))
    ]
    return Pairing(*sides)


def drawn(seed: int = 0, model: str = "m", moved: float = 0.3) -> Pairing:
    """Ranks, and the same after noise that moves all captions of an image together."""
    random = np.random.default_rng(seed)
    own_I = random.exponential(1, IMAGES)
    sides = []
    for noise_I in (0, random.exponential(1, IMAGES) * (random.random(IMAGES) < moved)):
        image_I = own_I + noise_I
        sides.append(outcomes(image_I.repeat(CAPTIONS).astype(int), image_I.astype(int)))
    return paired(*sides, model=model)


def test_names_and_values_are_those_that_measure_logs() -> None:
    pairing = drawn()
    before, after = ({row.name: row.value for row in measure(side.outcomes["coco"])[0]} for side in (pairing.baseline, pairing.candidate))
    found = retrieval_changes(pairing, "coco", PLAN)
    assert {row.metric: (row.baseline, row.candidate) for row in found.changes} == {name: (before[name], after[name]) for name in before}
    for row in found.changes:
        assert row.difference == row.candidate - row.baseline
        assert row.low < row.difference < row.high
        assert (row.n, row.model, row.quantizer) == (CAPTIONS.sum() if "image_" in row.metric else IMAGES, "m", "ort-int8")
    assert found == PairStatistics(found.changes) == retrieval_changes(pairing, "coco", PLAN)


def test_the_interval_is_that_of_drawing_images_with_their_captions() -> None:
    pairing = drawn()
    row = next(row for row in retrieval_changes(pairing, "coco", PLAN).changes if row.metric == "coco/image_retrieval_recall_at_1")
    hit_2Q = [side.outcomes["coco"].frames["captions"]["rank"].to_numpy() < 1 for side in (pairing.baseline, pairing.candidate)]
    start_I = np.concatenate([[0], np.cumsum(CAPTIONS)[:-1]])
    net_I = np.add.reduceat(hit_2Q[1].astype(int) - hit_2Q[0], start_I)
    drawn_BI = np.random.default_rng(1).integers(0, IMAGES, (4000, IMAGES))
    change_B = net_I[drawn_BI].sum(axis=1) / CAPTIONS[drawn_BI].sum(axis=1)
    assert (row.low, row.high) == pytest.approx(tuple(np.quantile(change_B, [0.025, 0.975])), abs=0.006)


def test_captions_are_sorted_to_their_images_wherever_they_stand() -> None:
    pairing = drawn()
    order = np.random.default_rng(2).permutation(CAPTIONS.sum())

    def shuffled(side: Evaluation) -> Evaluation:
        old = side.outcomes["coco"]
        captions = old.frames["captions"].iloc[order].reset_index(drop=True)
        return replace(side, outcomes={"coco": replace(old, frames={**old.frames, "captions": captions})})

    other = Pairing(shuffled(pairing.baseline), shuffled(pairing.candidate))
    assert retrieval_changes(other, "coco", PLAN) == retrieval_changes(pairing, "coco", PLAN)


def test_joint_changes_agree_with_a_joint_bootstrap() -> None:
    # Many images lose all their captions: how many captions are drawn then matters.
    pairings = [drawn(seed, f"m{seed}", moved=1.0) for seed in range(3)]
    for metric, frame in (("coco/image_retrieval_recall_at_1", "captions"), ("coco/text_retrieval_recall_at_5", "images")):
        found = joint_changes(pairings, metric)
        assert isinstance(found, JointChanges)
        assert found.models == ("m0", "m1", "m2")
        k, size_I = int(metric[-1]), CAPTIONS if frame == "captions" else np.ones(IMAGES, dtype=int)
        start_I = np.concatenate([[0], np.cumsum(size_I)[:-1]])
        hit_M2 = [
            [side.outcomes["coco"].frames[frame]["rank"].to_numpy() < k for side in (row.baseline, row.candidate)] for row in pairings
        ]
        net_MI = np.array([np.add.reduceat(after.astype(int) - before, start_I) for before, after in hit_M2])
        row_BI = np.random.default_rng(3).integers(0, IMAGES, (8000, IMAGES))
        expected_MM = np.cov(net_MI[:, row_BI].sum(axis=2) / size_I[row_BI].sum(axis=1))
        assert found.covariance_MM == pytest.approx(expected_MM, abs=0.05 * expected_MM.diagonal().max())
        assert found.change_M == pytest.approx(net_MI.sum(axis=1) / size_I.sum())


def test_no_query_changed() -> None:
    same = outcomes(np.zeros(CAPTIONS.sum()), np.zeros(IMAGES))
    for row in retrieval_changes(paired(same, same), "coco", PLAN).changes:
        assert row.difference == 0
        assert -0.02 < row.low < 0 < row.high < 0.02
        assert math.isfinite(row.low)


@pytest.mark.parametrize("images", [0, 1, 2])
def test_too_few_items_have_no_recall(images: int) -> None:
    few = outcomes(np.zeros(CAPTIONS[:images].sum()), np.zeros(images), ks=(1, 5))
    names = {row.metric for row in retrieval_changes(paired(few, few), "coco", PLAN).changes}
    assert names == ({row.name for row in measure(few)[0]} if images else set())


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        ("coco/image_retrieval_recall_at_7", "no recall"),
        ("other/image_retrieval_recall_at_1", "not every model"),
    ],
)
def test_joint_changes_that_cannot_be_made_say_why(metric: str, reason: str) -> None:
    found: Any = joint_changes([drawn()], metric)
    assert isinstance(found, Insufficient)
    assert reason in found.reason
