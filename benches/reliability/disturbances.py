"""Disks that are full or read-only, cache files that are damaged, several processes at once, a server that is gone: each as trials."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benches.reliability.dump import differences
from benches.reliability.kills import Trial, again, seen
from benches.reliability.study import Place, finished, made_place, started

SMALL = "1m"
"""Size of the disk that is too small for the study's pixels and embeddings."""


def full_disk(folder: Path, expected: dict[str, Any]) -> Trial:
    """The cache on a disk that is too small: a clear error or a result without storing; then the same command with room."""
    place = made_place(folder)
    with mounted(place.cache, f"size={SMALL}"):
        code, output = finished(started(place))
    faults = [] if not code or "Traceback" not in output else [f"the message is a traceback:\n{output}"]
    return Trial(f"cache on a disk of {SMALL}", True, (*faults, *again(place, expected)))


def read_only_cache(folder: Path, expected: dict[str, Any]) -> Trial:
    """A cache that nobody may write to: a clear error or a result without storing; then the same command with a writable one."""
    place = made_place(folder)
    with mounted(place.cache, "ro"):
        code, output = finished(started(place))
    faults = [] if not code or "Traceback" not in output else [f"the message is a traceback:\n{output}"]
    return Trial("read-only cache", True, (*faults, *again(place, expected)))


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """A small disk in memory at `folder`, for the length of the block; needs the rights of root."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)  # noqa: S603, S607 - our own folder
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)  # noqa: S603, S607 - our own folder


def truncated(content: bytes) -> bytes:
    """The first half."""
    return content[: len(content) // 2]


def flipped(content: bytes) -> bytes:
    """One bit in the middle changed."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :] if content else content


DAMAGE: dict[str, Callable[[bytes], bytes]] = {"cut to half": truncated, "one bit flipped": flipped}


def damaged_cache(folder: Path, expected: dict[str, Any], how: str) -> Trial:
    """A study's cache, every file of pixels and embeddings damaged, given to a study in a new store."""
    first = made_place(folder / "first")
    finished(started(first))
    place = made_place(folder / "second")
    shutil.copytree(first.cache, place.cache)
    files = [file for part in ("pixels", "embeddings") for file in (place.cache / part).rglob("*") if file.is_file()]
    for file in files:
        file.write_bytes(DAMAGE[how](file.read_bytes()))
    code, output = finished(started(place))
    said = "damaged" in output or "made again" in output or "rebuilt" in output
    faults = [] if said else [f"nothing in the log says that the cache was damaged:\n{output}"]
    return Trial(f"{len(files)} cache files, each {how}", bool(files), (*faults, *_result(place, expected, code, output)))


def at_once(folder: Path, expected: dict[str, Any], processes: int) -> Trial:
    """Several processes with the same study, store and cache at once; then the same command again."""
    place = made_place(folder)
    running = [started(place) for _ in range(processes)]
    ended = [finished(process) for process in running]
    failed = [f"one ended with {code}:\n{output[-2000:]}" for code, output in ended if code]
    return Trial(f"{processes} processes at once", True, (*failed, *again(place, expected, once=False)))


def _result(place: Place, expected: dict[str, Any], code: int, output: str) -> Iterator[str]:
    if code:
        yield f"the study ended with {code}:\n{output}"
        return
    found, faults = seen(place)
    yield from faults
    yield from differences(expected, found)
