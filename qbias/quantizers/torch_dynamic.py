"""torch-int8: PyTorch's dynamic quantization, `torch.ao.quantization.quantize_dynamic` on every Linear.

Weights: int8, one scale per matrix. Activations: rounded to integers when a product is computed, with one range for the whole
*batch*, so every result depends on what shares the batch (on x86 with 7 bits, which keeps sums from overflowing). All linear
layers of a CLIPModel are reached, both projections too; embeddings, patch convolution, layer norms and biases stay float32.
Stored: int8 weights with scale, zero point and bias as plain tensors in safetensors. The quantized modules are rebuilt from these
on loading; torch's own way would unpickle packed parameters.
PyTorch deprecates this method in favour of torchao. It is still what many deployments run, and is kept behind this one file.
"""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qbias.encoder import Encoder
from qbias.quantizers.artifact import Card, Coverage
from qbias.quantizers.torch_encoder import TorchEncoder, clip_coverage, drawn_nothing, load_clip

if TYPE_CHECKING:
    import torch

WEIGHTS = "model.safetensors"
SCALE, ZERO = "weight_scale", "weight_zero_point"


def write(baseline: Path, out: Path, settings: Mapping[str, Any]) -> Coverage:
    """Quantize every Linear and store the integers."""
    import torch
    from safetensors.torch import save_file

    assert settings == {"dtype": "qint8", "modules": ["Linear"]}
    clip = load_clip(baseline)
    clip.config.save_pretrained(out)
    with _deprecated():
        model = torch.ao.quantization.quantize_dynamic(clip, {torch.nn.Linear}, dtype=torch.qint8, inplace=True)  # type: ignore[no-untyped-call]
    tensors: dict[str, torch.Tensor] = {}
    linears = {name: module for name, module in model.named_modules() if _is_quantized(module)}
    for name, module in linears.items():
        tensors |= {f"{name}.{part}": value for part, value in _parts(module).items()}
    packed = tuple(f"{name}." for name in linears)
    tensors |= {name: value for name, value in model.state_dict().items() if not name.startswith(packed)}
    save_file({name: value.contiguous() for name, value in tensors.items()}, out / WEIGHTS, metadata={"format": "pt"})
    return clip_coverage(baseline, linears)


def read(folder: Path, card: Card) -> Encoder:
    """The Encoder rebuilt from the stored integers; bit-identical to the model that was stored."""
    from safetensors.torch import load_file

    tensors = load_file(folder / WEIGHTS)
    model = drawn_nothing(folder)
    linears = [key.removesuffix(f".{SCALE}") for key in tensors if key.endswith(f".{SCALE}")]
    parts = {name: {part: tensors.pop(f"{name}.{part}", None) for part in ("weight", SCALE, ZERO, "bias")} for name in linears}
    # The float tensors go in while the model is still an ordinary one; the quantized modules cannot load a part of their state.
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    assert not unexpected, f"stored tensors that the model lacks: {unexpected}"
    assert {key.rpartition(".")[0] for key in missing} <= set(linears), f"the model misses {missing}"
    for name in linears:
        model.set_submodule(name, _linear(parts[name]))
    return TorchEncoder(model, folder, card)


def _is_quantized(module: Any) -> bool:
    import torch

    return isinstance(module, torch.ao.nn.quantized.dynamic.Linear)


def _parts(module: Any) -> "dict[str, torch.Tensor]":
    """Integers, scale, zero point and bias of a quantized Linear."""
    import torch

    weight, bias = module._weight_bias()
    parts = {
        "weight": weight.int_repr(),
        SCALE: torch.tensor(weight.q_scale(), dtype=torch.float64),
        ZERO: torch.tensor(weight.q_zero_point(), dtype=torch.int64),
    }
    return parts if bias is None else parts | {"bias": bias.detach()}


def _linear(parts: "Mapping[str, torch.Tensor | None]") -> Any:
    """The quantized Linear of stored parts."""
    import torch

    integers, scale, zero = parts["weight"], parts[SCALE], parts[ZERO]
    assert integers is not None
    assert scale is not None
    assert zero is not None
    with _deprecated():
        module = torch.ao.nn.quantized.dynamic.Linear(integers.shape[1], integers.shape[0], dtype=torch.qint8)  # type: ignore[no-untyped-call]
        weight = torch._make_per_tensor_quantized_tensor(integers, scale.item(), int(zero.item()))
        module.set_weight_bias(weight, parts["bias"])
    return module


@contextmanager
def _deprecated() -> Iterator[None]:
    """Keep quiet about the deprecation that the top of this file states."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.ao.quantization is deprecated", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message=".*quantize", category=UserWarning)
        yield
