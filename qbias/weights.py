"""A single tensor beside what it should be, and a library's error in short: what converter and checkpoints share."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def misfit(tensor: "Tensor", shape: tuple[int, ...]) -> str:
    """What is wrong with a tensor that should hold floats of this shape; empty if nothing is."""
    if tuple(tensor.shape) != shape:
        return f"has shape {tuple(tensor.shape)}, expected {shape}"
    return "" if tensor.is_floating_point() else f"holds {tensor.dtype}, not floats: give the weights before quantization"


def reason(error: BaseException) -> str:
    """A library's error in one short line."""
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words[:297]}{'...' if len(words) > 297 else ''}" if words else type(error).__name__
