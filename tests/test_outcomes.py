"""Outcomes: made from embeddings, stored, read back exactly; alterations are noticed."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from qbias.outcomes import class_embeddings, outcomes_of, positives, read_outcomes, write_outcomes
from qbias.protocol import Protocol
from tests.made import KINDS, classification, made_outcomes, retrieval, skew


def assert_equal(one: Any, two: Any) -> None:
    assert (one.benchmark, one.kind, one.facts, one.protocol) == (two.benchmark, two.kind, two.facts, two.protocol)
    assert (one.dataset_digest, one.prompts_sha256, one.protocol_digest) == (two.dataset_digest, two.prompts_sha256, two.protocol_digest)
    assert list(one.frames) == list(two.frames)
    for name in one.frames:
        pd.testing.assert_frame_equal(one.frames[name], two.frames[name], check_exact=True)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_read_back_exactly(tmp_path: Path, kind: str) -> None:
    outcomes = made_outcomes(kind)
    write_outcomes(outcomes, tmp_path / "deep" / "folder")
    assert_equal(read_outcomes(tmp_path / "deep" / "folder"), outcomes)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_outcomes_give_equal_bytes(tmp_path: Path, kind: str) -> None:
    for name in ("one", "two"):
        write_outcomes(made_outcomes(kind), tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == sorted(path.name for path in (tmp_path / "two").iterdir())
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in files)


@pytest.mark.parametrize("harm", ["altered", "swapped", "missing", "no record", "broken record", "another record", "unknown kind"])
def test_alterations_are_noticed(tmp_path: Path, harm: str) -> None:
    write_outcomes(made_outcomes("retrieval"), tmp_path)
    record, images = tmp_path / "outcomes.json", tmp_path / "images.parquet"
    if harm == "altered":
        images.write_bytes(images.read_bytes()[:-1] + b"x")
    elif harm == "swapped":
        images.write_bytes((tmp_path / "captions.parquet").read_bytes())
    elif harm == "missing":
        images.unlink()
    elif harm == "no record":
        record.unlink()
    elif harm == "broken record":
        record.write_text("{")
    elif harm == "another record":
        record.write_text("[1]")
    else:
        record.write_text(json.dumps(json.loads(record.read_text()) | {"kind": "magic"}))
    with pytest.raises(ValueError, match="the outcomes were altered or not stored whole"):
        read_outcomes(tmp_path)


def test_predictions_are_the_nearest_class_embeddings() -> None:
    dataset, image_ND, text_MD = classification()
    images = outcomes_of(dataset, image_ND, text_MD, Protocol()).frames["images"]
    class_CD = text_MD.reshape(8, 2, -1).sum(axis=1)
    class_CD /= np.linalg.norm(class_CD, axis=1, keepdims=True)
    order = np.argsort(-(image_ND @ class_CD.T), axis=1)
    assert (images[[f"top_{rank}" for rank in range(1, 6)]].to_numpy() == order[:, :5]).all()
    assert (images["hit_at_1"] == (order[:, 0] == dataset.images["label"])).all()
    assert images["hit_at_5"].mean() > images["hit_at_1"].mean() > 1 / 8
    assert "path" not in images


def test_class_embeddings_equal_open_clips_own() -> None:
    import torch
    from open_clip import build_zero_shot_classifier

    rng = np.random.default_rng(4)
    text_MD = rng.standard_normal((6 * 3, 12)).astype(np.float32)
    unit_MD = text_MD / np.linalg.norm(text_MD, axis=1, keepdims=True)

    class Model:
        def encode_text(self, rows: torch.Tensor, normalize: bool) -> torch.Tensor:
            assert normalize
            return torch.from_numpy(unit_MD)[rows]

    names, templates = [f"{number}" for number in range(6)], ["{} 0", "{} 1", "{} 2"]

    def tokenizer(texts: list[str]) -> torch.Tensor:
        return torch.tensor([int(text.split()[0]) * 3 + int(text.split()[1]) for text in texts])

    expected_DC = build_zero_shot_classifier(
        Model(), tokenizer, names, [template.format for template in templates], num_classes_per_batch=4
    )
    assert np.allclose(class_embeddings(unit_MD, classes=6), expected_DC.numpy().T, atol=1e-6)


def test_classes_of_one_name_tie_and_the_lower_index_wins() -> None:
    dataset, image_ND, text_MD = classification()
    text_MD[6:8] = text_MD[2:4]  # class 3 has the texts of class 1
    images = outcomes_of(dataset, image_ND, text_MD, Protocol()).frames["images"]
    assert not (images["top_1"] == 3).any()
    both = images[(images["top_1"] == 1)]
    assert len(both) > 20
    assert (both["top_2"] == 3).all()


@pytest.mark.parametrize("rows", [1, 37, 399])
@pytest.mark.parametrize("kind", KINDS)
def test_chunks_do_not_show(monkeypatch: pytest.MonkeyPatch, kind: str, rows: int) -> None:
    # At full width the last bit of a plain product depends on the shape.
    monkeypatch.setattr("tests.made.WIDTH", 512)
    whole = made_outcomes(kind)
    monkeypatch.setattr("qbias.unit_rows.ROWS_AT_ONCE", rows)
    monkeypatch.setattr("qbias.metrics.retrieval.BLOCK", rows)
    assert_equal(made_outcomes(kind), whole)


def test_fewer_classes_than_ranks_leave_minus_one() -> None:
    images = outcomes_of(*classification(classes=3), Protocol()).frames["images"]
    assert (images[["top_4", "top_5"]] == -1).all(axis=None)
    assert (images[["top_1", "top_2", "top_3"]] >= 0).all(axis=None)
    assert images["hit_at_5"].all()


def test_second_classes_by_each_rule() -> None:
    dataset, image_ND, text_MD = classification()
    has_second = (dataset.images["label2"] >= 0).to_numpy()
    each = outcomes_of(dataset, image_ND, text_MD, Protocol())
    either = outcomes_of(replace(dataset, facts={**dataset.facts, "class2": "either"}), image_ND, text_MD, Protocol())
    top_1 = each.frames["images"]["top_1"]
    first, second = top_1 == dataset.images["label"], top_1 == dataset.images["label2"]
    assert second.any(), "or the rules could not be told apart"
    assert (each.frames["images"]["hit_at_1"] == first).all()
    assert (either.frames["images"]["hit_at_1"] == (first | second)).all()
    found = positives(each)
    assert len(found.row_N) == len(dataset.images) + has_second.sum()
    assert (found.label_N[len(dataset.images) :] == dataset.images["label2"][has_second]).all()
    assert (found.hit_N[1][len(dataset.images) :] == second[has_second]).all()
    assert len(positives(either).row_N) == len(dataset.images)


def test_retrieval_frames() -> None:
    dataset, image_ND, text_MD = retrieval()
    frames = outcomes_of(dataset, image_ND, text_MD, Protocol()).frames
    assert frames["captions"]["caption"].tolist() == list(range(len(dataset.texts)))
    assert frames["captions"]["image"][5] == f"image-{dataset.texts['image'][5]}"
    score_MN = text_MD @ image_ND.T
    own = score_MN[np.arange(len(score_MN)), dataset.texts["image"]]
    assert (frames["captions"]["rank"] == (score_MN > own[:, None]).sum(axis=1)).all()
    assert frames["images"]["rank"].between(0, len(text_MD) - 1).all()


def test_skew_frames_count_the_top_k() -> None:
    dataset, image_ND, text_MD = skew()
    frames = outcomes_of(dataset, image_ND, text_MD, Protocol()).frames
    assert np.allclose(frames["images"][[f"score_{prompt}" for prompt in range(9)]], image_ND @ text_MD.T, atol=1e-6)
    prompts = frames["prompts"]
    assert (prompts.groupby(["prompt", "attribute"])["count"].sum() == 30).all()
    top = frames["images"]["score_4"].nlargest(30).index
    expected = dataset.images["race"][top].value_counts()
    for row in prompts[(prompts["prompt"] == 4) & (prompts["attribute"] == "race")].itertuples():
        assert row.count == expected.get(row.value, 0)
        assert row.text == "prompt 4"


def test_skew_with_k_above_the_images_counts_them_all() -> None:
    prompts = made_outcomes("skew", k=5_000).frames["prompts"]
    assert prompts[(prompts["prompt"] == 0) & (prompts["attribute"] == "gender")]["count"].sum() == 300


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda row_ND: row_ND[:-1], r"shape \(399, 16\), expected \(400, D\)"),
        (lambda row_ND: row_ND[:, 0], "expected"),
        (lambda row_ND: np.where(np.arange(400)[:, None] == 7, np.nan, row_ND), r"image row 7 \('image-7'\) has length nan; 1 such rows"),
        (lambda row_ND: np.where(np.arange(400)[:, None] == 9, 0, row_ND), r"image row 9 \('image-9'\) has length 0; 1 such rows"),
        (lambda row_ND: row_ND * 1.01, "400 such rows"),
        (lambda row_ND: row_ND[:, :8] / np.linalg.norm(row_ND[:, :8], axis=1, keepdims=True), "images have width 8 and texts 16"),
    ],
)
def test_embeddings_that_break_the_contract_are_refused(spoil: Any, told: str) -> None:
    dataset, image_ND, text_MD = classification()
    with pytest.raises(ValueError, match=told):
        outcomes_of(dataset, spoil(image_ND), text_MD, Protocol())


def test_templates_that_cancel_out_are_refused() -> None:
    with pytest.raises(ValueError, match="class 1 cancel out"):
        class_embeddings(np.array([[1.0, 0], [1, 0], [0, 1], [0, -1]]), classes=2)


@pytest.mark.parametrize(("classes", "images"), [(7, 1), (7, 3), (9, 2), (8, 400)])
def test_classes_of_one_name_tie_exactly_at_full_width(monkeypatch: pytest.MonkeyPatch, classes: int, images: int) -> None:
    # At these sizes the last bit of a matrix product depends on a column's place.
    monkeypatch.setattr("tests.made.WIDTH", 512)
    dataset, image_ND, text_MD = classification(images=images, classes=classes)
    text_MD[-2:] = text_MD[2:4]  # the last class has the texts of class 1
    top_1 = outcomes_of(dataset, image_ND, text_MD, Protocol()).frames["images"]["top_1"]
    assert not (top_1 == classes - 1).any()
