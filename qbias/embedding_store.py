"""Embeddings that are found by what they were made from, and never made twice.

They are kept in the order in which they are computed, some batches a shard: a process that was killed loses at most the batches of one
shard, and several processes share the work. Shapes: N images or texts, D embedding width.
"""

from collections.abc import Callable, Generator, Iterator

import numpy as np
from numpy.typing import NDArray

from qbias.decode import Advance
from qbias.digests import json_digest
from qbias.embed import batches
from qbias.encoder import Rows
from qbias.passes import Tower
from qbias.sharded import Sharded, fill
from qbias.store import cache_root

FORMAT = 3
"""Raised when the same facts give other embeddings, or lie otherwise."""
BATCHES = 8
"""Batches in a shard: what a killed process has to compute again, at most."""
TRIES = 3


class StoredRows:
    """Unit rows of all images or texts of a dataset under one model, batch size and machine."""

    def __init__(self, tower: Tower, facts: object, order_N: NDArray[np.intp], *, width: int, batch_size: int, what: str) -> None:
        """Take hold of the entry; nothing is computed yet.

        Parameters
        ----------
        facts : JSON value naming everything that the rows depend on.
        order_N : the item at each place of the order in which they are computed.
        what : what they are, for messages.
        """
        self.width, self._order_N, self._batch = width, order_N, batch_size
        folder = cache_root() / "embeddings" / tower / json_digest([FORMAT, facts, BATCHES])
        self._shards = Sharded(
            folder, count=len(order_N), per_shard=BATCHES * batch_size, row_shape=(width,), dtype=np.float32, what=what, optional=True
        )

    def __len__(self) -> int:
        return len(self._order_N)

    @property
    def batches_missing(self) -> int:
        """How many batches are still to be computed, by what lies on the disk (content is checked when it is read)."""
        return sum(len(self._pieces(number)) for number in self._shards.missing())

    def complete(self, run: Callable[[Iterator[slice]], Generator[Rows]], advance: Advance) -> "StoredRows":
        """Compute what is not there, or was damaged; where it cannot be stored it stays in memory, which the log says.

        Parameters
        ----------
        run : computes batches, given as slices of the order, one after the other.
        """

        def counted(pieces: Iterator[slice]) -> Generator[Rows]:
            for row_ND in run(pieces):
                advance(len(row_ND))
                yield row_ND

        for _ in range(TRIES):
            missing = [number for number in self._shards.numbers if self._shards.read(number) is None]
            if not missing:
                return self
            self._shards.see_that_it_fits(missing)
            fill(self._shards, missing, self._pieces, counted, self._shards.write)
        raise OSError(f"{self._shards.what}: what is written cannot be read back; look at the disk of {cache_root()}")

    def chunks(self) -> Iterator[tuple[NDArray[np.intp], Rows]]:
        """Item numbers and their rows, shard by shard: all of them without holding more than one in memory. Only after `complete`."""
        for number in self._shards.numbers:
            found = self._shards.read(number)
            if found is None:
                raise OSError(f"{self._shards.what}: shard {number} went away or was damaged while it was in use; run the same again")
            yield self._order_N[self._shards.rows(number)], found

    def all(self) -> Rows:
        """(N, D) rows in the order of the items, in memory."""
        row_ND = np.empty((len(self), self.width), np.float32)
        for number_n, found in self.chunks():
            row_ND[number_n] = found
        return row_ND

    def _pieces(self, number: int) -> list[slice]:
        rows = self._shards.rows(number)
        return [slice(rows.start + piece.start, rows.start + piece.stop) for piece in batches(rows.stop - rows.start, self._batch)]
