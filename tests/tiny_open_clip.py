"""Small open_clip models with drawn weights, which need no network: whole CLIPs of one block, registered with open_clip under a name."""

from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import torch

TINY = "ViT-T-32"
"""64 pixels, patch 32, width 64, one block a tower; only the vocabulary has its real size."""


def register(monkeypatch: pytest.MonkeyPatch, name: str, config: dict[str, Any]) -> None:
    """Make `name` an open_clip architecture for the length of a test."""
    from open_clip import factory

    monkeypatch.setitem(factory._MODEL_CONFIGS, name, config)


def register_tiny(monkeypatch: pytest.MonkeyPatch) -> str:
    """`ViT-T-32` (gelu) and `ViT-T-32-quickgelu`."""
    tower = {"width": 64, "layers": 1}
    config = {
        "embed_dim": 64,
        "vision_cfg": tower | {"image_size": 64, "patch_size": 32},
        "text_cfg": tower | {"heads": 1, "context_length": 77, "vocab_size": 49408},
    }
    register(monkeypatch, TINY, config)
    register(monkeypatch, f"{TINY}-quickgelu", config | {"quick_gelu": True})
    return TINY


def register_shallow(monkeypatch: pytest.MonkeyPatch, name: str) -> str:
    """A catalogue architecture with one block a tower and everything else as it is, under a name of its own."""
    import open_clip

    config = deepcopy(open_clip.get_model_config(name))
    config["vision_cfg"]["layers"] = config["text_cfg"]["layers"] = 1
    shallow = f"Shallow-{name}"
    register(monkeypatch, shallow, config)
    return shallow


def drawn_model(name: str, seed: int = 0) -> "torch.nn.Module":
    """The architecture with drawn weights.

    open_clip starts biases at 0 and its blocks near 0, which would hide a swapped bias or another activation: so the blocks' matrices
    are drawn at the scale at which attention and activation bend most, and every vector gets noise.
    """
    import open_clip
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model: torch.nn.Module = open_clip.create_model(name).eval()
        with torch.no_grad():
            for key, parameter in model.named_parameters():
                if parameter.ndim == 1:
                    parameter.add_(torch.randn(parameter.shape) * 0.2)
                elif "resblocks" in key:
                    parameter.normal_(0, 1.5 * parameter.shape[1] ** -0.5)
    return model


def save(model: "torch.nn.Module", file: Path) -> Path:
    """The model's checkpoint as safetensors."""
    from safetensors.torch import save_file

    save_file(model.state_dict(), file)
    return file
