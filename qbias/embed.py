"""Images -> pixels (decoded once) -> embeddings, in canonical batches; finished work is found by content and reused.

What shares a batch depends on image ids and batch size alone: some quantizers' results depend on it, and class-sorted folders would
otherwise tie quantization error to class. Shapes: N images, R resolution, D embedding width.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from qbias.benchmarks.content import canonical_order
from qbias.digests import json_digest
from qbias.encoder import Encoder, Pixels, Rows
from qbias.environment import batch_workers, library_version
from qbias.preprocess import crop
from qbias.records import Dataset
from qbias.store import cache_root, whole_file

Piece = TypeVar("Piece")
Advance = Callable[[int], object]
"""Called with the number of rows just finished: a progress bar's `update`."""


def batches(count: int, size: int) -> Iterator[slice]:
    """Which of `count` rows stand together: consecutive pieces of `size`; the last may be shorter."""
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def pixels(dataset: Dataset, resolution: int, *, advance: Advance = lambda count: None) -> Pixels:
    """Every image of `dataset` as the reference preprocessing leaves it before mean and std; decoded once and kept.

    Returns
    -------
    (N, R, R, 3) uint8, read from disk as needed (a memory map), in the dataset's own order.

    Raises
    ------
    ValueError
        If images cannot be decoded; all of them are listed (up to 20, and how many more).
    """
    versions = {name: library_version(name) for name in ("pillow", "torchvision")}
    file = cache_root() / "pixels" / f"{json_digest([dataset.digest, resolution, versions])}.npy"
    if (kept := _kept(file)) is not None:
        return kept
    paths = [dataset.root / path for path in dataset.images["path"]]
    with whole_file(file) as beside:
        # open_memmap wants the name that np.load will see; the rename comes after the last image.
        shape = (len(paths), resolution, resolution, 3)
        stored = np.lib.format.open_memmap(beside, mode="w+", dtype=np.uint8, shape=shape)
        _decode_all(paths, resolution, stored, advance)
        stored.flush()
    return _loaded(file)


def _decode_all(paths: Sequence[Path], resolution: int, stored: Pixels, advance: Advance) -> None:
    """Decode into `stored`; Pillow lets go of the interpreter lock while it decodes and resizes, so threads help."""
    bad: list[str] = []

    def decode(row: int) -> None:
        try:
            stored[row] = crop(paths[row], resolution)
        except ValueError as error:
            bad.append(str(error))

    with ThreadPoolExecutor() as pool:
        for _ in pool.map(decode, range(len(paths))):
            advance(1)
    if bad:
        more = f"\n  ... and {len(bad) - 20} more" if len(bad) > 20 else ""
        listed = "\n  ".join(sorted(bad)[:20])
        raise ValueError(f"{len(bad)} of {len(paths)} images cannot be decoded; replace or remove them:\n  {listed}{more}")


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
    """(N, D) unit rows; texts are batched in the order of their list and never pooled across lists."""
    pieces = [texts[some] for some in batches(len(texts), batch_size)]
    found = []
    for row_ND in _side_by_side(encoder.texts, pieces):
        found.append(row_ND)
        advance(len(row_ND))
    return np.concatenate(found)


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
    file = cache_root() / "embeddings" / kind / f"{json_digest(facts)}.npy"
    if (kept := _kept(file)) is not None:
        return np.asarray(kept)
    row_ND = compute()
    with whole_file(file) as beside, beside.open("wb") as stream:
        np.save(stream, row_ND)
    return row_ND


def _kept(file: Path) -> NDArray[Any] | None:
    """A cached array, or None where there is none or its file was cut short (it is then made again)."""
    try:
        return _loaded(file)
    except (FileNotFoundError, ValueError, EOFError):
        return None


def _loaded(file: Path) -> NDArray[Any]:
    array: NDArray[Any] = np.load(file, mmap_mode="r", allow_pickle=False)
    return array
