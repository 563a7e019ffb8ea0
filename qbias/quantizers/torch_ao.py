"""torchao-int8: torchao's dynamic int8, `quantize_` with `Int8DynamicActivationInt8WeightConfig` on every Linear.

Weights: int8, symmetric, one scale per output row. Activations: rounded to int8 when a product is computed, symmetric, with one
scale per token; products are summed in int32, exactly. All linear layers of a CLIPModel are reached, both projections too;
embeddings, patch convolution, attention products, layer norms and biases stay float32. No result depends on the batch (measured: 0
on a random CLIP, alone or among 64; the order of float sums before a rounding could carry to one step of one token's scale).
Stored: int8 weights and their float32 scales as plain tensors in safetensors. torchao's own support for safetensors is a prototype;
here its tensors are taken apart when saving and put together again when loading, which needs no pickle.
Not compiled: torchao is meant for `torch.compile`, which needs a C++ compiler where a version is served and changes bits. Without
VNNI or AMX instructions the sums could saturate (torchao's `reduce_range` would avoid it at the price of one bit).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qbias.encoder import Encoder
from qbias.quantizers.artifact import Card, Coverage
from qbias.quantizers.torch_encoder import TorchEncoder, clip_coverage, drawn_nothing, load_clip

if TYPE_CHECKING:
    import torch

WEIGHTS = "model.safetensors"
SCALE = "weight_scale"


def write(baseline: Path, out: Path, settings: Mapping[str, Any]) -> Coverage:
    """Quantize every Linear and store the integers."""
    from safetensors.torch import save_file
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig, Int8Tensor, quantize_

    assert settings == SETTINGS
    model = load_clip(baseline)
    model.config.save_pretrained(out)
    # The inductor's settings belong to the whole process, and nothing is compiled here.
    quantize_(model, Int8DynamicActivationInt8WeightConfig(set_inductor_config=False))
    tensors: dict[str, torch.Tensor] = {}
    linears: list[str] = []
    for name, tensor in model.state_dict().items():
        if isinstance(tensor, Int8Tensor):
            linears.append(name.removesuffix(".weight"))
            tensors |= {name: tensor.qdata, f"{linears[-1]}.{SCALE}": tensor.scale}
            assert not tensor.zero_point.any(), "a symmetric weight has no zero points"
        else:
            tensors[name] = tensor
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, out / WEIGHTS, metadata={"format": "pt"})
    return clip_coverage(baseline, linears)


def read(folder: Path, card: Card) -> Encoder:
    """The Encoder rebuilt from the stored integers; bit-identical to the model that was stored."""
    from safetensors.torch import load_file

    tensors = load_file(folder / WEIGHTS)
    model = drawn_nothing(folder)
    linears = [key.removesuffix(f".{SCALE}") for key in tensors if key.endswith(f".{SCALE}")]
    for name in linears:
        model.get_submodule(name).weight = _weight(tensors.pop(f"{name}.weight"), tensors.pop(f"{name}.{SCALE}"))
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    assert not unexpected, f"stored tensors that the model lacks: {unexpected}"
    assert set(missing) == {f"{name}.weight" for name in linears}, f"the model misses {missing}"
    return TorchEncoder(model, folder, card)


def _weight(integers: "torch.Tensor", scale: "torch.Tensor") -> "torch.nn.Parameter":
    """The quantized weight of stored parts."""
    import torch
    from torchao.quantization import Int8Tensor, PerRow
    from torchao.quantization.quantize_.workflows import QuantizeTensorToInt8Kwargs

    activations = QuantizeTensorToInt8Kwargs(granularity=PerRow())
    whole_rows = [1, integers.shape[1]]
    weight = Int8Tensor(integers, scale, whole_rows, torch.float32, act_quant_kwargs=activations)
    return torch.nn.Parameter(weight, requires_grad=False)


SETTINGS: Mapping[str, Any] = {
    "weights": "int8, symmetric, per output row",
    "activations": "int8, symmetric, per token",
    "reduce_range": False,
    "compiled": False,
}
"""What the config's defaults mean; they stand here because torchao changes its defaults between versions."""
