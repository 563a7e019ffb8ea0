"""Bytes of a saved model: its weight files, and what its weights take once loaded."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qbias.quantizers.artifact import WEIGHTS

if TYPE_CHECKING:
    import torch


def disk_bytes(folder: Path) -> int:
    """Bytes of the weight files (.safetensors, .onnx) directly in a model folder."""
    return sum(file.stat().st_size for file in folder.iterdir() if file.suffix in WEIGHTS)


def tensor_bytes(model: Any) -> int:
    """Bytes of everything a torch model holds as tensors: parameters, buffers, and what quantizers keep beside them.

    Tensors that share their memory count once. Call it before the first use: some libraries repack their weights then.
    """
    import torch

    total, seen = 0, set()
    for module in model.modules():
        if isinstance(module, torch.ao.nn.quantized.dynamic.Linear):
            weight, bias = module._weight_bias()  # type: ignore[no-untyped-call]
            # A packed weight shows itself only as a copy; its one scale and zero point are 8 bytes each.
            total += weight.int_repr().nbytes + 16 + (0 if bias is None else bias.nbytes)
            continue
        for tensor in _tensors([*module._parameters.values(), *module._buffers.values(), *vars(module).values()]):
            memory = tensor.untyped_storage()
            if memory.data_ptr() not in seen:
                seen.add(memory.data_ptr())
                total += memory.nbytes()
    return total


def _tensors(values: "list[Any]") -> "Iterator[torch.Tensor]":
    """Plain tensors among `values`, in tensors made of several, and in bitsandbytes' records of scales."""
    import torch

    for value in values:
        if isinstance(value, torch.nn.Module):
            continue
        if isinstance(value, torch.Tensor) and hasattr(value, "__tensor_flatten__"):
            names, _ = value.__tensor_flatten__()
            yield from _tensors([getattr(value, name) for name in names])
        elif isinstance(value, torch.Tensor):
            yield value
        if type(value).__module__.startswith("bitsandbytes") and hasattr(value, "__dict__"):
            yield from _tensors(list(vars(value).values()))
