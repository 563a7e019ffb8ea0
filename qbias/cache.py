"""Room in the cache: how much it may hold, and what is thrown away first.

An *entry* is one folder (or, from earlier versions, file) of pixels, embeddings or outcomes that could not be logged yet. Only what nobody
holds (held.py) is thrown away, the least recently used first. `cache_limit` counts entries, not the drawn world, unpacked shards and small
answers.
"""

import errno
import logging
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from qbias.held import lock
from qbias.store import cache_root

LOG = logging.getLogger(__name__)
LIMIT = "QBIAS_CACHE_LIMIT"
UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40}
ENTRIES = ("pixels/*", "embeddings/*/*", "unlogged/*")
"""Where entries lie below the cache's folder."""
UNWRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)
FULL = (errno.ENOSPC, errno.EDQUOT)


class NoRoom(ValueError):
    """Something cannot be stored: no space, no permission, or a limit that is too low. The message says which, and the remedy."""


def bytes_named(text: str) -> int | None:
    """`"20GB"`, `"1.5 TiB"`, `"500000"` -> bytes; `"none"` or nothing -> None, no limit. GB is 10^9 bytes, GiB 2^30.

    Raises
    ------
    ValueError
        If it is neither.

    Examples
    --------
    >>> bytes_named("20GB"), bytes_named("none")
    (20000000000, None)
    """
    if text.strip().lower() in ("", "none"):
        return None
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", text, flags=re.IGNORECASE | re.ASCII)
    if not found or found[2].upper() not in UNITS or not (size := int(float(found[1]) * UNITS[found[2].upper()])):
        raise ValueError(f"cache_limit={text!r} is no size: give one such as 20GB or 500MB, or none for no limit")
    return size


def cache_limit() -> int | None:
    """Bytes that pixels and embeddings may take together, from `QBIAS_CACHE_LIMIT`; None where there is no limit."""
    return bytes_named(os.environ.get(LIMIT, ""))


def in_words(size: float) -> str:
    """A number of bytes for people.

    Examples
    --------
    >>> in_words(7_526_400_000), in_words(812)
    ('7.5 GB', '812 B')
    """
    for power, unit in ((12, "TB"), (9, "GB"), (6, "MB"), (3, "KB")):
        if size >= 10**power:
            return f"{size / 10**power:,.1f} {unit}"
    return f"{size:,.0f} B"


def make_room(size: int, *, what: str, ours: Path) -> None:
    """See that `size` more bytes may be written, throwing away the least recently used entries where `cache_limit` asks for it.

    Parameters
    ----------
    size : bytes that are still to be written. what : what they hold, for the message. ours : the entry that they belong to.

    Raises
    ------
    NoRoom
        If the disk has less free space, or what is in use leaves too little of the limit.
    """
    limit = cache_limit()
    if limit is not None:
        _evict(limit, size, what=what, ours=ours)
    free = shutil.disk_usage(_nearest(ours)).free
    if size > free:
        raise NoRoom(
            f"{what} need {in_words(size)} in {cache_root()}, where {in_words(free)} are free: free some space, or let QBIAS_CACHE name a "
            "folder on a larger disk"
        )


def _evict(limit: int, size: int, *, what: str, ours: Path) -> None:
    found = entries()
    total = sum(entry.size for entry in found)
    for entry in sorted(found, key=lambda entry: entry.used):
        if total + size <= limit:
            return
        if entry.path != ours and _thrown_away(entry.path):
            LOG.info("cache_limit: threw away %s (%s)", entry.path.relative_to(cache_root()), in_words(entry.size))
            total -= entry.size
    if total + size > limit:
        raise NoRoom(
            f"{what} need {in_words(size)}; what is in use takes {in_words(total)} and cache_limit is {in_words(limit)}: raise it to at "
            f"least {in_words(total + size)}"
        )


@dataclass(frozen=True)
class Entry:
    """One folder or file of the cache that may be thrown away, its bytes and the time of its last use."""

    path: Path
    size: int
    used: float


def entries() -> list[Entry]:
    """All that may be thrown away."""
    found = []
    for path in (path for pattern in ENTRIES for path in cache_root().glob(pattern)):
        try:
            files = [path] if path.is_file() else list(path.iterdir())
            found.append(Entry(path, sum(file.stat().st_size for file in files), path.stat().st_mtime))
        except OSError:
            continue  # thrown away, or renamed, while we looked
    return found


def _thrown_away(path: Path) -> bool:
    """Remove an entry unless somebody holds it; whether it is gone."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return not path.exists()
    try:
        lock(handle, wait=False)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    except OSError:
        return not path.exists()
    finally:
        os.close(handle)
    return True


def _nearest(path: Path) -> Path:
    """`path`, or the nearest folder above it that exists."""
    return next(folder for folder in (path, *path.parents) if folder.exists())


@contextmanager
def storing(what: str) -> Iterator[None]:
    """Turn a disk that is full or may not be written to into NoRoom.

    Raises
    ------
    NoRoom
        In place of the OSError.
    """
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise NoRoom(
                f"the disk was full before {what} were stored in {cache_root()}: free some space, or let QBIAS_CACHE name a folder on a "
                "larger disk; what had finished is kept, and the same command goes on from there"
            ) from error
        if error.errno in UNWRITABLE:
            raise NoRoom(
                f"{what} cannot be stored in {cache_root()} ({error.strerror}): let QBIAS_CACHE name a folder that may be written to"
            ) from error
        raise
