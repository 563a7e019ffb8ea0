"""Embeddings on disk: never computed twice, by any number of processes, mended where they were damaged, and done without where need be."""

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from qbias.embedding_store import BATCHES, StoredRows
from tests.on_disk import needs_small_disk, on_small_disk

PROJECT = Path(__file__).resolve().parent.parent
COUNT, BATCH, WIDTH = 37, 1, 3
ORDER_N = np.random.default_rng(0).permutation(COUNT)
EXPECTED_ND = np.stack([np.arange(COUNT), np.arange(COUNT) ** 2, np.ones(COUNT)], axis=1).astype(np.float32)


class Model:
    """Computes EXPECTED_ND in batches, and remembers which items it was asked for."""

    def __init__(self, slow=0.0):
        self.slow, self.items = slow, []

    def __call__(self, pieces):
        for piece in pieces:
            time.sleep(self.slow)
            self.items += ORDER_N[piece].tolist()
            yield EXPECTED_ND[ORDER_N[piece]]


def stored(facts="model"):
    return StoredRows("images", facts, ORDER_N, width=WIDTH, batch_size=BATCH, what="the embeddings")


def completed(model, facts="model", advance=lambda count: None):
    return stored(facts).complete(model, advance).all()


def shards(cache):
    return sorted(cache.glob("embeddings/images/*/*.npy"))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("QBIAS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_each_is_computed_once_per_content(cache):
    model, done = Model(), []
    for facts in ("a", "a", {"b": 1}):
        assert np.array_equal(completed(model, facts, done.append), EXPECTED_ND)
    assert sorted(model.items) == sorted(2 * list(range(COUNT)))
    assert sum(done) == 2 * COUNT
    assert stored("a").batches_missing == 0
    assert stored("c").batches_missing == COUNT


def test_chunks_are_shards_with_the_items_they_hold(cache):
    seen = list(stored().complete(Model(), lambda count: None).chunks())
    assert [len(rows) for rows, _ in seen] == [BATCHES] * 4 + [5]
    assert np.array_equal(np.concatenate([rows for rows, _ in seen]), ORDER_N)
    assert all(np.array_equal(found, EXPECTED_ND[rows]) for rows, found in seen)


@pytest.mark.parametrize("harm", ["cut short", "flipped", "gone"])
def test_a_damaged_shard_is_computed_again_and_the_log_says_so(cache, harm, caplog):
    completed(Model())
    file = shards(cache)[3]
    content = file.read_bytes()
    if harm == "gone":
        file.unlink()
    else:
        file.write_bytes({"cut short": content[:-9], "flipped": content[:-50] + bytes([content[-50] ^ 1]) + content[-49:]}[harm])
    model = Model()
    assert np.array_equal(completed(model), EXPECTED_ND)
    assert model.items == ORDER_N[3 * BATCHES : 4 * BATCHES].tolist()
    assert file.read_bytes() == content
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [line.startswith("the embeddings: shard 3 of 5 was damaged") for line in said] == [True] * (harm != "gone")


def test_what_an_error_interrupts_keeps_its_finished_shards(cache):
    def breaks(pieces):
        for number, found in enumerate(Model()(pieces)):
            if number == 2 * BATCHES + 3:
                raise RuntimeError("broken")
            yield found

    with pytest.raises(RuntimeError, match="broken"):
        completed(breaks)
    assert len(shards(cache)) == 2
    assert not list(cache.glob("embeddings/images/*/.*"))
    model = Model()
    assert np.array_equal(completed(model), EXPECTED_ND)
    assert len(model.items) == COUNT - 2 * BATCHES


WORKER = """
import hashlib, sys
from tests.test_embedding_store import Model, completed

model = Model(float(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
print(hashlib.sha256(completed(model).tobytes()).hexdigest(), len(model.items))
"""


def worker(slow):
    command = [sys.executable, "-c", WORKER, str(slow)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=PROJECT)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def go(process):
    process.stdin.write("go\n")
    process.stdin.flush()


@pytest.mark.parametrize("count", [2, 8])
def test_several_processes_share_the_work(cache, count):
    workers = [worker(0.02) for _ in range(count)]
    for process in workers:
        go(process)
    answers = [process.communicate(timeout=60)[0].split() for process in workers]
    assert len({answer[0] for answer in answers}) == 1
    assert sum(int(answer[1]) for answer in answers) == COUNT, "no batch is computed twice"
    assert not list(cache.glob("embeddings/images/*/.*"))


def test_after_a_kill_finished_shards_are_not_computed_again(cache):
    with worker(0.02) as process:
        go(process)
        deadline = time.monotonic() + 60
        while len(shards(cache)) < 2:
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    finished, model = len(shards(cache)), Model()
    assert np.array_equal(completed(model), EXPECTED_ND)
    assert len(model.items) == COUNT - finished * BATCHES
    assert not list(cache.glob("embeddings/images/*/.*")), "what the killed process left is cleaned"


def test_who_waits_for_a_process_that_is_killed_does_its_work(cache):
    """The killed one holds a claim while another has done all the rest and waits for it."""
    with worker(1.0) as slow, worker(0.0) as quick:
        go(slow)
        deadline = time.monotonic() + 60
        while not list(cache.glob("embeddings/images/*/.*.claim")):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        go(quick)
        while len(shards(cache)) < 4:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        slow.kill()
        slow.wait()
        assert int(quick.communicate(timeout=60)[0].split()[1]) == COUNT
    assert len(shards(cache)) == 5


SMALL = """
import os, subprocess, sys
from pathlib import Path
import numpy as np
from tests.test_embedding_store import EXPECTED_ND, Model, completed
import qbias.sharded

disk, how = Path(sys.argv[1]), sys.argv[2]
os.environ["QBIAS_CACHE"] = str(disk / "cache")
if how == "fills":
    qbias.sharded.make_room = lambda size, **rest: None
if how == "read-only":
    (disk / "cache").mkdir()
if how == "read-only, finished":
    completed(Model())
if how.startswith("read-only"):
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
model = Model()
assert np.array_equal(completed(model), EXPECTED_ND)
print(len(model.items))
"""


@needs_small_disk
@pytest.mark.parametrize(
    ("disk", "how", "computed", "says"),
    [
        ("16k", "too small", COUNT, "need 20.5 KB"),
        ("12k", "fills", COUNT, "the disk was full"),
        ("1m", "read-only", COUNT, "Read-only file system"),
        ("1m", "read-only, finished", 0, ""),
    ],
)
def test_a_real_disk_that_is_too_small_or_read_only_is_done_without(tmp_path, disk, how, computed, says):
    (tmp_path / "disk").mkdir()
    done = on_small_disk(disk, tmp_path / "disk", SMALL, str(tmp_path / "disk"), how)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == computed
    said = done.stderr.splitlines()
    assert len(said) == (1 if says else 0)
    assert not said or (says in said[0] and said[0].endswith("they are computed and not kept"))
