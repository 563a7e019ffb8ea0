"""Real disks that are small or read-only, for tests: a tmpfs of a few kilobytes in a mount namespace of its own."""

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
MOUNT = 'mount -t tmpfs -o size="$1",mode=777 tmpfs "$2" && shift 2 && exec "$@"'


def on_small_disk(size: str, disk: Path, code: str, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run Python `code` where `disk` is an empty disk of `size` (such as `64k`)."""
    command = [*_unshared(), "sh", "-c", MOUNT, "sh", size, str(disk), sys.executable, "-c", code, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=PROJECT, env=os.environ | {"PYTHONPATH": str(PROJECT)})


def _unshared() -> list[str]:
    return [shutil.which("unshare") or "unshare", "--user", "--map-root-user", "--mount"]


@functools.cache
def _allowed() -> bool:
    try:
        done = subprocess.run([*_unshared(), "sh", "-c", "mount -t tmpfs tmpfs /mnt"], capture_output=True, check=False, timeout=30)
    except OSError:
        return False
    return done.returncode == 0


needs_small_disk = pytest.mark.skipif(not _allowed(), reason="needs user namespaces in which a tmpfs can be mounted")
