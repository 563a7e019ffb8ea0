"""fp32: the baseline itself, stored and computed in float32.

Nothing is quantized. Where the baseline's file stores float16 (half the bytes on disk), the values are widened, not changed, so
the version's size in bytes is that of float32. No result depends on the batch, up to the order of float sums.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qbias.encoder import Encoder
from qbias.quantizers.artifact import Card, Coverage
from qbias.quantizers.torch_encoder import TorchEncoder, clip_coverage, load_clip


def write(baseline: Path, out: Path, settings: Mapping[str, Any]) -> Coverage:
    """Store the baseline in float32."""
    assert settings == {"dtype": "float32"}
    load_clip(baseline).save_pretrained(out)
    return clip_coverage(baseline, ())


def read(folder: Path, card: Card) -> Encoder:
    """The baseline's Encoder."""
    return TorchEncoder(load_clip(folder), folder, card)
