"""An anchor file grows with the chain and takes nothing back; whatever is in it that should not be is named with its line."""

import json
from multiprocessing import get_context
from pathlib import Path

import pytest

from registry.anchor import Anchor, append, of_model, read

A, B, C = "a" * 64, "b" * 64, "c" * 64


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "kept" / "anchor.jsonl"


def test_heads_are_kept_in_order_by_model(file: Path) -> None:
    append(file, "toy", 1, A)
    append(file, 'other "model"\nü', 4, B)
    append(file, "toy", 3, C)
    assert read(file) == [Anchor("toy", 1, A), Anchor('other "model"\nü', 4, B), Anchor("toy", 3, C)]
    assert of_model(read(file), "toy") == [Anchor("toy", 1, A), Anchor("toy", 3, C)]


def test_the_newest_head_again_changes_nothing(file: Path) -> None:
    append(file, "toy", 1, A)
    before = file.read_bytes()
    append(file, "toy", 1, A)
    assert file.read_bytes() == before


@pytest.mark.parametrize(("length", "digest"), [(3, A), (2, B), (1, C), (1, A)])
def test_what_contradicts_is_refused_and_not_written(file: Path, length: int, digest: str) -> None:
    append(file, "toy", 3, C)
    before = file.read_bytes()
    with pytest.raises(ValueError, match="'toy' had 3 records with head cccccccccccc"):
        append(file, "toy", length, digest)
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("model", "length", "digest"), [("", 1, A), ("toy", 0, A), ("toy", -1, A), ("toy", True, A), ("toy", 1, "abc"), ("toy", 1, "A" * 64)]
)
def test_what_is_no_head_is_refused(file: Path, model: str, length: int, digest: str) -> None:
    with pytest.raises(ValueError, match="the new head is not a head"):
        append(file, model, length, digest)
    assert not file.exists()


def line(**changes: object) -> str:
    return json.dumps({"model": "toy", "length": 1, "digest": A} | changes) + "\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{\n", "line 1 is not JSON"),
        (line() + "\n", "line 2 is not JSON"),
        (line(length="1"), "line 1 is not a head"),
        (line(more=1), "line 1 is not a head"),
        ("[]\n", "line 1 is not a head"),
        ("1\n", "line 1 is not a head"),
        (line() + line(digest=B), "line 2: 'toy' had 1 records"),
        (line(length=2) + line(length=1), "line 2: 'toy' had 2 records"),
        (line()[:-1], "its last line is cut short"),
        ("[" * 100_000 + "\n", "line 1 is not JSON"),
    ],
)
def test_a_damaged_file_is_named_with_its_line(file: Path, text: str, said: str) -> None:
    file.parent.mkdir()
    file.write_text(text)
    with pytest.raises(ValueError, match=said):
        read(file)
    with pytest.raises(ValueError, match=said):
        append(file, "toy", 9, C)
    assert file.read_text() == text


def test_bytes_that_are_no_text(file: Path) -> None:
    file.parent.mkdir()
    file.write_bytes(b"\xff\n")
    with pytest.raises(ValueError, match="not text in UTF-8"):
        read(file)


def test_a_missing_file_is_no_empty_one(file: Path) -> None:
    with pytest.raises(ValueError, match="no such file"):
        read(file)


def write_many(file: Path, model: str) -> None:
    for length in range(1, 41):
        append(file, model, length, A)


def test_processes_that_add_at_once_lose_nothing(file: Path) -> None:
    # Started afresh: this process has threads by now, which a fork would break.
    context = get_context("spawn")
    writers = [context.Process(target=write_many, args=(file, model)) for model in ("one", "two")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert all([anchor.length for anchor in of_model(read(file), model)] == list(range(1, 41)) for model in ("one", "two"))
