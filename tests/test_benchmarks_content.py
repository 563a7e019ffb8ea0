"""Image files inside the dataset's folder, the canonical order, limits and digests."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from qbias.benchmarks.content import canonical_order, check_images, class_texts, finished, first_difference, unfinished, without
from qbias.benchmarks.problems import Problems
from qbias.records import Dataset, Kind
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


def test_the_digest_sees_the_definition_of_a_benchmark_of_ones_own(tmp_path: Path) -> None:
    plain = retrieval(tmp_path, 3)
    defined = [finished(replace(plain, facts={**plain.facts, "definition": {"floor": floor}}), limit=None) for floor in (25, 25, 50)]
    assert len({row.digest for row in defined}) == 2
    assert defined[0].digest == defined[1].digest != finished(plain, limit=None).digest
    assert finished(replace(plain, facts={"ks": [5]}), limit=None).digest == finished(plain, limit=None).digest


def test_the_digest_without_a_definition_is_the_one_it_was(tmp_path: Path) -> None:
    """The JSON of rows, of links from texts to images, and of the sha256 of each file, as written here by hand."""
    digests = [hashlib.sha256(f"{row}.jpg".encode()).hexdigest() for row in range(2)]
    names = '["0.jpg","1.jpg"]'
    text = f'{{"files":["{digests[0]}","{digests[1]}"],"images":{{"id":{names},"path":{names}}},"texts":{{"image":[0,0,1,1]}}}}'
    assert finished(retrieval(tmp_path, 2), limit=None).digest == hashlib.sha256(text.encode()).hexdigest()


def test_every_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    whole = retrieval(tmp_path, 5)
    for row in (1, 3):
        (tmp_path / f"{row}.jpg").unlink()
    (tmp_path / "3.jpg").mkdir()
    with pytest.raises(ValueError, match="2 problem") as told:
        finished(whole, limit=None)
    assert "image '1.jpg': cannot be opened (No such file or directory)" in str(told.value)
    assert "image '3.jpg': cannot be opened (Is a directory)" in str(told.value)


def test_images_left_out_of_retrieval_take_their_captions_along(tmp_path: Path) -> None:
    whole = finished(retrieval(tmp_path, 5), limit=None)
    rest = without(whole, [3, 0])
    assert rest.images["id"].tolist() == ["1.jpg", "2.jpg", "4.jpg"]
    assert rest.texts["text"].tolist() == [f"caption {number}" for number in (2, 3, 4, 5, 8, 9)]
    assert rest.texts["image"].tolist() == [0, 0, 1, 1, 2, 2]
    assert (rest.texts["image"].dtype, rest.facts) == (whole.texts["image"].dtype, {"ks": [1], "skipped_images": 2})
    assert whole.facts == {"ks": [1]}


@pytest.mark.parametrize("kind", ["classification", "skew"])
def test_texts_of_other_kinds_stay_when_images_are_left_out(tmp_path: Path, kind: Kind) -> None:
    retrieval(tmp_path, 4)
    names = [f"{row}.jpg" for row in range(4)]
    texts = class_texts(["cat", "dog"], ["a {}"])
    made = unfinished("x", kind, tmp_path, {"id": names, "path": names, "label": [0, 1, 0, 1]}, texts, {})
    whole = finished(made, limit=None)
    rest = without(whole, [1])
    assert rest.images["label"].tolist() == [0, 0, 1]
    assert rest.texts.equals(whole.texts)
    assert rest.prompts_sha256 == whole.prompts_sha256


def test_what_is_left_has_the_digests_of_a_dataset_that_never_had_more(tmp_path: Path) -> None:
    rest = without(finished(retrieval(tmp_path, 5), limit=None), [4])
    fewer = finished(retrieval(tmp_path, 4), limit=None)
    assert (rest.digest, rest.prompts_sha256) == (fewer.digest, fewer.prompts_sha256)
    other = without(finished(retrieval(tmp_path, 5), limit=None), [3])
    assert other.digest != rest.digest


def test_images_left_out_in_two_steps_add_up(tmp_path: Path) -> None:
    whole = finished(retrieval(tmp_path, 6), limit=None)
    steps, once = without(without(whole, [0, 3]), [1]), without(whole, [0, 2, 3])
    assert steps.digest == once.digest
    assert steps.facts["skipped_images"] == once.facts["skipped_images"] == 3


def test_at_least_one_image_is_left(tmp_path: Path) -> None:
    whole = finished(retrieval(tmp_path, 2), limit=None)
    with pytest.raises(ValueError, match="none of the 2 images of 'x' is left"):
        without(whole, [0, 1])


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
