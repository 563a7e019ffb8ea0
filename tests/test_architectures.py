"""The tensor tables agree with open_clip on one side and with transformers on the other, for every catalogue architecture."""

import pytest

from qbias.architectures import architecture, parts
from qbias.convert import model_config
from qbias.models import CATALOGUE
from tests.tiny_open_clip import register, register_tiny

NAMES = sorted({row.architecture for row in CATALOGUE})


def test_there_are_six_catalogue_architectures() -> None:
    assert len(NAMES) == 6


@pytest.mark.parametrize("name", NAMES)
def test_sources_are_the_tensors_of_open_clip(name: str) -> None:
    import open_clip
    import torch

    with torch.device("meta"):
        model = open_clip.CLIP(**open_clip.get_model_config(name))
    expected = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    assert {part.source: part.shape for part in parts(architecture(name))} == expected


@pytest.mark.parametrize("name", NAMES)
def test_targets_are_the_tensors_of_transformers(name: str) -> None:
    import torch
    from transformers import CLIPConfig, CLIPModel

    shape = architecture(name)
    with torch.device("meta"):
        model = CLIPModel(CLIPConfig(**model_config(shape)))
    found = [(target, part.target_shape()) for part in parts(shape) for target in part.targets]
    assert len(found) == len(dict(found))
    assert dict(found) == {key: tuple(value.shape) for key, value in model.named_parameters()}


@pytest.mark.parametrize(("name", "activation"), [("ViT-B-32", "gelu"), ("ViT-B-32-quickgelu", "quick_gelu")])
def test_the_activation_follows_the_architecture(name: str, activation: str) -> None:
    assert architecture(name).activation == activation


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("RN50", "vision_cfg.layers"),
        ("ViT-B-16-SigLIP", "vision_cfg.timm_model_name"),
        ("coca_ViT-B-32", "multimodal_cfg"),
        ("xlm-roberta-base-ViT-B-32", "text_cfg.hf_model_name"),
        ("ViT-H-14-CLIPA", "vision_cfg.no_ln_pre"),
    ],
)
def test_an_architecture_without_converter_is_refused_by_its_parts(name: str, named: str) -> None:
    with pytest.raises(ValueError, match=f"{name}.* has no converter because of .*{named}.*ViT-B-32"):
        architecture(name)


def test_another_vocabulary_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import open_clip

    config = open_clip.get_model_config(register_tiny(monkeypatch))
    config["text_cfg"]["vocab_size"] = 1000
    register(monkeypatch, "ViT-T-1000", config)
    with pytest.raises(ValueError, match="vocab_size=1000"):
        architecture("ViT-T-1000")


def test_an_unknown_architecture_gets_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"unknown open_clip architecture 'ViT-B32'\. Did you mean 'ViT-B-32'"):
        architecture("ViT-B32")
