"""One process at a time, among those of one machine that share a cache folder: a lock that the kernel lets go when its holder dies."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from qbias.held import Claim
from qbias.store import cache_root


@contextmanager
def one_at_a_time(name: str) -> Iterator[None]:
    """The block, entered by one process at a time; the others wait.

    Where the cache folder cannot be written to, nothing is locked: whoever relies on this must look again at what it made.

    Parameters
    ----------
    name : what is done one at a time; other names do not wait for it.
    """
    plain = re.sub(r"[^\w.-]", "_", name)
    file = cache_root() / "locks" / f"{plain}.lock"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        claim = Claim(file, wait=True)
    except OSError:
        yield
        return
    try:
        yield
    finally:
        claim.release()
