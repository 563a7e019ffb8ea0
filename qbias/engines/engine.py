"""What an engine is, and the one that needs nothing: batches are computed in this process.

Shapes: N images, D embedding width.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from qbias.embed import image_run, text_run
from qbias.encoder import Encoder, Rows
from qbias.pixels import pixels
from qbias.records import Dataset

Run = Callable[[Iterator[slice]], Generator[Rows]]
"""Slices of an order or a list, each a batch -> their (n, D) unit rows, one after the other; it may work ahead."""


@dataclass(frozen=True)
class Source:
    """From what another process makes the same Encoder: an artifact's folder, and whether its weights are rounded to bfloat16."""

    folder: Path
    bfloat16: bool = False

    def encoder(self) -> Encoder:
        """The Encoder, made anew."""
        from qbias.arms import in_bfloat16
        from qbias.quantizers import load_encoder

        made = load_encoder(self.folder)
        return in_bfloat16(made) if self.bfloat16 else made


def source_of(encoder: Encoder) -> Source | None:
    """The source of an Encoder that was loaded from an artifact's folder and not changed since."""
    folder = getattr(encoder, "folder", None)
    return None if folder is None else Source(Path(folder))


@dataclass(frozen=True)
class Model:
    """An Encoder in this process, its name in messages, and its source for other processes (None: it works only here)."""

    title: str
    encoder: Encoder
    source: Source | None = None


class Engine(Protocol):
    """Computes canonical batches; which one does changes no result."""

    @property
    def name(self) -> str:
        """One of ENGINES."""

    def image_run(self, model: Model, dataset: Dataset, order_N: NDArray[np.intp]) -> Run:
        """Of the dataset's images in this order. Pixels are only opened where a batch has to be computed."""

    def text_run(self, model: Model, texts: Sequence[str]) -> Run:
        """Of a list of texts."""


class LocalEngine:
    """Every batch in this process."""

    name = "local"

    def image_run(self, model: Model, dataset: Dataset, order_N: NDArray[np.intp]) -> Run:
        """Of the dataset's images in this order."""

        def run(pieces: Iterator[slice]) -> Generator[Rows]:
            return image_run(model.encoder, pixels(dataset, model.encoder.preprocessing.resolution), order_N)(pieces)

        return run

    def text_run(self, model: Model, texts: Sequence[str]) -> Run:
        """Of a list of texts."""
        return text_run(model.encoder, texts)


LOCAL = LocalEngine()
