"""Who uses what in the cache, and who does which piece of work: locks of which the system lets go when a process ends, however it ends."""

import fcntl
import logging
import os
from pathlib import Path
from weakref import finalize

LOG = logging.getLogger(__name__)


def lock(handle: int, *, wait: bool, shared: bool = False) -> None:
    """Lock an open file or folder; where the file system has no locks, nothing is locked.

    Raises
    ------
    BlockingIOError
        If another holds it and `wait` is false.
    """
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        raise
    except OSError as error:
        # So it is on some network file systems: work is then done twice at worst, because files appear whole.
        LOG.debug("no locks here: %s", error)


class Use:
    """Holds an entry's folder: while this object lives, it is not thrown away. Where the file system knows no locks, nothing is held."""

    def __init__(self, folder: Path) -> None:
        """Take hold of `folder`, which is made where it is absent.

        Raises
        ------
        OSError
            If it is absent and cannot be made.
        """
        self.folder = folder
        handle = _held(folder)
        while handle is None:
            handle = _held(folder)
        self._handle, self._release = handle, finalize(self, os.close, handle)
        _touch(folder)

    def stands(self) -> bool:
        """Whether the folder is still the one that is held; its use is noted again."""
        try:
            same = os.path.samestat(os.fstat(self._handle), self.folder.stat())
        except FileNotFoundError:
            return False
        _touch(self.folder)
        return same

    def release(self) -> None:
        """Let go."""
        self._release()


def _held(folder: Path) -> int | None:
    """A handle with a shared lock on `folder`; None where the folder was thrown away meanwhile."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        if not folder.is_dir():
            raise
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        lock(handle, wait=True, shared=True)
        if os.path.samestat(os.fstat(handle), folder.stat()):
            return handle
    except FileNotFoundError:
        pass
    except BaseException:
        os.close(handle)
        raise
    os.close(handle)
    return None


def _touch(folder: Path) -> None:
    """An entry's own time is that of its last use."""
    try:
        os.utime(folder)
    except OSError:
        return


class Claim:
    """Holds one piece of work among processes (and threads): whoever claims it first does it. The system lets go when its holder dies."""

    def __init__(self, file: Path, *, wait: bool) -> None:
        """Claim the work that `file` stands for.

        Raises
        ------
        BlockingIOError
            If another holds it and `wait` is false.
        OSError
            If the file cannot be made.
        """
        self._file = file
        while True:
            handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                lock(handle, wait=wait)
                if file.exists() and os.path.samestat(os.fstat(handle), file.stat()):
                    break
            except FileNotFoundError:
                pass
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)
        self._release = finalize(self, os.close, handle)

    def release(self) -> None:
        """Give it up, done or not; the file goes while it is still ours."""
        if self._release.alive:
            self._file.unlink(missing_ok=True)
            self._release()
