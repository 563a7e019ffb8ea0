"""Pixels on disk: equal to the reference, made once by any number of processes, and mended where they were damaged."""

import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import qbias.pixel_store
from qbias.benchmarks.content import canonical_order
from qbias.cache import NoRoom
from qbias.pixel_store import StoredPixels
from qbias.pixels import pixels
from qbias.preprocess import crop
from tests.on_disk import needs_small_disk, on_small_disk
from tests.test_pixels import drawn, spoil

PROJECT = Path(__file__).resolve().parent.parent
ROW = 8 * 8 * 3
IMAGES = 23


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of its own, and shards of four images at 8 x 8."""
    monkeypatch.setenv("QBIAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(qbias.pixel_store, "SHARD", 4 * ROW)
    qbias.pixel_store._OPEN.clear()
    yield tmp_path / "cache"
    qbias.pixel_store._OPEN.clear()


@pytest.fixture
def dataset(tmp_path):
    return drawn(tmp_path / "images", IMAGES)


def reference(dataset):
    return np.stack([crop(dataset.root / path, 8) for path in dataset.images["path"]])


def shards(cache):
    return sorted(cache.glob("pixels/*/*.npy"))


def counted(monkeypatch):
    """Files that are decoded from now on."""
    seen = []

    def counting(image, resolution):
        seen.append(image)
        return crop(image, resolution)

    monkeypatch.setattr(qbias.pixel_store, "crop", counting)
    return seen


def test_rows_are_those_of_the_reference_by_any_index(dataset, cache):
    expected, stored = reference(dataset), pixels(dataset, 8)
    assert len(shards(cache)) == 6
    assert np.array_equal(stored, expected)
    batch = canonical_order(dataset.images["id"])[5:14]
    for index in (slice(3, 9), slice(None, None, -2), [5, 0, 5], np.array([22]), batch, batch[::-1], 7, -1, np.array([], dtype=int)):
        assert np.array_equal(stored[index], expected[index])
    assert (len(stored), stored.shape, stored.dtype) == (IMAGES, (IMAGES, 8, 8, 3), np.uint8)


def test_on_disk_they_lie_in_canonical_order(dataset, cache):
    pixels(dataset, 8)
    together = np.concatenate([np.load(file) for file in shards(cache)])
    assert np.array_equal(together, reference(dataset)[canonical_order(dataset.images["id"])])


@pytest.mark.parametrize("harm", ["cut short", "flipped", "emptied", "gone"])
def test_a_damaged_shard_is_made_again_and_only_that_and_the_log_says_so(dataset, cache, harm, monkeypatch, caplog):
    expected = np.array(pixels(dataset, 8))
    qbias.pixel_store._OPEN.clear()
    file = shards(cache)[2]
    content = file.read_bytes()
    if harm == "gone":
        file.unlink()
    else:
        flipped = content[:300] + bytes([content[300] ^ 16]) + content[301:]
        file.write_bytes({"cut short": content[:-5], "flipped": flipped, "emptied": b""}[harm])
    decoded = counted(monkeypatch)
    assert np.array_equal(pixels(dataset, 8), expected)
    assert len(decoded) == 4
    assert file.read_bytes() == content
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [("damaged" in line, "shard 2 of 6" in line, str(file) in line) for line in said] == [(True,) * 3] * (harm != "gone")


def test_damage_while_the_process_runs_is_noticed_too(dataset, cache, monkeypatch):
    stored = pixels(dataset, 8)
    expected = np.array(stored)
    file = shards(cache)[1]
    harmed = bytearray(file.read_bytes())
    harmed[-40] ^= 1
    file.unlink()
    file.write_bytes(harmed)
    assert np.array_equal(stored, expected)


def test_a_damaged_shard_whose_image_is_gone_names_the_image(dataset, cache):
    pixels(dataset, 8)
    qbias.pixel_store._OPEN.clear()
    shards(cache)[0].unlink()
    for file in dataset.root.iterdir():
        file.unlink()
    with pytest.raises(ValueError, match=r"image '\d+.jpg' .*No such file"):
        pixels(dataset, 8)


def test_good_shards_of_a_dataset_with_bad_images_are_kept(tmp_path, cache, monkeypatch):
    damaged = drawn(tmp_path / "damaged", IMAGES, damage=spoil)
    for _ in range(2):
        with pytest.raises(ValueError, match="3 problem"):
            pixels(damaged, 8)
    decoded = counted(monkeypatch)
    with pytest.raises(ValueError, match="3 problem"):
        pixels(damaged, 8)
    assert len(decoded) == IMAGES - sum(len(np.load(file)) for file in shards(cache)) < IMAGES
    assert not list(cache.glob("pixels/*/.*"))


def test_other_labels_need_no_decoding_and_other_images_do(dataset, monkeypatch):
    pixels(dataset, 8)
    decoded = counted(monkeypatch)
    pixels(replace(dataset, digest="other labels", images=dataset.images.assign(mood="calm")), 8)
    assert decoded == []
    pixels(replace(dataset, images_digest="other"), 8)
    assert len(decoded) == IMAGES


def test_the_order_of_the_rows_does_not_matter(dataset, monkeypatch):
    pixels(dataset, 8)
    backwards = replace(dataset, images=dataset.images.iloc[::-1].reset_index(drop=True))
    decoded = counted(monkeypatch)
    assert np.array_equal(pixels(backwards, 8), reference(dataset)[::-1])
    assert decoded == []


def test_ids_of_another_order_do_not_mix_up_rows(dataset):
    """Who renames images without a new digest gets pixels of its own, not somebody else's rows."""
    pixels(dataset, 8)
    renamed = replace(dataset, images=dataset.images.assign(id=[f"x{name}" for name in dataset.images["id"]]))
    assert np.array_equal(pixels(renamed, 8), reference(dataset))


def test_the_size_is_said_before_anything_is_decoded(dataset, caplog):
    caplog.set_level(logging.INFO, "qbias")
    StoredPixels(dataset, 8).complete(lambda count: None)
    [line] = [record.getMessage() for record in caplog.records]
    assert f"the pixels of drawn at 8 x 8 ({IMAGES} images) take 24.6 KB in" in line
    assert "free" in line


def test_a_disk_that_is_too_small_is_refused_before_anything_is_decoded(dataset, cache, monkeypatch):
    decoded = counted(monkeypatch)
    monkeypatch.setattr("qbias.cache.shutil.disk_usage", lambda path: type("Usage", (), {"free": 100}))
    with pytest.raises(NoRoom, match=r"the pixels of drawn at 8 x 8 .* need 24.6 KB in .*, where 100 B are free: .*QBIAS_CACHE"):
        pixels(dataset, 8)
    assert decoded == []


def test_a_limit_that_is_too_low_is_refused(dataset, monkeypatch):
    monkeypatch.setenv("QBIAS_CACHE_LIMIT", "1KB")
    with pytest.raises(NoRoom, match="raise it to at least"):
        pixels(dataset, 8)


def test_pixels_of_another_dataset_make_room_but_not_those_of_this_study(dataset, tmp_path, cache, monkeypatch):
    old = drawn(tmp_path / "old", IMAGES + 1)
    pixels(old, 8)
    qbias.pixel_store._OPEN.clear()
    pixels(dataset, 8)
    monkeypatch.setenv("QBIAS_CACHE_LIMIT", "31KB")
    more = drawn(tmp_path / "more", IMAGES - 1)
    pixels(more, 8)
    assert len(list(cache.glob("pixels/*"))) == 2
    decoded = counted(monkeypatch)
    pixels(dataset, 8)
    pixels(more, 8)
    assert decoded == []
    with pytest.raises(NoRoom, match="in use"):
        pixels(old, 8)


WORKER = """
import sys, time
from pathlib import Path
import qbias.pixel_store, qbias.decode
from qbias.pixels import pixels
from tests.test_pixels import drawn
from tests.test_pixel_store import ROW, IMAGES, again

qbias.pixel_store.SHARD = 4 * ROW
slow, crop, seen = float(sys.argv[2]), qbias.pixel_store.crop, []

def counting(image, resolution):
    seen.append(image)
    time.sleep(slow)
    return crop(image, resolution)

qbias.pixel_store.crop = counting
dataset = again(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
import hashlib
print(hashlib.sha256(pixels(dataset, 8)[:].tobytes()).hexdigest(), len(seen))
"""


def again(root):
    """The dataset in a folder that `drawn` made."""
    from qbias.benchmarks.content import finished, unfinished

    names = [f"{number}.jpg" for number in range(IMAGES)]
    rows = {"id": [f"id {name}" for name in names], "path": names}
    return finished(unfinished("drawn", "skew", root, rows, {"text": ["x"]}, {}), limit=None)


def worker(root, slow):
    command = [sys.executable, "-c", WORKER, str(root), str(slow)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=PROJECT)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("count", [2, 8])
def test_several_processes_share_the_work(dataset, cache, count):
    workers = [worker(dataset.root, 0.01) for _ in range(count)]
    for process in workers:
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=60)[0].split() for process in workers]
    assert len({answer[0] for answer in answers}) == 1
    assert sum(int(answer[1]) for answer in answers) == IMAGES, "no image is decoded twice"
    assert not list(cache.glob("pixels/*/.*"))


def test_after_a_kill_finished_shards_are_not_decoded_again(dataset, cache, monkeypatch):
    with worker(dataset.root, 0.05) as process:
        process.stdin.write("go\n")
        process.stdin.flush()
        deadline = time.monotonic() + 60
        while len(shards(cache)) < 2:
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    finished = len(shards(cache))
    (cache / "pixels").joinpath(shards(cache)[0].parent.name, ".000005.npy.left").write_bytes(b"half")
    decoded = counted(monkeypatch)
    assert np.array_equal(pixels(dataset, 8), reference(dataset))
    assert len(decoded) == IMAGES - 4 * finished
    assert len(shards(cache)) == 6
    assert not list(cache.glob("pixels/*/.*")), "what the killed process left is cleaned"


SMALL = """
import os, subprocess, sys
from pathlib import Path
import qbias.pixel_store
from qbias.pixels import pixels
from tests.test_pixel_store import ROW, again

qbias.pixel_store.SHARD = 4 * ROW
disk, dataset = Path(sys.argv[2]), again(Path(sys.argv[1]))
if sys.argv[3] == "read-only":
    (disk / "cache").mkdir()
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
if sys.argv[3] == "fills":
    qbias.cache.make_room = qbias.sharded.make_room = lambda size, **rest: None
os.environ["QBIAS_CACHE"] = str(disk / "cache")
try:
    pixels(dataset, 8)
except ValueError as error:
    print("refused:", error)
print(len(list(disk.glob("cache/pixels/*/*"))), "files")
"""


@needs_small_disk
@pytest.mark.parametrize(
    ("disk", "how", "says"),
    [
        ("16k", "too small", "need 24.6 KB"),
        ("16k", "fills", "the disk was full before the pixels of drawn"),
        ("1m", "read-only", "Read-only"),
    ],
)
def test_a_real_disk_that_is_too_small_or_read_only(dataset, tmp_path, disk, how, says):
    (tmp_path / "disk").mkdir()
    done = on_small_disk(disk, tmp_path / "disk", SMALL, str(dataset.root), str(tmp_path / "disk"), how)
    assert done.returncode == 0, done.stderr
    refused, files = done.stdout.splitlines()[0], done.stdout.splitlines()[-1]
    assert refused.startswith("refused: the ")
    assert says in refused
    assert "QBIAS_CACHE" in refused
    assert "." not in files
