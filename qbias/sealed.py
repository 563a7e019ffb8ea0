"""Arrays on disk that tell when they were damaged: NumPy's own format, then the sha256 of every byte before it.

`np.load` reads such a file too. It is written beside its place and renamed, so it is there whole or not at all; what happens to it
afterwards (cut short, a bit that flips) shows when it is read.
"""

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qbias.store import whole_file

SEAL = 32
"""Bytes of the sha256 at the end."""
PIECE = 1 << 20


class Damaged(ValueError):
    """A file whose content is not what was written; the message says in which way."""


def write_sealed(file: Path, array: NDArray[Any]) -> None:
    """Write `array` to `file` with its digest.

    Plain writes and no memory map: on a full disk they raise OSError, where a map would end the process.
    """
    content = np.ascontiguousarray(array)
    header, body = _header(content.shape, content.dtype), content.reshape(-1).view(np.uint8).data
    digest = hashlib.sha256(header)
    digest.update(body)
    with whole_file(file) as beside, beside.open("wb", buffering=0) as stream:
        for part in (header, body, digest.digest()):
            _write_all(stream, memoryview(part))


def read_sealed(file: Path, shape: tuple[int, ...], dtype: type) -> NDArray[Any]:
    """The array of `file`, mapped into memory after every byte was checked.

    Raises
    ------
    FileNotFoundError
        If there is none.
    Damaged
        If its size, header or digest is wrong.
    """
    size = file.stat().st_size
    if size != sealed_size(shape, dtype):
        raise Damaged(f"it has {size:,} bytes, not {sealed_size(shape, dtype):,}")
    header = _header(shape, np.dtype(dtype))
    with file.open("rb", buffering=0) as stream:
        digest, left = hashlib.sha256(), size - SEAL
        if (start := stream.read(len(header))) != header:
            raise Damaged("its header is another one")
        digest.update(start)
        left -= len(start)
        while left and (piece := stream.read(min(PIECE, left))):
            digest.update(piece)
            left -= len(piece)
        if stream.read(SEAL) != digest.digest():
            raise Damaged("its sha256 is another one")
    array: NDArray[Any] = np.memmap(file, dtype=dtype, mode="r", offset=len(header), shape=shape)
    return array


def sealed_size(shape: tuple[int, ...], dtype: type) -> int:
    """Bytes of the file of such an array."""
    return len(_header(shape, np.dtype(dtype))) + int(np.prod(shape)) * np.dtype(dtype).itemsize + SEAL


def looks_whole(file: Path, shape: tuple[int, ...], dtype: type) -> bool:
    """Whether `file` is there in its full size; its content is only checked when it is read.

    Raises
    ------
    Damaged
        If it is there in another size.
    """
    try:
        size = file.stat().st_size
    except OSError:
        return False
    if size != sealed_size(shape, dtype):
        raise Damaged(f"it has {size:,} bytes, not {sealed_size(shape, dtype):,}")
    return True


def _header(shape: tuple[int, ...], dtype: "np.dtype[Any]") -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"shape": shape, "fortran_order": False, "descr": dtype.str})
    return stream.getvalue()


def _write_all(stream: io.FileIO, content: memoryview) -> None:
    """Unbuffered writes may be short."""
    while content:
        content = content[stream.write(content) :]
