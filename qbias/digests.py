"""Content addresses: sha256 over bytes, files, folders and JSON values. Nothing here knows what the content means."""

import hashlib
import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CHUNK = 1 << 20
_OWN = threading.local()
"""Each thread's own piece, to be read into."""


def bytes_digest(content: bytes) -> str:
    """Hexadecimal sha256 of `content` (64 characters)."""
    return hashlib.sha256(content).hexdigest()


def json_digest(value: Any) -> str:
    """sha256 of the canonical JSON of `value`: sorted keys, no spaces, NaN refused.

    Two values have the same digest exactly when their JSON is the same; tuples count as lists.

    Raises
    ------
    ValueError
        If `value` holds NaN or infinity (they have no canonical JSON).
    TypeError
        If `value` cannot be written as JSON.

    Examples
    --------
    >>> json_digest({"a": 1, "b": 2}) == json_digest({"b": 2, "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return bytes_digest(text.encode())


def file_digest(path: str | Path) -> str:
    """sha256 of a file's bytes, read in pieces so that a large file needs no memory."""
    # Small images are hashed by the hundred thousand: Python's file objects and a new piece for each read take longer than the hash.
    if (piece := getattr(_OWN, "piece", None)) is None:
        piece = _OWN.piece = memoryview(bytearray(CHUNK))
    digest, handle = hashlib.sha256(), os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while count := os.readv(handle, [piece]):
            digest.update(piece[:count])
    finally:
        os.close(handle)
    return digest.hexdigest()


def folder_digests(folder: Path) -> dict[str, str]:
    """sha256 of every file below `folder`, keyed by its path relative to `folder` in POSIX form, sorted."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): file_digest(path) for path in files}


def mapping_digest(digests: Mapping[str, str]) -> str:
    """One digest for many named ones (a folder's, a dataset's); the order of the mapping does not matter."""
    return json_digest(dict(digests))
