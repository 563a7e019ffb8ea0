"""COCO captions: photographs with about five captions each; measures image-text retrieval.

Home: https://cocodataset.org (Lin et al. 2014); Karpathy's split: https://cs.stanford.edu/people/karpathy/deepimagesent (2015).
Licence: annotations CC BY 4.0; images under the terms of their Flickr pages.
Layout:  coco/dataset_coco.json and coco/val2014/*.jpg               Karpathy's test split, 5,000 images (default)
    or:  coco/captions_val2017.json and coco/val2017/*.jpg           (the JSON may also lie in coco/annotations/)

All captions of an image are kept, as they are written. The second layout shifts results by about one point.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qbias.benchmarks.content import check_images, first_difference, unfinished
from qbias.benchmarks.problems import Problems, repeated
from qbias.benchmarks.sheet import read_text
from qbias.protocol import Protocol
from qbias.records import Dataset

KARPATHY, VAL2017 = "dataset_coco.json", "captions_val2017.json"
FULL_IMAGES = 5_000
PUBLISHED = {"karpathy-test": {"captions": 25_010}, "val2017": {"captions": 25_014}}
SHAPE = {
    KARPATHY: 'expected {"images": [{"filepath": "val2014", "filename": ..., "split": "test", "sentences": [{"raw": ...}]}]}',
    VAL2017: 'expected {"images": [{"id": ..., "file_name": ...}], "annotations": [{"image_id": ..., "caption": ...}]}',
}
Captioned = list[tuple[str, str, list[str]]]
"""Per image: where its entry stands, its path in the dataset's folder, its captions."""


def load_coco(root: Path, protocol: Protocol) -> Dataset:
    """Images with their captions, of whichever layout is there (Karpathy's first).

    Raises
    ------
    ValueError
        On a JSON of another shape, images without captions, captions without images, duplicate or missing images.
    """
    file = _annotations(root)
    karpathy = file.name == KARPATHY
    split = "karpathy-test" if karpathy else "val2017"
    problems = Problems(file)
    content = _json(file)
    entries = _karpathy_test(content, problems) if karpathy else _val2017(content, problems)
    problems.refuse()
    _check(root, file, entries)
    texts = [(caption, row) for row, (_, _, captions) in enumerate(entries) for caption in captions]
    full = len(entries) == FULL_IMAGES
    if full and (difference := first_difference({"captions": len(texts)}, PUBLISHED[split])):
        raise ValueError(f"{file}: not the published split, though it has its {FULL_IMAGES:,} images: {difference}; fetch the file again")
    paths = [path for _, path, _ in entries]
    facts = {
        "ks": [1, 5, 10],
        "split": split,
        "published_counts": "agree" if full else f"not checked: {len(entries):,} images, {len(texts):,} captions",
    }
    columns = {"text": [text for text, _ in texts], "image": [row for _, row in texts]}
    return unfinished("coco", "retrieval", root, {"id": paths, "path": paths}, columns, facts)


def _annotations(root: Path) -> Path:
    """The first annotation file that is there."""
    for name in (KARPATHY, VAL2017):
        for folder in (root, root / "annotations"):
            if (folder / name).is_file():
                return folder / name
    raise ValueError(f"{root}: holds neither {KARPATHY} (with val2014/) nor {VAL2017} (with val2017/); put one of them there")


def _json(file: Path) -> Mapping[str, Any]:
    text = read_text(file)
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{file}: line {error.lineno}: not JSON ({error.msg}); fetch the file again") from None
    except ValueError as error:  # A number of thousands of digits is one to Python's reader.
        raise ValueError(f"{file}: not JSON that can be read ({error}); fetch the file again") from None
    except RecursionError:
        raise ValueError(f"{file}: nested too deeply; {SHAPE[file.name]}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{file}: the outermost value is no object; {SHAPE[file.name]}")
    return content


def _objects(content: Mapping[str, Any], name: str, place: str, problems: Problems, shape: str) -> list[tuple[str, dict[str, Any]]]:
    """(place, entry) of the list `name`, which stands at `place`; what is no object is noted."""
    rows = content.get(name)
    if not isinstance(rows, list):
        problems.add(place, "missing, or no list", shape)
        return []
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            problems.add(f"{place}[{number}]", "no object", shape)
    return [(f"{place}[{number}]", row) for number, row in enumerate(rows) if isinstance(row, dict)]


def _text(value: Any, place: str, what: str, problems: Problems, shape: str) -> str:
    """`value` as text that can be stored; "" (and a problem) where it is none."""
    if isinstance(value, str) and value.strip():
        try:
            value.encode()
        except UnicodeEncodeError:
            problems.add(place, f"{what} holds half a character (a lone surrogate)", "write the text as valid Unicode")
            return ""
        return value
    problems.add(place, f"{what} is missing, empty or no text", shape)
    return ""


def _karpathy_test(content: Mapping[str, Any], problems: Problems) -> Captioned:
    shape, found = SHAPE[KARPATHY], Captioned()
    for place, entry in _objects(content, "images", "images", problems, shape):
        if entry.get("split") != "test":
            continue
        folder = _text(entry.get("filepath", "val2014"), place, "filepath", problems, shape)
        name = _text(entry.get("filename"), place, "filename", problems, shape)
        sentences = _objects(entry, "sentences", f"{place}.sentences", problems, shape)
        captions = [_text(row.get("raw"), where, "raw", problems, shape) for where, row in sentences]
        found.append((place, f"{folder}/{name}", captions))
    return found


def _val2017(content: Mapping[str, Any], problems: Problems) -> Captioned:
    shape = SHAPE[VAL2017]
    found: dict[str, tuple[str, str, list[str]]] = {}
    for place, entry in _objects(content, "images", "images", problems, shape):
        name = _text(entry.get("file_name"), place, "file_name", problems, shape)
        key = repr(entry.get("id"))
        if key in found:
            problems.add(place, f"image id {key} stands already at {found[key][0]}", "every image has one entry: take the duplicate out")
        found[key] = (place, f"val2017/{name}", [])
    for place, entry in _objects(content, "annotations", "annotations", problems, shape):
        caption = _text(entry.get("caption"), place, "caption", problems, shape)
        key = repr(entry.get("image_id"))
        if key in found:
            found[key][2].append(caption)
        else:
            problems.add(place, f"image id {key} is none of the images", "take the caption out, or add its image")
    return list(found.values())


def _check(root: Path, file: Path, entries: Captioned) -> None:
    problems = Problems(file)
    if not entries:
        problems.add("images", "no image to evaluate", SHAPE[file.name])
    places, paths = [place for place, _, _ in entries], [path for _, path, _ in entries]
    for place, path, captions in entries:
        if not captions:
            problems.add(place, f"{path!r} has no caption", "an image without a caption has no right answer: take it out")
    for position, first in repeated(paths).items():
        what = f"{paths[position]!r} stands already at {places[first]}"
        problems.add(places[position], what, "every image has one entry: take the duplicate out")
    check_images(root, paths, places, problems)
    problems.refuse()
