"""A/A arms: what shares a batch, in which precision, and how far the metrics moved."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qbias.arms import ARMS, Arm, ArmPair, arm_outcomes, arms_of, in_bfloat16, noise_arms
from qbias.encoder import Preprocessing
from qbias.outcomes import outcomes_of
from qbias.pixels import pixels
from qbias.plan import Plan
from qbias.protocol import Protocol
from qbias.quantizers import QUANTIZERS
from qbias.records import Evaluation
from qbias.subject import Subject
from tests.synthetic import synthetic_evaluations, with_outcomes, without_metric

FEW = Protocol(limit=48, batch_size=16, min_per_group=1, skew_k=10)
BATCHES, ROUNDED, INT8 = ARMS.values()


class Companions:
    """An encoder whose rows depend on the whole batch; it notes every batch it is given."""

    preprocessing = Preprocessing(16, (0.5,) * 3, (0.5,) * 3)
    width = 8

    def __init__(self) -> None:
        self.seen: list[list[bytes]] = []
        self.asked: list[int] = []

    def images(self, pixel_NRR3: np.ndarray) -> np.ndarray:
        self.seen.append([row.tobytes() for row in pixel_NRR3])
        return self._rows(pixel_NRR3.reshape(len(pixel_NRR3), -1)[:, :8].astype(np.float32))

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        self.asked.append(len(texts))
        return self._rows(np.array([[len(text), *np.arange(7)] for text in texts], np.float32))

    def _rows(self, row_ND: np.ndarray) -> np.ndarray:
        moved = row_ND + row_ND.mean(axis=0) + 1
        return (moved / np.linalg.norm(moved, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def plan(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.setenv("QBIAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("QBIAS_WORKERS", "1")
    return Plan(("fairface",), world, FEW)


def companions(seen: list[list[bytes]]) -> dict[bytes, frozenset[bytes]]:
    return {image: frozenset(batch) for batch in seen for image in batch}


def test_other_batches_are_smaller_in_another_order_and_leave_the_texts_alone(plan: Plan) -> None:
    usual, other = Companions(), Companions()
    (dataset,) = plan.datasets()
    base = outcomes_of(dataset, *Subject("base", lambda frame: None, usual, "a").embeddings(dataset, FEW), FEW)
    (again,) = arm_outcomes(BATCHES, other, "a", plan).values()
    assert [len(batch) for batch in usual.seen] == [16] * 3
    assert [len(batch) for batch in other.seen] == [8] * 6
    before, after = companions(usual.seen), companions(other.seen)
    assert set(before) == set(after), "the same images"
    assert not any(after[image] <= before[image] for image in after), "in other company, not in halves of the same batches"
    assert other.asked == [], "texts are the evaluation's own"
    assert again.frames["images"]["id"].tolist() == base.frames["images"]["id"].tolist()
    assert again.protocol["batch_size"] == 8
    assert (again.dataset_digest, again.prompts_sha256) == (base.dataset_digest, base.prompts_sha256)
    scores = [f"score_{prompt}" for prompt in range(3)]
    assert not np.array_equal(again.frames["images"][scores], base.frames["images"][scores])


def test_rows_of_other_batches_belong_to_their_images(plan: Plan, tiny: Path, tmp_path: Path) -> None:
    QUANTIZERS["fp32"].save(tiny, tmp_path / "fp32")
    encoder = QUANTIZERS["fp32"].load(tmp_path / "fp32")
    (dataset,) = plan.datasets()
    base = outcomes_of(dataset, *Subject("base", lambda frame: None, encoder, "a").embeddings(dataset, FEW), FEW)
    (again,) = arm_outcomes(BATCHES, encoder, "a", plan).values()
    scores = base.frames["images"].filter(like="score_").columns
    assert np.abs(again.frames["images"][scores] - base.frames["images"][scores]).to_numpy().max() < 1e-5
    assert np.ptp(base.frames["images"][scores].to_numpy(), axis=0).min() > 1e-3, "images differ by more than that"


def test_another_batch_size_is_what_an_evaluation_at_that_size_gives(plan: Plan) -> None:
    encoder = Companions()
    (again,) = arm_outcomes(INT8, encoder, "a", plan).values()
    embedded = len(encoder.seen)
    (dataset,) = plan.datasets()
    half = replace(FEW, batch_size=8)
    genuine = outcomes_of(dataset, *Subject("half", lambda frame: None, encoder, "a").embeddings(dataset, half), half)
    assert len(encoder.seen) == embedded, "found in the cache"
    assert again.protocol_digest == genuine.protocol_digest
    assert again.frames["images"].equals(genuine.frames["images"])
    assert max(encoder.asked) == 8, "texts too"


def test_bfloat16_rounds_a_copy(plan: Plan, tiny: Path, tmp_path: Path) -> None:
    QUANTIZERS["fp32"].save(tiny, tmp_path / "fp32")
    encoder = QUANTIZERS["fp32"].load(tmp_path / "fp32")
    (dataset,) = plan.datasets()
    pixel_NRR3 = pixels(dataset, encoder.preprocessing.resolution)[:8].copy()
    before = encoder.images(pixel_NRR3)
    rounded = in_bfloat16(encoder)
    row_ND = rounded.images(pixel_NRR3)
    assert row_ND.dtype == np.float32
    assert np.linalg.norm(row_ND, axis=1) == pytest.approx(1, abs=1e-5)
    assert 1e-5 < np.abs(row_ND - before).max() < 0.1
    assert np.array_equal(encoder.images(pixel_NRR3), before), "the model itself is as it was"
    assert not np.array_equal(rounded.texts(["a robot"]), encoder.texts(["a robot"]))
    arm_outcomes(ROUNDED, encoder, "a", plan)
    usual = Subject("base", lambda frame: None, encoder, "a")
    assert np.abs(usual.images(dataset, FEW)[:8] - before).max() < 1e-5, "no bfloat16 row under its name"
    assert np.abs(usual.texts(dataset, FEW) - encoder.texts(list(dataset.texts["text"]))).max() < 1e-5


@pytest.mark.parametrize(("size", "other"), [(64, 32), (2, 1), (1, 2), (3, 1)])
def test_another_size_is_always_another(size: int, other: int) -> None:
    assert BATCHES.protocol(Protocol(batch_size=size)).batch_size == other
    assert ROUNDED.protocol(Protocol(batch_size=size)).batch_size == size


def test_arms_belong_to_rows_of_the_table_and_have_keys_of_their_own() -> None:
    assert {arm.quantizer for arm in ARMS.values()} == {"fp32", "torch-int8"} < set(QUANTIZERS)
    assert [arm.name for arm in arms_of("fp32")] == ["fp32, other batches", "fp32 in bfloat16"]
    assert arms_of("bnb-nf4") == []
    keys = {arm.key(base) for arm in ARMS.values() for base in ("a", "b")}
    assert len(keys) == 6


def again(base: Evaluation, **changes: float) -> Evaluation:
    """The same evaluation with metrics moved by so much; names with `_` for `/`."""
    moved = {name: value + changes.get(name.replace("/", "_"), 0.0) for name, value in base.metrics.items()}
    return replace(base, run_id="again", metrics=moved)


def test_the_largest_change_over_models_counts_whatever_its_sign() -> None:
    first, second = synthetic_evaluations(2, 1)
    pairs = [
        ArmPair("fp32, other batches", first, again(first, facet_age_mo_macro_gap_at_1=0.01, fairface_gender_ndkl=0.02)),
        ArmPair("fp32, other batches", second, again(second, facet_age_mo_macro_gap_at_1=-0.03)),
    ]
    (noise,) = noise_arms(pairs)
    assert noise.models == (first.model, second.model)
    assert noise.change_by_metric["facet/age_mo/macro_gap_at_1"] == pytest.approx(0.03)
    assert noise.change_by_metric["fairface/gender/ndkl"] == pytest.approx(0.02)
    assert noise.change_by_metric["imagenet/accuracy_at_1"] == 0
    assert set(noise.change_by_metric) == set(first.metrics)
    assert noise.churn == 0


def test_churn_is_the_largest_share_of_any_classification_benchmark() -> None:
    first, second = synthetic_evaluations(2, 1)
    images = first.outcomes["facet"].frames["images"]
    flipped = images.assign(top_1=np.where(np.arange(len(images)) < 10, 9, images["top_1"]))
    pairs = [ArmPair("a", first, with_outcomes(first, "facet", frames={"images": flipped})), ArmPair("a", second, second)]
    (noise,) = noise_arms(pairs)
    assert noise.churn == 10 / 40


def test_what_one_side_lacks_is_no_change_of_zero() -> None:
    (base,) = synthetic_evaluations(1, 1)
    name = "facet/age_mo/macro_gap_at_1"
    for one, other in ((base, without_metric(base, name)), (without_metric(base, name), base)):
        (noise,) = noise_arms([ArmPair("a", one, other)])
        assert name not in noise.change_by_metric
        assert len(noise.change_by_metric) == len(base.metrics) - 1
    broken = replace(base, metrics={**base.metrics, name: float("nan")})
    assert name not in noise_arms([ArmPair("a", base, broken)])[0].change_by_metric


def test_without_classification_there_is_no_churn() -> None:
    (base,) = synthetic_evaluations(1, 1)
    only = replace(base, outcomes={"coco": base.outcomes["coco"]})
    (noise,) = noise_arms([ArmPair("a", only, only)])
    assert noise.churn is None
    assert {name.partition("/")[0] for name in noise.change_by_metric} == {"coco"}


def test_arms_come_in_the_order_of_the_table_and_nothing_gives_nothing() -> None:
    (base,) = synthetic_evaluations(1, 1)
    pairs = [ArmPair(name, base, base) for name in ("of another release", INT8.name, BATCHES.name)]
    assert [row.arm for row in noise_arms(pairs)] == [BATCHES.name, INT8.name, "of another release"]
    assert noise_arms([]) == ()


def test_an_arm_says_what_it_changes() -> None:
    assert all(arm.other_size or arm.other_order or arm.bfloat16 for arm in ARMS.values())
    assert Arm("x", "fp32").protocol(FEW) == FEW
