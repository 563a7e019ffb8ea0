"""The Encoder protocol: pixels and texts in, unit rows out. One class per runtime implements it (see quantizers/).

Shapes: N rows in the batch, R resolution, D embedding width, T token context.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Rows = NDArray[np.float32]


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes the model's input: bicubic resize of the short side, centre crop, then (x / 255 - mean) / std."""

    resolution: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class Encoder(Protocol):
    """A CLIP ready to embed. `images` and `texts` embed exactly the batch they are given; batching is the caller's business."""

    @property
    def preprocessing(self) -> Preprocessing:
        """What the model expects; resize and crop happen before `images`, mean and std inside it."""

    @property
    def width(self) -> int:
        """D, the width of the joint embedding."""

    def images(self, pixel_NRR3: Pixels) -> Rows:
        """(N, R, R, 3) uint8 pixels, resized and cropped -> (N, D) float32 rows of length 1."""

    def texts(self, texts: Sequence[str]) -> Rows:
        """N texts, padded to the context length T -> (N, D) float32 rows of length 1."""


class StagedEncoder(Encoder, Protocol):
    """An Encoder on a device that works while its caller prepares the next batch: `images` is `finished(start_images(load_images(x)))`.

    Attributes
    ----------
    staged : true where the steps are worth taking one by one.
    """

    staged: bool

    def load_images(self, pixel_NRR3: Pixels) -> Any:
        """Begin to copy the pixels to the device; any thread."""

    def load_texts(self, texts: Sequence[str]) -> Any:
        """Begin to copy the texts' tokens to the device; any thread."""

    def start_images(self, loaded: Any) -> Any:
        """Queue the computation and the way back; one thread."""

    def start_texts(self, loaded: Any) -> Any:
        """Queue the computation and the way back; one thread."""

    def finished(self, started: Any) -> Rows:
        """Wait for what was started: (N, D) float32 rows of length 1."""
