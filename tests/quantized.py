"""Every row of QUANTIZERS that can run here, saved once from the same tiny baseline, for all test_quantizers*.py."""

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from qbias.encoder import Encoder, Pixels, Rows
from qbias.environment import quantizers_named
from qbias.quantizers import QUANTIZERS, Coverage, load_encoder
from tests.tiny import RESOLUTION, tiny_clip

ROWS = [row.name for row in quantizers_named("all")]
TEXTS = ["a photo of the robot", "photo of a photo", "", "x", "Ünïcode ☃ " * 20] * 2


def pixels(count: int, seed: int = 0) -> Pixels:
    """Noise images with flat areas, as a model sees them."""
    generator = np.random.default_rng(seed)
    shape = (count, RESOLUTION // 8, RESOLUTION // 8, 3)
    coarse = generator.integers(0, 256, shape, dtype=np.uint8)
    return np.ascontiguousarray(coarse.repeat(8, axis=1).repeat(8, axis=2))


@dataclass(frozen=True)
class Saved:
    """Every row of the table, saved once from the same baseline."""

    baseline: Path
    root: Path
    coverage: dict[str, Coverage]
    images: dict[str, Rows]
    texts: dict[str, Rows]

    def encoder(self, name: str) -> Encoder:
        """A newly loaded Encoder of a row."""
        return load_encoder(self.root / name)


@functools.cache
def _saved(folder: Path) -> Saved:
    root, baseline = folder / "saved", tiny_clip(folder / "baseline")
    coverage = {name: QUANTIZERS[name].save(baseline, root / name) for name in ROWS}
    encoders = {name: QUANTIZERS[name].load(root / name) for name in ROWS}
    return Saved(
        baseline,
        root,
        coverage,
        {name: encoder.images(pixels(16)) for name, encoder in encoders.items()},
        {name: encoder.texts(TEXTS) for name, encoder in encoders.items()},
    )


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """Save every row and embed the same batch with each; once, however many files import this fixture."""
    return _saved(tmp_path_factory.getbasetemp() / "quantized")
