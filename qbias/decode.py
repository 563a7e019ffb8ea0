"""Image files -> pixels in threads, and what was wrong with those that cannot be decoded.

Threads, not processes: Pillow lets go of the interpreter lock while it decodes and resizes. On two cores threads took .21 s for 79
photographs (640 pixels wide) and .25 s for 1,000 small ones (224, where the lock is felt); two processes took .26 s and .54 s, because they
have to start and to hand over every pixel.
"""

import os
from collections.abc import Callable, Generator, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from PIL import Image, ImageFile

from qbias.pipeline import side_by_side
from qbias.preprocess import BadImage

Advance = Callable[[int], object]
"""Called with the number of rows just finished: a progress bar's `update`."""
Piece = TypeVar("Piece")
Result = TypeVar("Result")
THREADS = min(32, max(2, os.cpu_count() or 1))
"""preprocess.ROOM bounds the memory, whatever this number is."""
PIECE = 16
"""Images that a thread takes at a time: small ones take less time than handing them over."""
# One piece of memory per image: glibc gives large pieces back when they are free, but keeps those of Pillow's default 16 MiB per thread.
Image.core.set_block_size(1 << 29)  # type: ignore[attr-defined]


class Fault(NamedTuple):
    """What of a BadImage is kept: the exception itself would hold on to the frames, and so to the pixels, that it went through."""

    reason: str
    lasting: bool


def fault(use: Callable[[], object]) -> Fault | None:
    """What is wrong with the image that `use` decodes; None where it can be decoded."""
    try:
        use()
    except BadImage as error:
        return Fault(error.reason, error.lasting)
    return None


def in_threads(pieces: Iterable[Piece], work: Callable[[Piece], Result]) -> Generator[Result]:
    """`work` of every piece, in order, in THREADS threads.

    Raises
    ------
    ValueError
        If another library told Pillow to fill up truncated images.
    """
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        raise ValueError("PIL.ImageFile.LOAD_TRUNCATED_IMAGES is set, so Pillow would fill up truncated images: set it to False")
    return side_by_side(pieces, work, workers=THREADS)


def faults(files: Sequence[Path], use: Callable[[Path], object], advance: Advance) -> dict[int, Fault]:
    """What is wrong with the files on which `use` raises BadImage, by number, ascending."""

    def look(some: range) -> dict[int, Fault]:
        looked = {number: fault(lambda number=number: use(files[number])) for number in some}  # type: ignore[misc]
        return {number: one for number, one in looked.items() if one is not None}

    found: dict[int, Fault] = {}
    pieces = [range(start, min(start + PIECE, len(files))) for start in range(0, len(files), PIECE)]
    for some, bad in zip(pieces, in_threads(pieces, look), strict=True):
        found |= bad
        advance(len(some))
    return found
