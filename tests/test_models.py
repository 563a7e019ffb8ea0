"""The table agrees with the protocol, with open_clip and with the toy world's files; names and groups find their rows."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from qbias.models import CATALOGUE, FULL, GROUPS, MODELS, Distance, ModelRow, distances, models_named
from qbias.preprocess import read_preprocessing
from qbias.toyworld.catalogue import TOY_MODELS
from tests.tiny import tiny_clip

TOY_NAMES = [model.name for model in TOY_MODELS]


def test_the_table_is_the_nine_and_the_eight() -> None:
    names = [f"clip-vit-{size}-{source}" for source in ("openai", "laion2b", "datacomp") for size in ("b-32", "b-16", "l-14")]
    assert list(MODELS) == names + TOY_NAMES
    assert len(TOY_NAMES) == 8


@pytest.mark.parametrize("row", CATALOGUE, ids=lambda row: row.name)
def test_a_row_is_complete_and_known_to_open_clip(row: ModelRow) -> None:
    import open_clip

    assert (row.architecture, row.tag) in open_clip.list_pretrained()
    metrics = {"imagenet/accuracy_at_1"} | {f"coco/{way}_retrieval_recall_at_{k}" for way in ("image", "text") for k in (1, 5, 10)}
    assert set(row.expected) == metrics
    assert row.home.startswith("https://")
    assert row.licence == "MIT"
    assert re.search(r"\b20\d\d\b", row.citation)


def test_recalls_grow_with_k_and_every_figure_is_a_share() -> None:
    for row in CATALOGUE:
        for way in ("image", "text"):
            recalls = [row.expected[f"coco/{way}_retrieval_recall_at_{k}"] for k in (1, 5, 10)]
            assert 0 < recalls[0] < recalls[1] < recalls[2] < 1
        assert 0.6 < row.expected["imagenet/accuracy_at_1"] < 0.8


def test_some_published_figures() -> None:
    assert MODELS["clip-vit-b-32-openai"].expected["coco/image_retrieval_recall_at_1"] == 0.3044
    assert MODELS["clip-vit-b-32-openai"].expected["coco/text_retrieval_recall_at_10"] == 0.8352
    assert MODELS["clip-vit-l-14-datacomp"].expected["imagenet/accuracy_at_1"] == 0.7921


def test_distances_to_the_published_figures() -> None:
    row = MODELS["clip-vit-b-32-openai"]
    measured = {name: figure - 0.01 for name, figure in row.expected.items()} | {"imagenet/accuracy_at_5": 0.9, "facet/accuracy_at_1": 0.5}
    found = distances(row, measured, images=FULL)
    assert [distance.metric for distance in found] == list(row.expected)
    assert found[0] == Distance("imagenet/accuracy_at_1", 0.6332, 0.6332 - 0.01)
    assert [distance.distance for distance in found] == pytest.approx([-0.01] * 7)


def test_no_distance_for_a_part_of_a_dataset_or_a_model_of_ones_own() -> None:
    row = MODELS["clip-vit-b-32-openai"]
    metrics = dict(row.expected)
    assert [d.metric for d in distances(row, metrics, images={"imagenet": 50_000, "coco": 4_999})] == ["imagenet/accuracy_at_1"]
    assert [d.metric for d in distances(row, {"imagenet/accuracy_at_1": 1.0}, images={"coco": 5_000})] == []
    assert distances(row, {}, images=FULL) == []
    assert distances(MODELS[TOY_NAMES[0]], metrics, images=FULL) == []


def test_groups() -> None:
    assert [row.name for row in models_named("toyworld")] == TOY_NAMES
    assert [row.name for row in models_named("catalogue")] == list(MODELS)[:9]
    paper = [row.name for row in models_named("paper")]
    assert len(paper) == 8
    assert "clip-vit-b-32-datacomp" not in paper
    assert models_named("all") == list(MODELS.values())


def test_names_come_in_the_tables_order_and_once() -> None:
    found = models_named("toy-s8-balanced, clip-vit-l-14-openai,toyworld,toy-s8-balanced")
    assert [row.name for row in found] == ["clip-vit-l-14-openai", *TOY_NAMES]


def test_an_unknown_name_gets_the_nearest_and_the_valid_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown model 'clip-vit-b32-openai'\. Did you mean 'clip-vit-b-32-openai'") as caught:
        models_named("clip-vit-b32-openai")
    assert all(name in str(caught.value) for name in (*MODELS, *GROUPS))


@pytest.mark.parametrize("names", ["", " , "])
def test_no_name_is_refused(names: str) -> None:
    with pytest.raises(ValueError, match="no model named"):
        models_named(names)


def test_folders_of_ones_own_come_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny_clip(tmp_path / "My CLIP")
    found = models_named(f"{folder}, toy-s8-balanced")
    assert [row.name for row in found] == ["toy-s8-balanced", "my-clip"]
    assert found[1].folder() == folder
    monkeypatch.chdir(tmp_path)
    assert [row.name for row in models_named("./My CLIP")] == ["my-clip"]
    assert models_named("My CLIP")[0].folder() == folder
    with pytest.raises(ValueError, match=r"there is no folder .*nowhere: give a folder"):
        models_named("./nowhere")


def test_two_models_never_share_a_registered_name(tmp_path: Path) -> None:
    first, second = tiny_clip(tmp_path / "a" / "mine"), tiny_clip(tmp_path / "b" / "Mine")
    with pytest.raises(ValueError, match="two models would be registered as 'mine'"):
        models_named(f"{first},{second}")
    taken = tiny_clip(tmp_path / "toy-s8-balanced")
    with pytest.raises(ValueError, match="two models would be registered as 'toy-s8-balanced'"):
        models_named(str(taken))


@pytest.mark.parametrize("word", ["open_clip:ViT-B-32:nope", "hub:"])
def test_prefixed_names_reach_their_rows(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match=r"neither a tag of ViT-B-32|from the hub"):
        models_named(word)


@pytest.mark.parametrize("name", TOY_NAMES)
def test_a_toy_row_agrees_with_its_files(name: str) -> None:
    row = MODELS[name]
    stored = read_preprocessing(row.folder())
    assert (row.mean, row.std) == (stored.mean, stored.std)
    assert stored.resolution == 64


def test_importing_the_table_is_light() -> None:
    probe = "import sys, qbias.models; print([m for m in ('torch', 'transformers', 'open_clip', 'mlflow') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
