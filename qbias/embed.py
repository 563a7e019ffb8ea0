"""Pixels and texts -> embeddings, in canonical batches, the device never idle.

What shares a batch depends on image ids and batch size alone: some quantizers' results depend on it, and class-sorted folders would
otherwise tie quantization error to class. Shapes: N images or texts, R resolution, D embedding width.
"""

import weakref
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from qbias.batch_size import out_of_memory, too_large
from qbias.benchmarks.content import canonical_order
from qbias.decode import Advance
from qbias.encoder import Encoder, Pixels, Rows, StagedEncoder
from qbias.environment import batch_workers
from qbias.passes import PASSES, Tower
from qbias.pipeline import pipelined


class PixelRows(Protocol):
    """Pixels of which some rows are taken: an array, or StoredPixels."""

    def __getitem__(self, rows: NDArray[np.intp], /) -> Pixels:
        """(n, R, R, 3) uint8."""


def batches(count: int, size: int) -> Iterator[slice]:
    """Which of `count` rows stand together: consecutive pieces of `size`; the last may be shorter."""
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def image_run(encoder: Encoder, pixel_NRR3: PixelRows, order_N: NDArray[np.intp]) -> Callable[[Iterable[slice]], Generator[Rows]]:
    """A function: slices of the order, each a batch -> their (n, D) unit rows, one after the other."""
    return lambda pieces: _encoded(encoder, "images", pieces, lambda piece: pixel_NRR3[order_N[piece]])


def text_run(encoder: Encoder, texts: Sequence[str]) -> Callable[[Iterable[slice]], Generator[Rows]]:
    """A function: slices of the list, each a batch -> their (n, D) unit rows, one after the other."""
    return lambda pieces: _encoded(encoder, "texts", pieces, lambda piece: texts[piece])


def embed_images(encoder: Encoder, pixel_NRR3: PixelRows, ids: Sequence[str], *, batch_size: int, advance: Advance) -> Rows:
    """(N, D) unit rows in the order of `ids`, computed in canonical batches."""
    row_ND = np.empty((len(ids), encoder.width), dtype=np.float32)
    order_N = canonical_order(ids)
    pieces = list(batches(len(ids), batch_size))
    for piece, found in zip(pieces, image_run(encoder, pixel_NRR3, order_N)(pieces), strict=True):
        row_ND[order_N[piece]] = found
        advance(len(found))
    return row_ND


def embed_texts(encoder: Encoder, texts: Sequence[str], *, batch_size: int, advance: Advance) -> Rows:
    """(M, D) unit rows, each distinct text embedded once; texts are batched in the order of their list, never pooled across lists."""

    def embed(distinct: Sequence[str]) -> Rows:
        found = []
        for row_ND in text_run(encoder, distinct)(batches(len(distinct), batch_size)):
            found.append(row_ND)
            advance(len(row_ND))
        return np.concatenate(found)

    return each_once(texts, embed)


def each_once(texts: Sequence[str], embed: Callable[[Sequence[str]], Rows]) -> Rows:
    """Rows of `texts` from those of the distinct ones, in order of first appearance.

    Two classes of one name, or two equal captions, then tie exactly, also where a result depends on its batch.
    """
    number = {text: row for row, text in enumerate(dict.fromkeys(texts))}
    return embed(list(number))[[number[text] for text in texts]]


def _encoded(encoder: Encoder, tower: Tower, pieces: Iterable[slice], take: Callable[[slice], Any]) -> Generator[Rows]:
    """The rows of every piece, in order, several batches at a time; what a batch gives does not depend on what runs beside it.

    On a GPU one thread takes the rows of the next batches and copies them there, another one queues the computation, and this one
    waits for the results; elsewhere each batch is computed by one thread, and there are as many as cores.

    Raises
    ------
    ValueError
        If a batch does not fit in memory, with the largest number of rows that did.
    """
    most = 0

    def taken(piece: slice) -> Any:
        nonlocal most
        most = max(most, piece.stop - piece.start)
        return take(piece)

    try:
        yield from _computed(encoder, tower, pieces, taken)
        return
    except Exception as error:
        if not out_of_memory(error):
            raise
        reason = str(error)
    # Outside of the handler: the error's frames would hold on to the memory that the search for a smaller batch needs.
    raise too_large(encoder, tower, most, reason)


def _computed(encoder: Encoder, tower: Tower, pieces: Iterable[slice], take: Callable[[slice], Any]) -> Generator[Rows]:
    def count(batch: Any) -> Any:
        PASSES.add(tower, len(batch))
        return batch

    if getattr(encoder, "staged", False):
        staged = cast(StagedEncoder, encoder)
        load, start = (staged.load_images, staged.start_images) if tower == "images" else (staged.load_texts, staged.start_texts)
        yield from map(staged.finished, pipelined(pieces, lambda piece: load(count(take(piece))), start, workers=1, alone=False))
    else:
        encode = encoder.images if tower == "images" else encoder.texts
        alone = (id(encoder), tower) not in _USED
        for row_ND in pipelined(pieces, take, lambda batch: encode(count(batch)), workers=batch_workers(), alone=alone):
            _used(encoder, tower)
            yield row_ND


_USED: set[tuple[int, Tower]] = set()
"""Towers that have computed a batch. Some libraries lay out their weights for the processor at the first call, which then goes alone."""


def _used(encoder: Encoder, tower: Tower) -> None:
    key = (id(encoder), tower)
    # Another encoder may get this one's number when it is gone; where that cannot be told, every run's first batch goes alone.
    if key not in _USED and hasattr(encoder, "__weakref__"):
        _USED.add(key)
        weakref.finalize(encoder, _USED.discard, key)
