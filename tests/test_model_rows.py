"""Rows made from what the user gives: a folder, an open_clip architecture with a tag or a file, a hub id."""

import json
import shutil
from pathlib import Path

import pytest

from qbias.model_rows import checkpoint_row, clip_folder, folder_row, hub_row, open_clip_row, slug
from qbias.preprocess import read_preprocessing
from tests.tiny import MEAN, STD, tiny_clip
from tests.tiny_open_clip import drawn_model, register_tiny, save


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete folder."""
    return tiny_clip(tmp_path_factory.mktemp("models") / "My CLIP_v2")


def test_a_folder_becomes_a_row(tiny_folder: Path) -> None:
    row = folder_row(tiny_folder, name="mine", home="here")
    assert (row.name, row.source, row.size, row.home) == ("mine", "own", "64-16", "here")
    assert (row.mean, row.std) == (MEAN, STD)
    assert row.expected == {}
    assert row.folder() == tiny_folder


def test_what_a_config_leaves_out_is_transformers_default(tiny_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "bare"))
    (folder / "config.json").write_text('{"model_type": "clip"}')
    (folder / "preprocessor_config.json").write_text("{}")
    row = folder_row(folder, name="bare", home="")
    assert (row.size, row.mean, row.std) == ("768-32", MEAN, STD)


@pytest.mark.parametrize(
    ("gone", "named"),
    [
        (["config.json"], "config.json whose model_type is 'clip' (found: None)"),
        (["model.safetensors"], "weights as model.safetensors (or model.safetensors.index.json and its parts)"),
        (["tokenizer.json", "vocab.json"], "tokenizer.json (or vocab.json and merges.txt)"),
        (["preprocessor_config.json"], "preprocessor_config.json"),
        (
            ["model.safetensors", "preprocessor_config.json"],
            "weights as model.safetensors (or model.safetensors.index.json and its parts); preprocessor_config.json",
        ),
    ],
)
def test_all_that_a_folder_lacks_is_listed(tiny_folder: Path, tmp_path: Path, gone: list[str], named: str) -> None:
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "model"))
    for name in gone:
        (folder / name).unlink(missing_ok=True)
    with pytest.raises(ValueError, match="is not a transformers CLIP folder") as caught:
        clip_folder(folder)
    assert f"it lacks {named}. Give a folder as CLIPModel.save_pretrained writes it" in str(caught.value)


def test_another_kind_of_model_is_refused(tiny_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "model"))
    (folder / "config.json").write_text(json.dumps({"model_type": "siglip"}))
    with pytest.raises(ValueError, match="found: 'siglip'"):
        clip_folder(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json is not valid JSON"):
        clip_folder(folder)


def test_weights_are_checked_when_they_are_asked_for(tiny_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "model"))
    (folder / "model.safetensors").write_bytes(b"")
    row = folder_row(folder, name="mine", home="here")
    with pytest.raises(ValueError, match=r"model\.safetensors is truncated or damaged"):
        row.folder()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no folder .*nowhere"):
        clip_folder(tmp_path / "nowhere")


def test_a_row_of_an_open_clip_tag() -> None:
    row = open_clip_row("open_clip:ViT-L-14:laion2b_s32b_b82k")
    assert (row.name, row.source, row.size) == ("vit-l-14-laion2b-s32b-b82k", "laion2b_s32b_b82k", "1024-14")
    assert (row.architecture, row.tag, row.mean) == ("ViT-L-14", "laion2b_s32b_b82k", (0.5, 0.5, 0.5))
    assert row.home == "https://huggingface.co/laion/CLIP-ViT-L-14-laion2B-s32B-b82K"


def test_a_row_of_a_checkpoint_file_converts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QBIAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    name = register_tiny(monkeypatch)
    save(drawn_model(name), tmp_path / "Mine_2.safetensors")
    row = open_clip_row(f"open_clip:{name}:Mine_2.safetensors")
    assert (row.name, row.source) == ("vit-t-32-mine-2", "own")
    monkeypatch.chdir("/")
    folder = row.folder()
    assert clip_folder(folder) == folder
    assert folder.parent == tmp_path / "cache" / "models"
    assert read_preprocessing(folder).mean == row.mean


def test_a_row_of_a_checkpoint_and_its_architecture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = register_tiny(monkeypatch)
    file = tmp_path / "Mine.pt"
    file.touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    for architecture in (name, f"open_clip:{name}"):
        row = checkpoint_row(architecture, "~/Mine.pt")
        assert (row.name, row.source, row.architecture, row.tag) == ("vit-t-32-mine", "own", name, str(file))
    with pytest.raises(ValueError, match=r"there is no file .*gone\.pt"):
        checkpoint_row(name, str(tmp_path / "gone.pt"))
    with pytest.raises(ValueError, match="unknown open_clip architecture 'toyworld'"):
        checkpoint_row("toyworld", str(file))


@pytest.mark.parametrize("word", ["open_clip:", "open_clip:ViT-B-32", "open_clip:ViT-B-32:", "open_clip::openai"])
def test_an_incomplete_open_clip_name_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="write open_clip:ARCH:TAG"):
        open_clip_row(word)


def test_a_wrong_activation_is_refused_before_any_download() -> None:
    with pytest.raises(ValueError, match="name ViT-B-32-quickgelu instead"):
        open_clip_row("open_clip:ViT-B-32:openai")


def test_a_hub_model_is_taken_from_the_hubs_cache(tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ValueError, match=r"could not download 'somebody/Tiny_CLIP' from the hub .* give model=/path/to/folder"):
        hub_row("hub:somebody/Tiny_CLIP")
    repository, revision = tmp_path / "models--somebody--Tiny_CLIP", "0" * 40
    shutil.copytree(tiny_folder, repository / "snapshots" / revision)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(revision)
    for word in ("hub:somebody/Tiny_CLIP", "hub:somebody/Tiny_CLIP@main"):
        row = hub_row(word)
        assert (row.name, row.source, row.home) == ("tiny-clip", "somebody/Tiny_CLIP", "https://huggingface.co/somebody/Tiny_CLIP")
        assert row.folder() == repository / "snapshots" / revision


@pytest.mark.parametrize(("name", "expected"), [("My CLIP_v2", "my-clip-v2"), ("a.b:c/d", "a.b-c-d"), ("-x-", "x")])
def test_slug(name: str, expected: str) -> None:
    assert slug(name) == expected


def test_a_name_of_signs_is_refused() -> None:
    with pytest.raises(ValueError, match="no letter or digit"):
        slug("---")
