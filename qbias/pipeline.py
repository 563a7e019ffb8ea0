"""Work on many pieces in a row: loaded ahead by one thread, done by others, handed over in order.

The device is busy as long as there is work: while one piece is computed, the next ones are read (and copied to a GPU).
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Piece = TypeVar("Piece")
Loaded = TypeVar("Loaded")
Result = TypeVar("Result")


def side_by_side(pieces: Iterable[Piece], work: Callable[[Piece], Result], *, workers: int) -> Generator[Result]:
    """`work` of every piece, in order, in so many threads; at most `2 * workers` pieces are begun and not handed over.

    When the caller stops early (`close`), no further piece is begun.

    Parameters
    ----------
    pieces : taken as they are needed.
    """
    with ThreadPoolExecutor(workers) as pool:
        try:
            yield from _in_order(iter(pieces), lambda piece: pool.submit(work, piece), 2 * workers)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def pipelined(
    pieces: Iterable[Piece], load: Callable[[Piece], Loaded], work: Callable[[Loaded], Result], *, workers: int, alone: bool
) -> Generator[Result]:
    """As `side_by_side`, of `work(load(piece))`: one more thread loads the pieces ahead of the work.

    Parameters
    ----------
    alone : whether nothing runs beside the first piece.
    """
    source = iter(pieces)
    for piece in islice(source, int(alone)):
        yield work(load(piece))
    with ThreadPoolExecutor(1) as loader, ThreadPoolExecutor(workers) as pool:

        def begin(piece: Piece) -> Future[Result]:
            loaded = loader.submit(load, piece)
            return pool.submit(lambda: work(loaded.result()))

        try:
            yield from _in_order(source, begin, 2 * workers)
        finally:
            for threads in (pool, loader):
                threads.shutdown(wait=False, cancel_futures=True)


def _in_order(source: Iterator[Piece], begin: Callable[[Piece], Future[Result]], ahead: int) -> Generator[Result]:
    waiting = deque(map(begin, islice(source, ahead)))
    while waiting:
        result = waiting.popleft().result()
        waiting.extend(map(begin, islice(source, 1)))
        yield result
