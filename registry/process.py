"""The running process as other processes of the same machine can find it again, and whether one of them still lives."""

import os
import socket
from collections.abc import Mapping
from pathlib import Path

STATE, STARTED = 0, 19
"""Places in /proc/<pid>/stat after the name: the state's letter, and the start in clock ticks since the machine started."""


def own_process() -> dict[str, str]:
    """Host, place, number and start of this process, as tags."""
    pid = os.getpid()
    stat = _stat(pid)
    return {
        "qbias.host": socket.gethostname(),
        "qbias.place": _place(),
        "qbias.pid": str(pid),
        "qbias.pid_started": stat[STARTED] if stat else "",
    }


def alive(tags: Mapping[str, str]) -> bool | None:
    """Whether the process that wrote these tags still runs; None where that cannot be seen from here.

    Seen are processes of the same boot of the same Linux machine and, there, of the same container.
    """
    pid = tags.get("qbias.pid", "")
    if not pid.isascii() or not pid.isdigit() or not _place() or tags.get("qbias.place") != _place():
        return None
    stat = _stat(int(pid))
    # Numbers are used again, so the start has to be the same too.
    return bool(stat) and stat[STARTED] == tags.get("qbias.pid_started") and stat[STATE] not in "ZX"


def _stat(pid: int) -> list[str]:
    """What the system says about a process after its name; empty where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _place() -> str:
    """Where process numbers mean the same; "" where the system has no /proc."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""
