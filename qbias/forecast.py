"""What work a study would take, found without changing anything: batches, bytes and a pace from one batch. No mlflow.

The stores are asked as ever, but on a copy of the cache that consists of links: what they note or remove there, they note in the copy.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qbias.cache import ENTRIES
from qbias.encoder import Encoder
from qbias.preprocess import crop
from qbias.records import Dataset
from qbias.store import cache_root

OFFLINE = "QBIAS_OFFLINE"
PROBED_IMAGES = 16


@contextmanager
def untouched_cache() -> Iterator[None]:
    """Within the block, the cache is a copy of links to the real one's files: it reads the same, and no change to it lasts.

    Nothing is downloaded in the block either.
    """
    real = cache_root()
    before = {name: os.environ.get(name) for name in ("QBIAS_CACHE", OFFLINE)}
    with tempfile.TemporaryDirectory(prefix="qbias-dry-run-") as copy:
        _link(real, Path(copy))
        os.environ |= {"QBIAS_CACHE": copy, OFFLINE: "1"}
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


def _link(real: Path, copy: Path) -> None:
    """Links to the files of every entry; of everything else, which is renamed into place whole, to what lies in its folder."""
    sharded = {pattern.partition("/")[0] for pattern in ENTRIES}
    for top in sorted(real.iterdir()) if real.is_dir() else ():
        if not top.is_dir():
            continue
        files = (file for file in top.rglob("*") if file.is_file()) if top.name in sharded else top.iterdir()
        (copy / top.name).mkdir()
        for file in files:
            link = copy / file.relative_to(real)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(file)


@dataclass(frozen=True)
class Batches:
    """Batches of images and of texts."""

    images: int = 0
    texts: int = 0

    def __add__(self, other: "Batches") -> "Batches":
        return Batches(self.images + other.images, self.texts + other.texts)


@dataclass(frozen=True)
class Pace:
    """Seconds that one batch takes in one thread (or on the GPU)."""

    images: float
    texts: float

    def seconds(self, batches: Batches) -> float:
        """Of so many batches, one after the other."""
        return self.images * batches.images + self.texts * batches.texts


def pace(encoder: Encoder, batch_size: int) -> Pace:
    """Measured on one batch of drawn images and one of texts, after a single row that lets the libraries settle."""
    side = encoder.preprocessing.resolution
    pixel_NRR3 = np.random.default_rng(0).integers(0, 256, (batch_size, side, side, 3), dtype=np.uint8)
    texts = ["a photo of a robot"] * batch_size
    encoder.images(pixel_NRR3[:1])
    encoder.texts(texts[:1])
    return Pace(_seconds(lambda: encoder.images(pixel_NRR3)), _seconds(lambda: encoder.texts(texts)))


def decoding_seconds(dataset: Dataset, resolution: int) -> float:
    """Seconds that one image takes to decode in one thread, measured on a few."""
    files = [dataset.root / path for path in dataset.images["path"][:PROBED_IMAGES]]
    if not files:
        return 0.0
    return _seconds(lambda: [crop(file, resolution) for file in files]) / len(files)


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def in_time(seconds: float) -> str:
    """Seconds for people.

    Examples
    --------
    >>> in_time(42.3), in_time(600), in_time(20_000)
    ('42 s', '10 min', '5.6 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
