"""One array of many rows in a folder of the cache, as sealed files of so many rows each: made piece by piece, by several processes at once.

A shard that is finished is never made again, whatever happened to the process that made it. A shard that was damaged since is found by its
digest, said in the log, and made again.
"""

import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from qbias.cache import NoRoom, make_room, storing
from qbias.held import Claim, Use
from qbias.sealed import Damaged, looks_whole, read_sealed, sealed_size, write_sealed

LOG = logging.getLogger(__name__)
BLOCK = 4096
Made = TypeVar("Made")
Run = Callable[[Iterator[slice]], Generator[NDArray[Any]]]
"""Makes rows: takes slices of them, gives the arrays in the same order; it may work ahead."""


class Sharded:
    """`count` rows of one shape and type in `folder`, `per_shard` a file.

    Attributes
    ----------
    count, per_shard : rows in all, and in each shard but the last.
    what : what the rows are, for messages. row_shape : of one row.
    """

    def __init__(
        self, folder: Path, *, count: int, per_shard: int, row_shape: tuple[int, ...], dtype: type, what: str, optional: bool
    ) -> None:
        """Take hold of the folder, so that it is not thrown away while this object lives.

        Parameters
        ----------
        optional : where nothing can be stored, keep the rows in memory and say so in the log, instead of raising.

        Raises
        ------
        NoRoom
            If the folder cannot be made.
        """
        self.count, self.per_shard, self.what = count, per_shard, what
        self._folder, self.row_shape, self._dtype, self._optional = folder, row_shape, dtype, optional
        self._mapped: dict[int, tuple[tuple[int, int, int], NDArray[Any]]] = {}
        self._held: dict[int, NDArray[Any]] = {}
        self._stores = True
        self._use: Use | None = None
        self._hold()

    @property
    def numbers(self) -> range:
        """The shards' numbers."""
        return range(-(-self.count // self.per_shard))

    def rows(self, number: int) -> slice:
        """Which rows a shard holds."""
        return slice(number * self.per_shard, min((number + 1) * self.per_shard, self.count))

    def missing(self) -> list[int]:
        """Shards that are not there in their full size; content is checked when it is read."""
        self._hold()
        return [number for number in self.numbers if number not in self._held and not self._there(number)]

    def size(self, numbers: Iterable[int]) -> int:
        """Bytes of these shards on disk, in whole blocks."""
        return sum(-(-sealed_size(self._shape(number), self._dtype) // BLOCK) * BLOCK for number in numbers)

    def see_that_it_fits(self, numbers: Sequence[int]) -> None:
        """Make room for these shards.

        Raises
        ------
        NoRoom
            If there is none.
        """
        if self._stores:
            self._or_memory(lambda: make_room(self.size(numbers), what=self.what, ours=self._folder))

    def read(self, number: int) -> NDArray[Any] | None:
        """A shard's rows, every byte checked once; None where there is none, or it was damaged (which is said in the log)."""
        if number in self._held:
            return self._held[number]
        try:
            found = self._file(number).stat()
            state = (found.st_ino, found.st_mtime_ns, found.st_size)
            if number not in self._mapped or self._mapped[number][0] != state:
                self._mapped[number] = state, read_sealed(self._file(number), self._shape(number), self._dtype)
            return self._mapped[number][1]
        except Damaged as fault:
            self._say_damaged(number, fault)
        except OSError as error:
            LOG.debug("%s cannot be read: %s", self._file(number), error)
        return None

    def write(self, number: int, array: NDArray[Any]) -> None:
        """Keep a shard's rows.

        Raises
        ------
        NoRoom
            If they cannot be stored (unless the rows are optional: they then stay in memory).
        """
        self._mapped.pop(number, None)
        if self._stores:
            self._or_memory(lambda: write_sealed(self._file(number), array))
        if not self._stores:
            self._held[number] = array

    def claim(self, number: int, *, wait: bool) -> Claim | None:
        """The right to make a shard.

        Raises
        ------
        BlockingIOError
            If another makes it and `wait` is false.
        """
        if not self._stores:
            return None
        claim = self._or_memory(lambda: Claim(self._folder / f".{number:06}.claim", wait=wait))
        # Only who holds the claim writes this shard, so what lies beside it was left by a process that was killed.
        for left in self._folder.glob(f".{self._file(number).name}.*") if claim else ():
            left.unlink(missing_ok=True)
        return claim

    def _hold(self) -> None:
        """Hold the folder, also where somebody deleted the one that was held."""
        if self._stores and (self._use is None or not self._use.stands()):
            self._use = self._or_memory(lambda: Use(self._folder))

    def _or_memory(self, work: Callable[[], Made]) -> Made | None:
        try:
            with storing(self.what):
                return work()
        except NoRoom as error:
            if not self._optional:
                raise
            self._stores = False
            LOG.warning("%s; they are computed and not kept", error)
        return None

    def _shape(self, number: int) -> tuple[int, ...]:
        rows = self.rows(number)
        return (rows.stop - rows.start, *self.row_shape)

    def _file(self, number: int) -> Path:
        return self._folder / f"{number:06}.npy"

    def _there(self, number: int) -> bool:
        try:
            return looks_whole(self._file(number), self._shape(number), self._dtype)
        except Damaged as fault:
            self._say_damaged(number, fault)
            return False

    def _say_damaged(self, number: int, fault: Damaged) -> None:
        """Say so, and remove it: what is not there is made again."""
        file = self._file(number)
        LOG.warning("%s: shard %d of %d was damaged (%s) and is made again: %s", self.what, number, len(self.numbers), fault, file)
        with suppress(OSError):
            file.unlink()


def fill(
    shards: Sharded, numbers: Sequence[int], pieces: Callable[[int], list[slice]], run: Run, done: Callable[[int, NDArray[Any]], None]
) -> None:
    """Make these shards, sharing the work with every other process that makes the same ones.

    Parameters
    ----------
    pieces : a shard's number -> the slices of rows that are made at a time.
    run : makes them; slices of several shards follow each other, so that nobody waits at a shard's end.
    done : gets each finished shard, while its claim is held.
    """
    others = _fill(shards, numbers, pieces, run, done, wait=False)
    for number in others:
        # Another process was at it: it has finished it by now, or died, and then it is ours.
        _fill(shards, [number], pieces, run, done, wait=True)


def _fill(
    shards: Sharded,
    numbers: Sequence[int],
    pieces: Callable[[int], list[slice]],
    run: Run,
    done: Callable[[int, NDArray[Any]], None],
    *,
    wait: bool,
) -> list[int]:
    """As `fill`, but for the shards that others are at, which are returned."""
    others: list[int] = []
    ours: list[tuple[int, Claim | None, list[slice]]] = []

    def claimed() -> Iterator[slice]:
        for number in numbers:
            try:
                claim = shards.claim(number, wait=wait)
            except BlockingIOError:
                others.append(number)
                continue
            if shards.read(number) is not None:
                _release(claim)
                continue
            ours.append((number, claim, pieces(number)))
            yield from ours[-1][2]

    try:
        with closing(run(claimed())) as results:
            for first in results:
                number, claim, slices = ours[0]
                done(number, _gathered(slices, first, results))
                del ours[0]
                _release(claim)
    finally:
        for _, claim, _ in ours:
            _release(claim)
    return others


def _gathered(slices: Sequence[slice], first: NDArray[Any], rest: Iterator[NDArray[Any]]) -> NDArray[Any]:
    """One shard's rows from those of its pieces."""
    start = slices[0].start
    array = np.empty((slices[-1].stop - start, *first.shape[1:]), first.dtype)
    for number, piece in enumerate(slices):
        array[piece.start - start : piece.stop - start] = first if number == 0 else next(rest)
    return array


def _release(claim: Claim | None) -> None:
    if claim is not None:
        claim.release()
