"""The verb register with a checkpoint of one's own: a version from it, or one message and nothing left behind."""

import re
from pathlib import Path

import pytest

from entrypoints.register import parser, work
from registry.versions import version_cards
from tests.conftest import Store
from tests.tiny_open_clip import drawn_model, register_tiny, save


def registered(*words: str) -> str:
    return work(parser().parse_args([*words, "--quantizers", "fp32"]))


def test_a_checkpoint_becomes_a_version(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = register_tiny(monkeypatch)
    file = save(drawn_model(name), tmp_path / "Mine.safetensors")
    assert registered("--model", name, "--checkpoint", str(file)) == "models:/vit-t-32-mine/1  fp32"
    assert registered("--model", f"open_clip:{name}", "--checkpoint", str(file)) == "models:/vit-t-32-mine/1  fp32"
    assert [card.uri for card in version_cards()] == ["models:/vit-t-32-mine/1"]


def test_bad_input_registers_nothing_and_leaves_nothing(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    name = register_tiny(monkeypatch)
    file = save(drawn_model(name), tmp_path / "Mine.safetensors")
    state = load_file(file)
    save_file(state | {"ln_final.bias": torch.full_like(state["ln_final.bias"], float("nan"))}, tmp_path / "nan.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(file.read_bytes()[:-100])
    (tmp_path / "empty.pt").touch()
    bad = {
        ("RN50", file): "no converter because of vision_cfg.layers",
        ("clip-vit-b-32-openai", file): "unknown open_clip architecture 'clip-vit-b-32-openai'",
        ("ViT-B-16", file): f"{file} does not match architecture ViT-B-16: tensor 'visual.class_embedding' has shape",
        (name, tmp_path / "nan.safetensors"): "nan.safetensors: tensor 'ln_final.bias' holds 64 NaN",
        (name, tmp_path / "cut.safetensors"): "cut.safetensors is truncated",
        (name, tmp_path / "empty.pt"): "empty.pt is empty",
        (name, tmp_path): "is a folder",
        (name, tmp_path / "absent.pt"): "there is no file",
    }
    for (architecture, checkpoint), said in bad.items():
        with pytest.raises(ValueError, match=re.escape(said)):
            registered("--model", architecture, "--checkpoint", str(checkpoint))
    assert version_cards() == []
    assert not [path for path in tmp_path.rglob("models/*") if "cache" in path.parts]
