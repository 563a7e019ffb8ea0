import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from qbias.store import cache_root, clear_half_written, whole_file, whole_folder


def test_cache_root_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("QBIAS_CACHE", str(tmp_path / "here"))
    assert cache_root() == tmp_path / "here"
    monkeypatch.delenv("QBIAS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_root() == tmp_path / "xdg" / "qbias"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_root() == (Path.home() / ".cache" / "qbias").resolve()


def test_a_file_appears_only_when_it_is_whole(tmp_path):
    target = tmp_path / "deep" / "file.txt"
    with whole_file(target) as beside:
        beside.write_text("half")
        assert not target.exists()
    assert target.read_text() == "half"


def test_files_and_folders_can_be_read_by_whom_the_umask_lets(tmp_path):
    with whole_file(tmp_path / "file") as beside:
        beside.write_text("x")
    with whole_folder(tmp_path / "folder"):
        pass
    plain, folder = tmp_path / "plain", tmp_path / "plain folder"
    plain.write_text("x")
    folder.mkdir()
    assert (tmp_path / "file").stat().st_mode == plain.stat().st_mode
    assert (tmp_path / "folder").stat().st_mode == folder.stat().st_mode


def test_an_error_leaves_the_old_file_and_no_litter(tmp_path):
    target = tmp_path / "file.txt"
    target.write_text("old")
    with pytest.raises(FileNotFoundError), whole_file(target) as beside:
        beside.write_text((tmp_path / "absent").read_text())
    assert [path.name for path in tmp_path.iterdir()] == ["file.txt"]
    assert target.read_text() == "old"


def test_an_error_leaves_no_folder(tmp_path):
    with pytest.raises(FileNotFoundError), whole_folder(tmp_path / "folder") as beside:
        (beside / "file").write_text((tmp_path / "absent").read_text())
    assert list(tmp_path.iterdir()) == []


def test_of_two_writers_of_the_same_folder_both_end_well(tmp_path):
    target, started = tmp_path / "folder", threading.Barrier(2)

    def write() -> None:
        with whole_folder(target) as beside:
            (beside / "file").write_text("same content")
            started.wait()

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    assert (target / "file").read_text() == "same content"


def test_what_a_killed_process_half_wrote_goes_with_the_next_one(tmp_path, monkeypatch):
    monkeypatch.setenv("QBIAS_CACHE", str(tmp_path))
    code = (
        "import os, signal\nfrom pathlib import Path\nfrom qbias.store import whole_file, whole_folder\n"
        "with whole_file(Path('a/b.npy')), whole_folder(Path('c')) as folder:\n"
        "    (folder / 'x').touch()\n    os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=False).returncode == -9
    left = sorted([*tmp_path.glob(".c.*"), *(tmp_path / "a").iterdir()])
    assert len(left) == 2
    with whole_file(tmp_path / "a" / "d.npy") as ours:
        assert sorted(clear_half_written()) == left
        assert ours.exists(), "a living process is still at it"
    assert [file.name for file in (tmp_path / "a").iterdir()] == ["d.npy"]
