"""Where generated data and caches live, and how files get there whole: written beside, then renamed.

The folder is `$QBIAS_CACHE`, else `$XDG_CACHE_HOME/qbias`, else `~/.cache/qbias`. Everything in it can be deleted at any time.
"""

import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qbias.digests import bytes_digest

LARGE = ("world", "shards")
"""Folders of the cache with many files."""


def cache_root() -> Path:
    """The cache folder as an absolute path (not created here)."""
    if named := os.environ.get("QBIAS_CACHE"):
        return Path(named).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return (Path(base).expanduser() / "qbias").resolve()


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; it becomes `path` in one step when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=_prefix(path))
    os.close(handle)
    beside = Path(name)
    try:
        yield beside
        # mkstemp makes files that only their owner can read; a shared cache needs what an ordinary file would have.
        beside.chmod(0o666 & ~_umask())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder beside `path` to fill; it becomes `path` in one step when the block ends without an error.

    Where another process was first, its folder stays and ours is thrown away: both were made from the same content.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=path.parent, prefix=_prefix(path)))
    try:
        yield beside
        beside.chmod(0o777 & ~_umask())
        try:
            beside.rename(path)
        except OSError:
            if not path.is_dir():
                raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _prefix(path: Path) -> str:
    """How the name of something half written begins: what it is to become, and who writes it."""
    return f".{path.name}.{_host()}-{os.getpid()}."


def _host() -> str:
    """The machine in a few letters: machines share caches, and none can see whether another's process lives."""
    return bytes_digest(platform.node().encode())[:8]


def clear_half_written() -> list[Path]:
    """Remove from the cache what processes of this machine had half written when they were killed; which paths."""
    gone = []
    for folder, folders, files in os.walk(cache_root()):
        for name in [*folders, *files]:
            writer = re.fullmatch(r"\..+\.([0-9a-f]{8})-(\d+)\.\w+", name)
            if writer and writer[1] == _host() and not Path(f"/proc/{writer[2]}").exists():
                path = Path(folder) / name
                shutil.rmtree(path, ignore_errors=True)
                path.unlink(missing_ok=True)
                gone.append(path)
        # Sets that were unpacked or drawn hold many files, and appear as a whole.
        folders[:] = [name for name in folders if not name.startswith(".") and name not in LARGE]
    return gone


def _umask() -> int:
    """The process's file mode mask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
