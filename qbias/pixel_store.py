"""Images decoded once and kept: uint8, mapped into memory, shared by all scenarios and all processes on a machine.

They lie in canonical order, so a batch is one stretch of a shard and a pass over the images reads the disk from front to back.
Shapes: N images, R resolution.
"""

import logging
import shutil
import threading
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import qbias.decode
from qbias.benchmarks.content import canonical_order
from qbias.cache import in_words
from qbias.decode import Advance, Fault, in_threads
from qbias.digests import json_digest
from qbias.encoder import Pixels
from qbias.environment import library_version
from qbias.preprocess import BadImage, crop
from qbias.records import Dataset
from qbias.sharded import Sharded, fill
from qbias.store import cache_root

LOG = logging.getLogger(__name__)
FORMAT = 2
"""Raised when the same images give other pixels, or lie otherwise."""
SHARD = 64 << 20
"""Bytes of pixels in a shard, about: what a process decodes before another can take over, and what is made again for a flipped bit."""


class StoredPixels:
    """The decoded images of a dataset at one resolution; `stored[rows]` reads rows by their number in the dataset.

    Attributes
    ----------
    shape : (N, R, R, 3). dtype : uint8.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, dataset: Dataset, resolution: int) -> None:
        """Take hold of the dataset's entry in the cache; nothing is decoded yet.

        Raises
        ------
        NoRoom
            If the cache's folder cannot be made.
        """
        ids = list(dataset.images["id"])
        self.shape = (len(ids), resolution, resolution, 3)
        self._order_N = canonical_order(ids)
        self._position_N = np.argsort(self._order_N)
        self._files = [dataset.root / path for path in dataset.images["path"]]
        self._what = f"the pixels of {dataset.benchmark} at {resolution} x {resolution} ({len(ids):,} images)"
        self._faults: dict[int, Fault] = {}
        row = resolution * resolution * 3
        per_shard = max(1, SHARD // row)
        facts = [FORMAT, images_key(dataset), resolution, {name: library_version(name) for name in ("pillow", "torchvision")}, per_shard]
        self.folder = cache_root() / "pixels" / json_digest(facts)
        self._shards = _opened(self.folder, self.shape, per_shard, self._what)

    def complete(self, advance: Advance) -> dict[int, Fault]:
        """Decode what is not there; what was wrong with images that cannot be decoded, by row (their shards are not kept).

        Raises
        ------
        NoRoom
            If the disk is too small, cannot be written to, or `cache_limit` leaves too little.
        """
        self._faults = {}
        if missing := self._shards.missing():
            size = self._shards.size(missing)
            self._shards.see_that_it_fits(missing)
            LOG.info("%s take %s in %s (%s free)", self._what, in_words(size), cache_root(), in_words(shutil.disk_usage(self.folder).free))
            self._make(missing, advance)
        return dict(sorted(self._faults.items()))

    @property
    def bytes_missing(self) -> int:
        """Bytes that are still to be stored, by what lies on the disk."""
        return self._shards.size(self._shards.missing())

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> Pixels:
        """(n, R, R, 3) copies of rows, by any index that NumPy takes for the first axis."""
        position_n = self._position_N[rows]
        flat_n = np.atleast_1d(position_n)
        out = np.empty((len(flat_n), *self.shape[1:]), np.uint8)
        shard_n = flat_n // self._shards.per_shard
        for number in np.unique(shard_n):
            place_n = np.flatnonzero(shard_n == number)
            row_n = flat_n[place_n] - number * self._shards.per_shard
            if row_n[-1] - row_n[0] == place_n[-1] - place_n[0] == len(row_n) - 1 and (np.diff(row_n) == 1).all():
                # A canonical batch: one stretch of the shard, copied in one go.
                out[place_n[0] : place_n[-1] + 1] = self._shard(int(number))[row_n[0] : row_n[-1] + 1]
            else:
                out[place_n] = self._shard(int(number))[row_n]
        return out.reshape(*position_n.shape, *self.shape[1:])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """All rows, in memory."""
        return self[:].astype(dtype or np.uint8, copy=False)

    def _shard(self, number: int) -> Pixels:
        """A shard's pixels, checked once; decoded again where they were damaged."""
        while (found := self._shards.read(number)) is None:
            self._make([number], lambda count: None)
            if self._faults:
                row, fault = next(iter(self._faults.items()))
                raise BadImage(f"image {self._files[row]}", fault.reason, fault.lasting)
        return found

    def _make(self, numbers: Sequence[int], advance: Advance) -> None:
        def run(pieces: Iterator[slice]) -> Generator[Pixels]:
            for piece in in_threads(pieces, self._decoded):
                advance(len(piece))
                yield piece

        def done(number: int, array: NDArray[Any]) -> None:
            if not any(row in self._faults for row in self._order_N[self._shards.rows(number)].tolist()):
                self._shards.write(number, array)

        fill(self._shards, numbers, self._pieces, run, done)

    def _pieces(self, number: int) -> list[slice]:
        rows, size = self._shards.rows(number), qbias.decode.PIECE
        return [slice(start, min(start + size, rows.stop)) for start in range(rows.start, rows.stop, size)]

    def _decoded(self, piece: slice) -> Pixels:
        out = np.empty((piece.stop - piece.start, *self.shape[1:]), np.uint8)
        for place, row in enumerate(self._order_N[piece].tolist()):
            try:
                out[place] = crop(self._files[row], self.shape[1])
            except BadImage as error:
                self._faults[row] = Fault(error.reason, error.lasting)
        return out


_OPENING = threading.Lock()
_OPEN: dict[Path, Sharded] = {}


def _opened(folder: Path, shape: tuple[int, ...], per_shard: int, what: str) -> Sharded:
    """An entry of the cache. A process holds on to those of one resolution, so that no `cache_limit` takes them away between scenarios."""
    with _OPENING:
        for other in [other for other, shards in _OPEN.items() if shards.row_shape != shape[1:]]:
            del _OPEN[other]
        if folder not in _OPEN:
            _OPEN[folder] = Sharded(
                folder, count=shape[0], per_shard=per_shard, row_shape=shape[1:], dtype=np.uint8, what=what, optional=False
            )
        return _OPEN[folder]


def images_key(dataset: Dataset) -> str:
    """Content address of a dataset's images in their canonical order: ids and files, whatever their labels and groups."""
    ids = list(dataset.images["id"])
    return json_digest([dataset.images_digest or dataset.digest, [ids[row] for row in canonical_order(ids)]])
