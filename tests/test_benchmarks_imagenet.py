"""ImageNet: names and templates as the field's packages have them, subsets over their own classes, and damage."""

import sys
from pathlib import Path

import pytest

from qbias.benchmarks import BENCHMARKS, load
from qbias.benchmarks import imagenet as module
from qbias.protocol import Protocol
from qbias.records import Dataset
from tests.trees import image, write_imagenet

TENCH, GOLDFISH, GUITAR = "n01440764", "n01443537", "n02676566"


def loaded(data: Path) -> Dataset:
    return load(BENCHMARKS["imagenet"], data, Protocol())


def refusal(data: Path) -> str:
    with pytest.raises(ValueError, match="imagenet") as refused:
        loaded(data)
    return str(refused.value)


def test_names_and_templates_are_those_of_open_clip_and_timm() -> None:
    from open_clip import IMAGENET_CLASSNAMES, OPENAI_IMAGENET_TEMPLATES
    from timm.data import ImageNetInfo

    wnids, names, templates = module.imagenet_names()
    assert list(wnids) == ImageNetInfo().label_names()
    assert list(names) == list(IMAGENET_CLASSNAMES)
    assert [template.replace("{}", "guitar") for template in templates] == [template("guitar") for template in OPENAI_IMAGENET_TEMPLATES]
    assert len(set(names)) == 998, "missile and sunglasses stand twice: exact ties exist"


def test_a_subset_is_measured_over_its_own_classes(tmp_path: Path) -> None:
    val = write_imagenet(tmp_path, {GUITAR: 2, TENCH: 1})
    image(val / TENCH / "notes.txt")
    image(val / ".DS_Store")
    dataset = loaded(tmp_path)
    assert dataset.facts["classes"] == ["tench", "acoustic guitar"]
    assert dataset.facts["wnids"] == [TENCH, GUITAR]
    assert dataset.facts["subset"]
    assert dataset.images["label"].tolist() == [0, 1, 1]
    assert dataset.images["path"].tolist()[0] == f"val/{TENCH}/ILSVRC2012_val_00000000.JPEG"
    assert len(dataset.texts) == 2 * 80
    assert dataset.texts["text"][80] == "a bad photo of a acoustic guitar."


def test_the_full_set_is_held_against_fifty_of_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CLASSES", 2)
    monkeypatch.setattr(module, "PER_CLASS", 3)
    names = ((TENCH, GOLDFISH), ("tench", "goldfish"), ("a {}",))
    monkeypatch.setattr(module, "imagenet_names", lambda: names)
    val = write_imagenet(tmp_path, {TENCH: 3, GOLDFISH: 3})
    assert loaded(tmp_path).facts["published_counts"] == "agree"
    (val / TENCH / "ILSVRC2012_val_00000000.JPEG").rename(val / GOLDFISH / "moved.JPEG")
    assert f"{TENCH}: 2 here, 3 published" in refusal(tmp_path)


@pytest.mark.parametrize("wnid", ["n99999999", "tench"])
def test_unknown_classes_are_refused(tmp_path: Path, wnid: str) -> None:
    write_imagenet(tmp_path, {TENCH: 1, wnid: 1})
    assert f"folder {wnid!r}: unknown class" in refusal(tmp_path)


def test_empty_classes_flat_folders_and_no_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "imagenet").mkdir()
    assert "no such folder; expected imagenet/val/<wnid>/*.JPEG" in refusal(tmp_path)
    image(tmp_path / "imagenet" / "val" / "ILSVRC2012_val_00000001.JPEG")
    assert "no class folder in it" in refusal(tmp_path)
    write_imagenet(tmp_path, {TENCH: 0, GUITAR: 1})
    assert f"folder {TENCH!r}: no image in it" in refusal(tmp_path)


def test_links_that_lead_out_are_refused(tmp_path: Path) -> None:
    val = write_imagenet(tmp_path, {TENCH: 1})
    (val / TENCH / "link.JPEG").symlink_to(image(tmp_path / "outside.jpg"))
    assert "leads out" in refusal(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="other file systems refuse names that are no text")
def test_file_names_that_are_no_text_are_refused(tmp_path: Path) -> None:
    val = write_imagenet(tmp_path, {TENCH: 1})
    (val / TENCH / "bad\udcff.JPEG").write_bytes(b"x")
    assert "cannot be written as text" in refusal(tmp_path)
