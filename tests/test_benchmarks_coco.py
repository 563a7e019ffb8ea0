"""COCO captions in both layouts, and JSON of any other shape."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qbias.benchmarks import BENCHMARKS, load
from qbias.benchmarks import coco as module
from qbias.protocol import Protocol
from qbias.records import Dataset
from tests.trees import write_json, write_karpathy, write_val2017

CAPTIONS = (("a dog", "a brown dog "), ("a cat",), ("two birds", "birds", "a flock"))


def loaded(data: Path) -> Dataset:
    return load(BENCHMARKS["coco"], data, Protocol())


def refusal(data: Path) -> str:
    with pytest.raises(ValueError, match="coco") as refused:
        loaded(data)
    return str(refused.value)


def test_the_karpathy_test_split(tmp_path: Path) -> None:
    write_karpathy(tmp_path, CAPTIONS)
    dataset = loaded(tmp_path)
    assert dataset.images["path"].tolist() == [f"val2014/COCO_val2014_{number:012d}.jpg" for number in range(3)]
    assert dataset.texts["text"].tolist() == [text for texts in CAPTIONS for text in texts], "captions stay as they are written"
    assert dataset.texts["image"].tolist() == [0, 0, 1, 2, 2, 2]
    assert dataset.facts["split"] == "karpathy-test"


@pytest.mark.parametrize("folder", ["", "annotations"])
def test_the_val2017_layout(tmp_path: Path, folder: str) -> None:
    write_val2017(tmp_path, CAPTIONS, folder=folder)
    dataset = loaded(tmp_path)
    assert dataset.facts["split"] == "val2017"
    assert dataset.images["path"][0] == "val2017/000000000000.jpg"
    assert dataset.texts["image"].tolist() == [0, 0, 1, 2, 2, 2]


def test_captions_follow_their_images_not_the_annotations(tmp_path: Path) -> None:
    file = write_val2017(tmp_path, CAPTIONS)
    content = json.loads(file.read_text())
    content["annotations"].reverse()
    write_json(file, content)
    assert loaded(tmp_path).texts["text"].tolist() == ["a brown dog ", "a dog", "a cat", "a flock", "birds", "two birds"]


def test_karpathys_file_goes_first(tmp_path: Path) -> None:
    write_karpathy(tmp_path, CAPTIONS)
    write_val2017(tmp_path, CAPTIONS)
    assert loaded(tmp_path).facts["split"] == "karpathy-test"


def test_the_full_split_is_held_against_the_published_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_karpathy(tmp_path, CAPTIONS)
    monkeypatch.setattr(module, "FULL_IMAGES", 3)
    monkeypatch.setattr(module, "PUBLISHED", {"karpathy-test": {"captions": 6}})
    assert loaded(tmp_path).facts["published_counts"] == "agree"
    monkeypatch.setattr(module, "PUBLISHED", {"karpathy-test": {"captions": 7}})
    assert "captions: 6 here, 7 published" in refusal(tmp_path)


def test_no_annotations_names_both_layouts(tmp_path: Path) -> None:
    (tmp_path / "coco").mkdir()
    assert "holds neither dataset_coco.json (with val2014/) nor captions_val2017.json (with val2017/)" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"filename": "../../x.jpg"}, "leaves"),
        ({"filepath": "/etc", "filename": "hostname"}, "leaves"),
        ({"filename": "none.jpg"}, "there is no image"),
        ({"filename": 7}, "filename is missing, empty or no text"),
        ({"sentences": []}, "has no caption"),
        ({"sentences": "words"}, "images[2].sentences: missing, or no list"),
        ({"sentences": [{"raw": " "}]}, "raw is missing, empty or no text"),
        ({"sentences": [{"raw": "\ud800"}]}, "half a character"),
        ({"filename": "COCO_val2014_000000000000.jpg"}, "stands already at images[1]"),
    ],
)
def test_karpathy_defects_are_named(tmp_path: Path, entry: dict[str, Any], told: str) -> None:
    file = write_karpathy(tmp_path, CAPTIONS)
    content = json.loads(file.read_text())
    content["images"][2] |= entry
    write_json(file, content)
    assert told in refusal(tmp_path)
    assert "images[2]" in refusal(tmp_path)


def test_captions_without_an_image_and_images_twice_are_refused(tmp_path: Path) -> None:
    notes = [{"image_id": 100, "caption": "a dog"}, {"image_id": 999, "caption": "a ghost"}]
    file = write_val2017(tmp_path, CAPTIONS, annotations=notes)
    told = refusal(tmp_path)
    assert "annotations[1]: image id 999 is none of the images" in told
    content = json.loads(file.read_text())
    content["images"].append(content["images"][0])
    write_json(file, content)
    assert "image id 100 stands already at images[0]" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "line 1: not JSON"),
        ("9" * 5_000, "not JSON that can be read"),
        ("[]", "outermost value is no object"),
        ("{}", "images: missing"),
        ("[" * 100_000, "nested too deeply"),
        ('{"images": []}', "no image to evaluate"),
        ('{"images": [3]}', "images[0]: no object"),
    ],
)
def test_other_json_is_refused(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "coco").mkdir()
    (tmp_path / "coco" / "dataset_coco.json").write_text(text)
    assert told in refusal(tmp_path)


NAMES = ["images", "annotations", "filename", "sentences", "raw", "split", "id", "file_name", "image_id", "caption"]
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.sampled_from(["test", "val2014"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)
CONTENT = st.one_of(VALUE, st.fixed_dictionaries({"images": st.lists(VALUE, max_size=3), "annotations": VALUE}))


@settings(max_examples=150, deadline=None)
@given(content=CONTENT, karpathy=st.booleans())
def test_no_json_ends_in_anything_but_valueerror(tmp_path_factory: pytest.TempPathFactory, content: Any, karpathy: bool) -> None:
    root = tmp_path_factory.getbasetemp() / f"fuzz-coco-{karpathy}"
    write_json(root / "coco" / ("dataset_coco.json" if karpathy else "captions_val2017.json"), content)
    with pytest.raises(ValueError, match="coco"):
        loaded(root)
