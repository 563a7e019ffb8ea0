"""Small data trees in the benchmarks' exact on-disk formats, for tests that need a defect or an odd case the drawn world has not.

The loaders decode nothing, so an image is any distinct bytes.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from qbias.benchmarks.facet_groups import AGE, COUNTS, GENDER

BOX = '{"x": 10.5, "y": 20, "width": 30, "height": 40}'
FACET_COLUMNS = ("person_id", "filename", "class1", "class2", "bounding_box", *COUNTS, "hair_color_na", "visible_face")
NUMBERS = count()


def image(file: Path) -> Path:
    """A file that stands for an image; no two have the same bytes."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"image %d" % next(NUMBERS))
    return file


def write_csv(file: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns or list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return file


def face(number: int, **changes: Any) -> dict[str, Any]:
    """One row of FairFace's labels."""
    gender = "Male" if number % 2 else "Female"
    row = {"file": f"val/{number}.jpg", "age": "20-29", "gender": gender, "race": "White", "service_test": "True"}
    return row | changes


def write_fairface(data: Path, rows: Sequence[Mapping[str, Any]], *, images: bool = True) -> Path:
    """FairFace below `data`; the label file."""
    for row in rows if images else ():
        image(data / "fairface" / row["file"])
    return write_csv(data / "fairface" / "fairface_label_val.csv", rows)


def person(number: int, **changes: Any) -> dict[str, Any]:
    """One row of FACET's annotations: a masculine middle-aged lawman without tone votes, unless changed.

    `gender`, `age` and `tones` (ten numbers) are written as the flags and votes they mean.
    """
    row: dict[str, Any] = dict.fromkeys(FACET_COLUMNS, 0)
    row |= {"person_id": number, "filename": f"sa_{number}.jpg", "class1": "lawman", "class2": "", "bounding_box": BOX}
    gender, age, tones = changes.pop("gender", "masc"), changes.pop("age", "middle"), changes.pop("tones", ())
    row |= {GENDER[gender]: 1, AGE[age]: 1}
    row |= {f"skin_tone_{tone}": votes for tone, votes in enumerate(tones, start=1)}
    return row | changes


def write_facet(data: Path, rows: Sequence[Mapping[str, Any]], *, images: bool = True) -> Path:
    """FACET below `data`, its images spread over the three folders; the annotation file."""
    for number, name in enumerate(sorted({str(row["filename"]) for row in rows}) if images else ()):
        image(data / "facet" / f"imgs_{number % 3 + 1}" / name)
    return write_csv(data / "facet" / "annotations" / "annotations.csv", rows)


def write_imagenet(data: Path, counts: Mapping[str, int]) -> Path:
    """ImageNet below `data`: so many images of each WordNet id; the folder val."""
    for wnid, number in counts.items():
        (data / "imagenet" / "val" / wnid).mkdir(parents=True, exist_ok=True)
        for i in range(number):
            image(data / "imagenet" / "val" / wnid / f"ILSVRC2012_val_{i:08d}.JPEG")
    return data / "imagenet" / "val"


def write_karpathy(data: Path, captions: Sequence[Sequence[str]], **changes: Any) -> Path:
    """Karpathy's COCO below `data`: the captions of each test image, and one image of another split; the JSON."""
    entries = []
    for number, texts in enumerate(captions):
        name, sentences = f"COCO_val2014_{number:012d}.jpg", [{"raw": text} for text in texts]
        entries.append({"filepath": "val2014", "filename": name, "split": "test", "sentences": sentences})
        image(data / "coco" / "val2014" / name)
    other = {"filepath": "train2014", "filename": "none.jpg", "split": "train", "sentences": [{"raw": "not read"}]}
    return write_json(data / "coco" / "dataset_coco.json", {"images": [other, *entries]} | changes)


def write_val2017(data: Path, captions: Sequence[Sequence[str]], *, folder: str = "", **changes: Any) -> Path:
    """COCO val2017 below `data`; the JSON, in `folder`."""
    entries = [{"id": 100 + number, "file_name": f"{number:012d}.jpg"} for number in range(len(captions))]
    for entry in entries:
        image(data / "coco" / "val2017" / str(entry["file_name"]))
    notes = [{"image_id": 100 + number, "caption": text} for number, texts in enumerate(captions) for text in texts]
    return write_json(data / "coco" / folder / "captions_val2017.json", {"images": entries, "annotations": notes} | changes)


def write_json(file: Path, content: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content), encoding="utf-8")
    return file
