"""Temporary files lie in one folder per process, which goes with it; what killed processes left goes with the next one."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from qbias.passing import clear_left, passing_folder

PROJECT = Path(__file__).resolve().parent.parent


def test_everything_goes_with_the_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with passing_folder() as folder:
        assert Path(tempfile.mkdtemp()).parent == folder
        assert list(tmp_path.iterdir()) == [folder]
    assert tempfile.gettempdir() == str(tmp_path)
    assert list(tmp_path.iterdir()) == []


def started(folder: Path) -> "subprocess.Popen[str]":
    """A process that is inside the block and waits there."""
    code = (
        "import tempfile\nfrom qbias.passing import passing_folder\n"
        "with passing_folder():\n    tempfile.mkdtemp()\n    print('inside', flush=True)\n    input()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=PROJECT, env=os.environ | {"TMPDIR": str(folder)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "inside\n"
    return process


def test_a_killed_process_leaves_nothing_for_long(tmp_path: Path) -> None:
    process = started(tmp_path)
    try:
        assert clear_left(tmp_path) == [], "it lives"
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    (left,) = tmp_path.iterdir()
    assert clear_left(tmp_path) == [left]
    assert list(tmp_path.iterdir()) == []


def test_what_another_holds_or_made_otherwise_is_let_be(tmp_path: Path) -> None:
    from qbias.held import Use

    held = Use(tmp_path / "qbias-999999999-0123456789ab")
    (tmp_path / "qbias-notes").mkdir()
    (tmp_path / "qbias-12-notes").mkdir()
    assert clear_left(tmp_path) == []
    held.release()
    assert clear_left(tmp_path) == [held.folder]
