"""Pixels and texts -> embeddings, in canonical batches; finished work is found by content and reused.

What shares a batch depends on image ids and batch size alone: some quantizers' results depend on it, and class-sorted folders would
otherwise tie quantization error to class. Shapes: N images or texts, R resolution, D embedding width.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from qbias.benchmarks.content import canonical_order
from qbias.digests import json_digest
from qbias.encoder import Encoder, Pixels, Rows
from qbias.environment import batch_workers
from qbias.pixels import Advance, stored_array
from qbias.store import cache_root, whole_file

FORMAT = 2
"""Raised when the same facts give other embeddings."""
Piece = TypeVar("Piece")


def batches(count: int, size: int) -> Iterator[slice]:
    """Which of `count` rows stand together: consecutive pieces of `size`; the last may be shorter."""
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def embed_images(encoder: Encoder, pixel_NRR3: Pixels, ids: Sequence[str], *, batch_size: int, advance: Advance) -> Rows:
    """(N, D) unit rows in the order of `ids`, computed in canonical batches."""
    row_ND = np.empty((len(ids), encoder.width), dtype=np.float32)
    order = canonical_order(ids)
    pieces = [order[some] for some in batches(len(ids), batch_size)]
    for rows, found in zip(pieces, _side_by_side(lambda rows: encoder.images(pixel_NRR3[rows]), pieces), strict=True):
        row_ND[rows] = found
        advance(len(rows))
    return row_ND


def embed_texts(encoder: Encoder, texts: Sequence[str], *, batch_size: int, advance: Advance) -> Rows:
    """(M, D) unit rows, each distinct text embedded once; texts are batched in the order of their list, never pooled across lists."""

    def embed(distinct: Sequence[str]) -> Rows:
        found = []
        for row_ND in _side_by_side(encoder.texts, [distinct[some] for some in batches(len(distinct), batch_size)]):
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


def _side_by_side(encode: Callable[[Piece], Rows], pieces: Sequence[Piece]) -> Iterator[Rows]:
    """`encode` of every piece, in order; several batches at a time, each computed by one thread.

    The first piece goes alone: some libraries lay out their weights for the processor at the first call. What a batch gives does not
    depend on what runs beside it. When the caller stops early, no further batch is begun.
    """
    yield from (encode(piece) for piece in pieces[:1])
    with ThreadPoolExecutor(batch_workers()) as pool:
        try:
            yield from pool.map(encode, pieces[1:])
        finally:
            pool.shutdown(cancel_futures=True)


def stored_embeddings(kind: str, facts: object, compute: Callable[[], Rows]) -> Rows:
    """The embeddings that were made from `facts` before, or `compute()`, kept for the next time.

    Parameters
    ----------
    kind : "images" or "texts", a folder of the cache.
    facts : JSON value naming everything that the result depends on (weights, rows, batch size, machine).
    """
    file = cache_root() / "embeddings" / kind / f"{json_digest([FORMAT, facts])}.npy"
    if (kept := stored_array(file)) is not None:
        return np.asarray(kept)
    row_ND = compute()
    with whole_file(file) as beside, beside.open("wb") as stream:
        np.save(stream, row_ND)
    return row_ND
