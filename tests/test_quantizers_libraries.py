"""The stored models against the libraries' own: storing and reloading changes no bit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qbias.quantizers import read_card
from tests.quantized import Saved, pixels, saved

__all__ = ["saved"]


def direct_torch(baseline: Path) -> Any:
    """PyTorch's own call on the baseline, without anything of ours."""
    import torch
    from transformers import CLIPModel

    model = CLIPModel.from_pretrained(baseline, dtype=torch.float32).eval()
    return torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)  # type: ignore[no-untyped-call]


def direct_torchao(baseline: Path) -> Any:
    """Torchao's own call on the baseline, never stored, with the config as it comes."""
    import torch
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_
    from transformers import CLIPModel

    model = CLIPModel.from_pretrained(baseline, dtype=torch.float32).eval()
    quantize_(model, Int8DynamicActivationInt8WeightConfig())
    return model


def direct_bnb(**options: Any) -> Callable[[Path], Any]:
    """Quantization while loading, as transformers documents it, never stored."""

    def load(baseline: Path) -> Any:
        import torch
        from transformers import BitsAndBytesConfig, CLIPModel

        config = BitsAndBytesConfig(**options)
        return CLIPModel.from_pretrained(baseline, dtype=torch.float32, device_map="cpu", quantization_config=config).eval()

    return load


@pytest.mark.filterwarnings("ignore:.*torch.ao.quantization:DeprecationWarning", "ignore:.*quantize:UserWarning")
@pytest.mark.parametrize(
    ("name", "direct"),
    [
        ("torch-int8", direct_torch),
        ("torchao-int8", direct_torchao),
        ("bnb-int8", direct_bnb(load_in_8bit=True)),
        ("bnb-nf4", direct_bnb(load_in_4bit=True, bnb_4bit_quant_type="nf4")),
        ("bnb-fp4", direct_bnb(load_in_4bit=True)),
    ],
)
def test_storing_changes_no_bit(saved: Saved, name: str, direct: Callable[[Path], Any]) -> None:
    """The stored and reloaded model equals the library's own model that was never stored, fed by torchvision's normalisation."""
    import torch
    from torchvision.transforms import Compose, Normalize, ToTensor

    card = read_card(saved.root / name)
    transform = Compose([ToTensor(), Normalize(card.preprocessing.mean, card.preprocessing.std)])
    with torch.inference_mode():
        feature_ND = direct(saved.baseline).get_image_features(torch.stack([transform(one) for one in pixels(16)]))
    rows = (feature_ND / feature_ND.norm(dim=-1, keepdim=True)).numpy()
    np.testing.assert_array_equal(rows, saved.images[name])


def test_onnx_integers_are_those_of_onnxruntime(saved: Saved, tmp_path: Path) -> None:
    """Optimum with our settings gives the same integer matrices as onnxruntime's own quantize_dynamic with constant weights only."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    from qbias.quantizers import ort

    with ort._quiet_export():
        graph = ort._export(saved.baseline, "vision", tmp_path / "vision.onnx", 17)
    quantize_dynamic(graph, tmp_path / "own.onnx", op_types_to_quantize=["MatMul"], weight_type=QuantType.QInt8)

    def integers(file: Path) -> dict[str, bytes]:
        constants = onnx.load(file).graph.initializer
        return {one.name: onnx.numpy_helper.to_array(one).tobytes() for one in constants if one.data_type == onnx.TensorProto.INT8}

    ours = integers(saved.root / "ort-int8" / "vision.onnx")
    assert ours == integers(tmp_path / "own.onnx")
    assert len(ours) > 13
