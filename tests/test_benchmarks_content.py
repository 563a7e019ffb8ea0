"""Image files inside the dataset's folder, the canonical order, limits and digests."""

import hashlib
from pathlib import Path

import pytest

from qbias.benchmarks.content import canonical_order, check_images, class_texts, finished, first_difference, unfinished
from qbias.benchmarks.problems import Problems
from qbias.records import Dataset
from tests.trees import image


def complaints(root: Path, *paths: str) -> str:
    problems = Problems(root)
    check_images(root, paths, [f"line {number}" for number in range(len(paths))], problems)
    try:
        problems.refuse()
    except ValueError as error:
        return str(error)
    return ""


def retrieval(root: Path, images: int, *, notes: dict[str, list[str]] | None = None) -> Dataset:
    names = [f"{number}.jpg" for number in range(images)]
    for name in names:
        (root / name).write_bytes(name.encode())
    texts = {"text": [f"caption {number}" for number in range(2 * images)], "image": [number // 2 for number in range(2 * images)]}
    return unfinished("x", "retrieval", root, {"id": names, "path": names, **(notes or {})}, texts, {"ks": [1]})


def test_images_inside_are_accepted(tmp_path: Path) -> None:
    image(tmp_path / "val" / "a.jpg")
    assert complaints(tmp_path, "val/a.jpg") == ""


@pytest.mark.parametrize("path", ["../a.jpg", "val/../../a.jpg", "/etc/hostname", "", "a\0.jpg", "val\\a.jpg"])
def test_paths_that_leave_are_refused(tmp_path: Path, path: str) -> None:
    image(tmp_path / "a.jpg")
    assert f"line 0: image path {path!r} leaves" in complaints(tmp_path / "data", path)


def test_missing_images_folders_and_endless_names_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    told = complaints(tmp_path, "none.jpg", "folder", "x" * 300, "no/such/folder.jpg")
    assert told.count("there is no image") == 4


def test_links_may_stay_inside_and_may_not_lead_out(tmp_path: Path) -> None:
    outside, root = image(tmp_path / "outside" / "a.jpg"), tmp_path / "data"
    image(root / "real" / "a.jpg")
    (root / "inside.jpg").symlink_to(root / "real" / "a.jpg")
    (root / "inside").symlink_to(root / "real")
    (root / "out.jpg").symlink_to(outside)
    (root / "out").symlink_to(outside.parent)
    (root / "dangling.jpg").symlink_to(root / "nothing")
    assert complaints(root, "inside.jpg", "inside/a.jpg") == ""
    told = complaints(root, "out.jpg", "out/a.jpg", "dangling.jpg")
    assert told.count("leads out of the dataset's folder") == 2
    assert told.count("there is no image") == 1


def test_the_datasets_folder_may_itself_be_a_link(tmp_path: Path) -> None:
    image(tmp_path / "disk" / "a.jpg")
    (tmp_path / "data").symlink_to(tmp_path / "disk")
    assert complaints(tmp_path / "data", "a.jpg") == ""


def test_canonical_order_is_that_of_the_ids_sha256() -> None:
    ids = ["b", "a", "d", "c"]
    assert [ids[row] for row in canonical_order(ids)] == sorted(ids, key=lambda name: hashlib.sha256(name.encode()).hexdigest())


def test_a_limit_keeps_the_first_in_canonical_order_with_their_captions(tmp_path: Path) -> None:
    whole = retrieval(tmp_path, 10)
    cut = finished(whole, limit=3)
    expected = sorted(canonical_order(whole.images["id"])[:3])
    assert cut.images["id"].tolist() == [f"{row}.jpg" for row in expected]
    assert cut.texts["text"].tolist() == [f"caption {2 * row + i}" for row in expected for i in range(2)]
    assert cut.texts["image"].tolist() == [0, 0, 1, 1, 2, 2]
    assert finished(whole, limit=10).digest == finished(whole, limit=None).digest


def test_the_digest_sees_every_row_and_every_byte(tmp_path: Path) -> None:
    plain = finished(retrieval(tmp_path, 5), limit=None)
    assert plain.digest == finished(retrieval(tmp_path, 5), limit=None).digest
    labelled = finished(retrieval(tmp_path, 5, notes={"gender": list("aabbb")}), limit=None)
    other = finished(retrieval(tmp_path, 5, notes={"gender": list("aabba")}), limit=None)
    (tmp_path / "3.jpg").write_bytes(b"3.jpG")
    changed = finished(plain, limit=None)
    assert len({plain.digest, labelled.digest, other.digest, changed.digest}) == 4


def test_the_digest_leaves_texts_to_their_own(tmp_path: Path) -> None:
    whole = retrieval(tmp_path, 4)
    before = finished(whole, limit=None)
    whole.texts.loc[0, "text"] = "another caption"
    after = finished(whole, limit=None)
    assert after.digest == before.digest
    assert after.prompts_sha256 != before.prompts_sha256


def test_texts_of_classes_stand_class_by_class() -> None:
    texts = class_texts(["cat", "dog"], ["a {}", "the {}", "{{}}"])
    assert texts["text"] == ["a cat", "the cat", "{cat}", "a dog", "the dog", "{dog}"]
    assert texts["class"] == [0, 0, 0, 1, 1, 1]
    assert texts["template"] == [0, 1, 2, 0, 1, 2]


def test_the_first_difference_is_named() -> None:
    assert first_difference({"a": 1, "b": 2}, {"a": 1, "b": 2}) is None
    assert first_difference({"a": 1, "b": 1_999}, {"a": 1, "b": 2_000, "c": 3}) == "b: 1,999 here, 2,000 published"
    assert first_difference({}, {"c": 3}) == "c: 0 here, 3 published"
