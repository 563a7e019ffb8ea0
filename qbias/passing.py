"""Temporary files of this process, all below one folder, and those of processes that were killed before they could remove theirs."""

import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qbias.held import Use, lock

PREFIX = "qbias-"


@contextmanager
def passing_folder() -> Iterator[Path]:
    """A folder in which all temporary files of this process lie within the block; it goes at the end, those of dead processes go first."""
    system = Path(tempfile.gettempdir())
    clear_left(system)
    use = Use(system / f"{PREFIX}{os.getpid()}-{uuid.uuid4().hex[:12]}")
    before, tempfile.tempdir = tempfile.tempdir, str(use.folder)
    try:
        yield use.folder
    finally:
        tempfile.tempdir = before
        shutil.rmtree(use.folder, ignore_errors=True)
        use.release()


def clear_left(system: Path) -> list[Path]:
    """Remove the folders of processes that are gone; which ones.

    Parameters
    ----------
    system : where they lie. A folder counts as left behind if no process has its number and none holds it: a number alone could be that of
        a process in another container.
    """
    gone = []
    for folder in system.glob(f"{PREFIX}*-*"):
        number = re.fullmatch(rf"{PREFIX}(\d+)-[0-9a-f]{{12}}", folder.name)
        if number and not Path(f"/proc/{number[1]}").exists() and _removed(folder):
            gone.append(folder)
    return gone


def _removed(folder: Path) -> bool:
    """Remove a folder that nobody holds; whether it is gone."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        lock(handle, wait=False)
        shutil.rmtree(folder)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True
