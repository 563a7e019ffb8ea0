"""Images decoded once and kept; which cannot be decoded, told the same way however they are looked at, and left out on both sides."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageFile

import qbias.decode
import qbias.pixel_store
import qbias.pixels
from qbias.benchmarks.content import finished, unfinished
from qbias.pixels import Unreadable, pixels, unreadable, usable
from qbias.preprocess import crop
from qbias.records import Dataset

BAD = {2: "empty", 3: "text", 7: "cut short"}
"""Rows of `damaged` and what was done to them."""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QBIAS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def drawn(root: Path, images: int = 10, *, damage: Callable[[Path], None] = lambda root: None) -> Dataset:
    """A retrieval set of noisy images with two captions each; `damage` is done to the files before their digest is made."""
    root.mkdir(parents=True)
    rng = np.random.default_rng(0)
    names = [f"{number}.jpg" for number in range(images)]
    for name in names:
        Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)).save(root / name)
    damage(root)
    texts = {"text": [f"caption {number}" for number in range(2 * images)], "image": [number // 2 for number in range(2 * images)]}
    rows = {"id": [f"id {name}" for name in names], "path": names}
    return finished(unfinished("drawn", "retrieval", root, rows, texts, {"ks": [1]}), limit=None)


def spoil(root: Path) -> None:
    (root / "2.jpg").write_bytes(b"")
    (root / "3.jpg").write_bytes(b"no image")
    (root / "7.jpg").write_bytes((root / "7.jpg").read_bytes()[:-40])


@pytest.fixture
def damaged(cache: Path, tmp_path: Path) -> Dataset:
    return drawn(tmp_path / "images", damage=spoil)


def kept(cache: Path) -> list[Path]:
    return [path for path in cache.rglob("*") if path.is_file()]


def test_every_bad_image_is_named_with_row_id_path_and_reason(damaged: Dataset) -> None:
    bad = unreadable(damaged)
    assert [(one.row, one.id, one.path) for one in bad] == [(row, f"id {row}.jpg", f"{row}.jpg") for row in BAD]
    for one, reason in zip(bad, ("it is empty", "no format", "truncated"), strict=True):
        assert reason in one.reason
        assert str(damaged.root) not in one.reason


@pytest.mark.parametrize("threads", [1, 3, 16])
def test_which_images_are_bad_does_not_depend_on_threads_or_resolution(
    damaged: Dataset, threads: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    expected = unreadable(damaged)
    assert {one.row for one in expected} == set(BAD)
    monkeypatch.setenv("QBIAS_CACHE", str(tmp_path / "another cache"))
    monkeypatch.setattr(qbias.decode, "THREADS", threads)
    seen = set()
    assert unreadable(damaged, advance=lambda count: seen.update(thread.name for thread in threading.enumerate())) == expected
    assert 1 <= sum(name.startswith("ThreadPoolExecutor") for name in seen) <= threads
    for resolution in (4, 50):
        with pytest.raises(ValueError, match="3 problem") as told:
            pixels(damaged, resolution)
        assert all(f"image '{row}.jpg' (row {row})" in str(told.value) for row in BAD)


def test_the_answer_is_found_again_and_made_again_where_it_was_damaged(damaged: Dataset, cache: Path) -> None:
    expected, decoded = unreadable(damaged), []
    assert unreadable(damaged, advance=decoded.append) == expected
    assert decoded == []
    [file] = kept(cache)
    content = file.read_bytes()
    truth = json.loads(content)
    other = truth["rows"][1:]
    for harm in (b"", content[:-9], b"[1]", b"{}", b"\xff", b"[" * 100_000, json.dumps(truth | {"rows": other}).encode(), b"null"):
        file.write_bytes(harm)
        decoded.clear()
        assert unreadable(damaged, advance=decoded.append) == expected
        assert sum(decoded) == 10
        assert file.read_bytes() == content


def test_the_answer_belongs_to_the_content_and_the_pillow_that_read_it(
    damaged: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unreadable(damaged)
    moved = damaged.root.rename(tmp_path / "elsewhere")
    decoded: list[int] = []
    assert [one.row for one in unreadable(replace(damaged, root=moved), advance=decoded.append)] == list(BAD)
    assert decoded == []
    whole = drawn(tmp_path / "whole")
    assert unreadable(whole, advance=decoded.append) == ()
    assert sum(decoded) == 10
    monkeypatch.setattr(qbias.pixels, "library_version", lambda name: "0.0")
    assert [one.row for one in unreadable(replace(damaged, root=moved), advance=decoded.append)] == list(BAD)
    assert sum(decoded) == 20


def test_what_could_not_be_opened_is_asked_again(cache: Path, tmp_path: Path) -> None:
    """A file that went away since it was listed, a folder and an endless link in its place: no fault of the content."""
    dataset = drawn(tmp_path / "images")
    content = (dataset.root / "4.jpg").read_bytes()
    for row in (4, 5, 6):
        (dataset.root / f"{row}.jpg").unlink()
    (dataset.root / "5.jpg").mkdir()
    (dataset.root / "6.jpg").symlink_to(dataset.root / "6.jpg")
    reasons = ("No such file or directory", "Is a directory", "Too many levels of symbolic links")
    expected = tuple(Unreadable(row, f"id {row}.jpg", f"{row}.jpg", reason) for row, reason in zip((4, 5, 6), reasons, strict=True))
    assert unreadable(dataset) == expected
    assert kept(cache) == []
    (dataset.root / "4.jpg").write_bytes(content)
    assert [one.row for one in unreadable(dataset)] == [5, 6]


def test_a_dataset_without_bad_images_is_used_as_it_is(cache: Path, tmp_path: Path) -> None:
    dataset = drawn(tmp_path / "images")
    for choice in ("fail", "skip"):
        found, bad = usable(dataset, on_bad_image=choice)
        assert found is dataset
        assert bad == ()


def test_fail_lists_every_bad_image_by_row_with_reason_and_remedy(damaged: Dataset) -> None:
    with pytest.raises(ValueError, match="3 problem") as told:
        usable(damaged, on_bad_image="fail")
    lines = str(told.value).splitlines()
    assert lines[0] == f"{damaged.root}: 3 problem(s)"
    assert [line.split(":")[0].strip() for line in lines[1:4]] == [f"image '{row}.jpg' (row {row})" for row in BAD]
    assert "it is empty" in lines[1]
    assert all(word in lines[-1] for word in ("replace", "take its row out", "on_bad_image=skip"))


def test_at_most_twenty_are_listed_and_the_others_counted(cache: Path, tmp_path: Path) -> None:
    def empty_all(root: Path) -> None:
        for file in root.iterdir():
            file.write_bytes(b"")

    dataset = drawn(tmp_path / "images", 23, damage=empty_all)
    with pytest.raises(ValueError, match="and 3 more") as told:
        usable(dataset, on_bad_image="fail")
    listed = [line for line in str(told.value).splitlines() if line.startswith("  image ")]
    assert [line.split("'")[1] for line in listed] == [f"{row}.jpg" for row in range(20)]
    with pytest.raises(ValueError, match="none of the 23 images"):
        usable(dataset, on_bad_image="skip")


def test_skip_leaves_out_the_bad_images_and_lists_them(damaged: Dataset, tmp_path: Path) -> None:
    rest, bad = usable(damaged, on_bad_image="skip")
    assert bad == unreadable(damaged)
    assert rest.images["path"].tolist() == [f"{row}.jpg" for row in range(10) if row not in BAD]
    assert (len(rest.texts), rest.facts["skipped_images"]) == (14, 3)
    assert rest.digest != damaged.digest
    pixel_NRR3 = pixels(rest, 8)
    for row, path in enumerate(rest.images["path"]):
        assert np.array_equal(pixel_NRR3[row], crop(rest.root / path, 8))


def test_both_sides_of_a_pair_use_the_same_images(damaged: Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two processes with caches and threads of their own, in any order: equal digests, which pairing compares."""
    baseline, _ = usable(damaged, on_bad_image="skip")
    monkeypatch.setenv("QBIAS_CACHE", str(tmp_path / "the candidate's cache"))
    monkeypatch.setattr(qbias.decode, "THREADS", 1)
    candidate, _ = usable(damaged, on_bad_image="skip")
    assert candidate.images.equals(baseline.images)
    assert (candidate.digest, candidate.prompts_sha256) == (baseline.digest, baseline.prompts_sha256)


def test_what_is_left_need_not_be_tried_again(damaged: Dataset) -> None:
    rest, _ = usable(damaged, on_bad_image="skip")
    decoded: list[int] = []
    assert usable(rest, on_bad_image="fail", advance=decoded.append) == (rest, ())
    assert decoded == []


@pytest.mark.parametrize("choice", ["Skip", "", None, 3])
def test_other_choices_are_refused(damaged: Dataset, choice: Any) -> None:
    with pytest.raises(ValueError, match="choose one of fail, skip"):
        usable(damaged, on_bad_image=choice)


def test_truncated_images_are_not_filled_up_on_another_librarys_word(
    damaged: Dataset, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    for look in (lambda: unreadable(damaged), lambda: pixels(damaged, 8)):
        with pytest.raises(ValueError, match="LOAD_TRUNCATED_IMAGES is set"):
            look()
    assert kept(cache) == []


def test_images_are_decoded_once(cache: Path, tmp_path: Path) -> None:
    dataset = drawn(tmp_path / "images")
    done: list[int] = []
    first = np.array(pixels(dataset, 8, advance=done.append))
    assert sum(done) == 10
    for file in dataset.root.iterdir():
        file.unlink()
    assert np.array_equal(pixels(dataset, 8, advance=done.append), first)
    assert sum(done) == 10


def test_pixels_of_bad_images_are_refused_and_nothing_is_kept(damaged: Dataset, cache: Path) -> None:
    with pytest.raises(ValueError, match="on_bad_image=skip") as told:
        pixels(damaged, 8)
    assert all(f"image '{row}.jpg' (row {row}): cannot be decoded" in str(told.value) for row in BAD)
    assert kept(cache) == []


def test_decoding_stops_where_it_is_interrupted(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control-C while a progress bar is drawn: what was not begun is not begun any more, and nothing is kept."""
    dataset, begun, never = drawn(tmp_path / "images", 100), [], threading.Event()

    def slow(image: Path, resolution: int) -> object:
        begun.append(image)
        never.wait(0.02)
        return crop(image, resolution)

    def interrupt(count: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(qbias.decode, "THREADS", 1)
    monkeypatch.setattr(qbias.pixel_store, "crop", slow)
    with pytest.raises(KeyboardInterrupt):
        pixels(dataset, 8, advance=interrupt)
    assert len(begun) < 100
    assert kept(cache) == []


MEMORY = """
import sys
from pathlib import Path
import pandas as pd
import qbias.decode, qbias.pixels, qbias.preprocess
from qbias.records import Dataset

def most_used():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])

folder, images = Path(sys.argv[1]), [f"{number}.png" for number in range(12)]
frame = pd.DataFrame({"id": images, "path": images})
dataset = Dataset("x", "skew", folder, frame, pd.DataFrame({"text": []}), {}, "digest", "prompts")
qbias.decode.THREADS, qbias.decode.PIECE = 12, 1
qbias.preprocess.ROOM = qbias.preprocess.Room(4000 * 3501)
before = most_used()
assert qbias.pixels.unreadable(dataset) == ()
print(most_used() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the process's largest size is read from /proc")
def test_memory_is_bounded_by_the_room_and_not_by_the_number_of_threads(cache: Path, tmp_path: Path) -> None:
    """Twelve images, twelve threads, room for one: the process grows by about one image (4 bytes a pixel)."""
    Image.new("RGB", (4000, 3500)).save(tmp_path / "0.png", compress_level=1)
    for number in range(1, 12):
        (tmp_path / f"{number}.png").hardlink_to(tmp_path / "0.png")
    code = [sys.executable, "-c", MEMORY, str(tmp_path)]
    shown = subprocess.run(code, capture_output=True, text=True, check=True, cwd=Path(__file__).parent.parent)
    assert int(shown.stdout) * 1024 < 2.5 * 4 * 4000 * 3500


def test_the_list_can_be_written_as_a_table(damaged: Dataset) -> None:
    assert pd.DataFrame(unreadable(damaged)).columns.tolist() == ["row", "id", "path", "reason"]
