"""How far a piece of work makes this process's resident memory rise (Linux: /proc).

The kernel keeps the highest resident size of a process and starts again from now when "5" is written to `clear_refs`; reading it costs the
work nothing. Where that cannot be written, a thread looks a thousand times a second.
"""

import ctypes
import gc
import threading
from collections.abc import Callable
from pathlib import Path

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
SLACK = 8 << 20
"""Bytes by which the kernel's own counts may be behind (they are kept per core)."""


def rise(work: Callable[[], object]) -> int:
    """Bytes of resident memory that `work` needed at its highest, above what the process held before.

    Free memory that the allocator still holds is given back first: work that could use it would seem to need less.
    """
    _give_back()
    before = _bytes("VmRSS")
    if not _start_again():
        return _sampled(work) - before
    work()
    return _bytes("VmHWM") - before


def _give_back() -> None:
    gc.collect()
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)


def _start_again() -> bool:
    """Whether the kernel now counts the highest resident size from here."""
    try:
        CLEAR.write_text("5")
    except OSError:
        return False
    return _bytes("VmHWM") - _bytes("VmRSS") < SLACK


def _sampled(work: Callable[[], object]) -> int:
    """The highest resident size that a thread sees while `work` runs."""
    over, seen = threading.Event(), [_bytes("VmRSS")]

    def look() -> None:
        while not over.wait(0.001):
            seen.append(_bytes("VmRSS"))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        work()
    finally:
        over.set()
        thread.join()
    return max(seen)


def _bytes(name: str) -> int:
    return next(int(line.split()[1]) * 1024 for line in STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
