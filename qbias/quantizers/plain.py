"""fp32 and fp16: the baseline itself, stored and computed in float32 or in float16.

Nothing is quantized to integers. fp32: where the baseline's file stores float16 (half the bytes on disk), the values are widened,
not changed, so the version's size in bytes is that of float32. fp16: every parameter of every layer is rounded to float16, and so is
every intermediate result, linear layers, embeddings and layer norms alike; only the last step, dividing a row by its length, is in
float32. It runs on a GPU only: a CPU has no float16 products worth measuring. A baseline with values beyond float16's range is refused.
No result depends on the batch, up to the order of float sums (a GPU may choose another kernel for another number of rows).
Stored: all parameters in their precision, in safetensors.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qbias.encoder import Encoder
from qbias.quantizers.artifact import Card, Coverage
from qbias.quantizers.baseline import check_finite
from qbias.quantizers.device import ready_device
from qbias.quantizers.torch_encoder import TorchEncoder, clip_coverage, linear_layers, load_clip


def write(baseline: Path, out: Path, settings: Mapping[str, Any]) -> Coverage:
    """Store the baseline in float32."""
    assert settings == {"dtype": "float32"}
    load_clip(baseline).save_pretrained(out)
    return clip_coverage(baseline, ())


def write_half(baseline: Path, out: Path, settings: Mapping[str, Any]) -> Coverage:
    """Store the baseline in float16."""
    import torch

    assert settings == {"dtype": "float16"}
    model = load_clip(baseline, dtype=torch.float16)
    for name, tensor in model.state_dict().items():
        check_finite(baseline, name, tensor, "it goes beyond float16's range of 65504; leave fp16 out")
    model.save_pretrained(out)
    return clip_coverage(baseline, linear_layers(baseline))


def read(folder: Path, card: Card) -> Encoder:
    """The Encoder of parameters in the precision in which they are stored."""
    import torch

    dtype = getattr(torch, card.settings["dtype"])
    return TorchEncoder(load_clip(folder, dtype=dtype).to(ready_device()), folder, card)
