"""Room in the cache: sizes, the limit, who is thrown away first, and who never is."""

import errno
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from qbias.cache import NoRoom, bytes_named, cache_limit, entries, make_room, storing
from qbias.held import Claim, Use

PROJECT = Path(__file__).resolve().parent.parent


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("QBIAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("QBIAS_CACHE_LIMIT", raising=False)
    return tmp_path / "cache"


def entry(cache, name, size, used):
    folder = cache / name
    folder.mkdir(parents=True)
    (folder / "000000.npy").write_bytes(b"x" * size)
    os.utime(folder, (used, used))
    return folder


@pytest.mark.parametrize(
    ("text", "size"),
    [("20GB", 20 * 10**9), ("1.5 GiB", 3 << 29), ("500000", 500_000), ("1kb", 1000), (" 2 TB ", 2 * 10**12), ("none", None), ("", None)],
)
def test_sizes(text, size, monkeypatch):
    monkeypatch.setenv("QBIAS_CACHE_LIMIT", text)
    assert bytes_named(text) == cache_limit() == size


@pytest.mark.parametrize("text", ["much", "GB", "-1GB", "0", "0.1B", "1,5GB", "5 apples", "1e9", "nan", "²GB"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="is no size: give one such as 20GB"):
        bytes_named(text)


def test_without_a_limit_nothing_is_thrown_away(cache):
    old = entry(cache, "pixels/a", 1000, 1)
    make_room(10_000, what="pixels", ours=cache / "pixels" / "new")
    assert old.exists()


def test_the_least_recently_used_go_first_and_only_as_many_as_needed(cache, monkeypatch, caplog):
    caplog.set_level(logging.INFO, "qbias")
    folders = [entry(cache, name, 100, used) for name, used in (("pixels/b", 30), ("embeddings/images/c", 10), ("pixels/d", 20))]
    monkeypatch.setenv("QBIAS_CACHE_LIMIT", "300")
    make_room(150, what="pixels", ours=cache / "pixels" / "new")
    assert [folder.exists() for folder in folders] == [True, False, False]
    assert [record.getMessage() for record in caplog.records] == [
        f"cache_limit: threw away {name} (100 B)" for name in ("embeddings/images/c", "pixels/d")
    ]


def test_a_file_of_an_earlier_version_is_thrown_away_too(cache, monkeypatch):
    (cache / "pixels").mkdir(parents=True)
    (cache / "pixels" / "old.npy").write_bytes(b"x" * 100)
    monkeypatch.setenv("QBIAS_CACHE_LIMIT", "120")
    make_room(50, what="pixels", ours=cache / "pixels" / "new")
    assert entries() == []


def test_other_things_in_the_cache_are_neither_counted_nor_thrown_away(cache, monkeypatch):
    world = entry(cache, "world/imagenet", 1000, 1)
    monkeypatch.setenv("QBIAS_CACHE_LIMIT", "120")
    make_room(50, what="pixels", ours=cache / "pixels" / "new")
    assert world.exists()


def test_what_is_in_use_stays_and_the_message_says_what_limit_would_do(cache, monkeypatch):
    used, free = entry(cache, "pixels/used", 100, 1), entry(cache, "pixels/free", 100, 2)
    monkeypatch.setenv("QBIAS_CACHE_LIMIT", "150")
    use = Use(used)
    with pytest.raises(
        NoRoom, match="pixels of x need 100 B; what is in use takes 100 B and cache_limit is 150 B: raise it to at least 200 B"
    ):
        make_room(100, what="pixels of x", ours=cache / "pixels" / "new")
    assert used.exists()
    assert not free.exists()
    use.release()
    make_room(100, what="pixels of x", ours=cache / "pixels" / "new")
    assert not used.exists()


def test_using_an_entry_makes_it_the_most_recent(cache, monkeypatch):
    first, second = entry(cache, "pixels/a", 100, 1), entry(cache, "pixels/b", 100, 2)
    Use(first).release()
    monkeypatch.setenv("QBIAS_CACHE_LIMIT", "200")
    make_room(50, what="pixels", ours=cache / "pixels" / "new")
    assert first.exists()
    assert not second.exists()


HOLDS = """
import sys
from pathlib import Path
from qbias.held import Claim, Use
held = Use(Path(sys.argv[1])), Claim(Path(sys.argv[1]) / "claim", wait=False)
print("held", flush=True)
sys.stdin.read()
"""


def holder(folder):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=PROJECT
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_what_another_process_uses_stays_until_it_is_killed(cache, monkeypatch):
    folder = entry(cache, "pixels/a", 100, 1)
    monkeypatch.setenv("QBIAS_CACHE_LIMIT", "100")
    with holder(folder) as process:
        with pytest.raises(NoRoom, match="in use"):
            make_room(50, what="pixels", ours=cache / "pixels" / "new")
        with pytest.raises(BlockingIOError):
            Claim(folder / "claim", wait=False)
        process.kill()
        process.wait()
    Claim(folder / "claim", wait=False).release()
    assert not (folder / "claim").exists()
    make_room(50, what="pixels", ours=cache / "pixels" / "new")
    assert not folder.exists()


def test_an_entry_that_was_thrown_away_is_made_anew(cache):
    folder = cache / "pixels" / "a"
    Use(folder).release()
    assert folder.is_dir()


def test_a_claim_is_exclusive_between_threads_too_and_leaves_no_file(cache):
    cache.mkdir()
    claim = Claim(cache / "claim", wait=False)
    with pytest.raises(BlockingIOError):
        Claim(cache / "claim", wait=False)
    claim.release()
    claim.release()
    assert list(cache.iterdir()) == []


def test_too_little_disk_is_told_before_anything_is_written(cache):
    with pytest.raises(NoRoom, match=r"pixels of x need 1,000,000.0 TB in .*cache, where .* are free: .*QBIAS_CACHE"):
        make_room(10**18, what="pixels of x", ours=cache / "pixels" / "new")


@pytest.mark.parametrize(("number", "says"), [(errno.ENOSPC, "the disk was full"), (errno.EROFS, "Read-only"), (errno.EACCES, "denied")])
def test_a_disk_that_cannot_be_written_to_is_told(cache, number, says):
    with pytest.raises(NoRoom, match=f"(?s){says}.*QBIAS_CACHE"), storing("pixels"):
        raise OSError(number, os.strerror(number))


def test_other_errors_are_not_hidden(cache):
    cache.mkdir()
    with pytest.raises(IsADirectoryError), storing("pixels"):
        cache.write_text("x")
