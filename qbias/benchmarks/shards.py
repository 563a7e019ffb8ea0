"""WebDataset tar shards, in the layout that CLIP_benchmark reads and writes, as a source of images.

    <folder>/<split>/nshards.txt                       how many shards: n
    <folder>/<split>/0.tar ... <n-1>.tar               samples: files that share a key, <key>.<suffix>, one after the other
    <folder>/classnames.txt                            one class a line (classification; may be absent)
    <folder>/zeroshot_classification_templates.txt     one template a line, `{c}` where the class goes (may be absent)

A sample is one .webp, .png, .jpg or .jpeg image with .cls (the class's number), .txt (captions, one a line) and .json (an object whose
fields may name groups). The rules are webdataset's: the first dot of a file's name ends the key; folders, and files whose name begins with
a dot, are left alone. dataset_type.txt is not read: whoever asks says what is needed.

The images are unpacked into the cache once, so that all that follows works on plain files: as much disk again as the shards take. They are
found again by the sha256 of the shards, which is computed each time; nothing in the shards is parsed a second time.
"""

import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from qbias.benchmarks.problems import Problems
from qbias.benchmarks.sheet import read_text
from qbias.benchmarks.unpacked import Sample, unpacked


@dataclass(frozen=True)
class Shards:
    """What the shards of one split hold.

    Attributes
    ----------
    root : the folder that image paths are relative to, in the cache.
    sheet : one row per image, or per caption where captions were asked for, in the order of the shards; the index says where each
        comes from ("0.tar sample 'a1'"). Columns `image`, `label` and `caption` where asked for, then the fields; all cells are str.
    classes : the lines of classnames.txt; None where there is no such file.
    templates : the lines of the templates' file with `{}` for the class; None where there is no such file.
    """

    root: Path
    sheet: pd.DataFrame
    classes: tuple[str, ...] | None
    templates: tuple[str, ...] | None


def read_shards(folder: Path, *, split: str, label: bool, captions: bool, fields: Sequence[str]) -> Shards:
    """The samples of one split, their images as plain files in the cache.

    Parameters
    ----------
    folder : holds the split's folder and the two text files.
    split : name of the folder with the shards, such as "test".
    label : whether every sample must have .cls; the column has that whole number in its plain form.
    captions : whether every sample must have .txt with at least one line that is not blank.
    fields : what to read of .json: strings stripped, numbers as they are written; absent or null is "". None is called as another column.

    Raises
    ------
    ValueError
        If a shard is missing, damaged, or holds links or names that leave it; if samples have no image or several, share a key, or
        lack what was asked for; if no sample has a field; if a text file is not as described. All are listed with shard and sample.
    """
    if not re.fullmatch(r"\w[\w.-]*", split):
        raise ValueError(f"{folder}: split {split!r} is not the name of a folder in it: letters, digits, '_', '-' and '.'")
    assert not {"image", "label", "caption"} & set(fields)
    classes = _lines(folder / "classnames.txt", bool, "one class a line; the first is number 0")
    rule = "one template a line, with {c} where the class goes and no other braces"
    templates = _lines(folder / "zeroshot_classification_templates.txt", _is_template, rule)
    root, samples = unpacked(_tars(folder / split))
    sheet = _sheet(samples, Problems(folder / split), label=label, captions=captions, fields=fields)
    return Shards(root, sheet, classes, templates and tuple(line.replace("{c}", "{}") for line in templates))


def _lines(file: Path, good: Callable[[str], bool], rule: str) -> tuple[str, ...] | None:
    """Stripped lines, all of which are good. Blank ones at the end do not count; one before would shift the numbers of the others."""
    if not os.path.lexists(file):
        return None
    lines = [line.strip() for line in read_text(file).rstrip().splitlines()]
    problems = Problems(file)
    for number, line in enumerate(lines or [""], start=1):
        if not good(line):
            problems.add(f"line {number}", f"{line!r} is no entry", rule)
    problems.refuse()
    return tuple(lines)


def _is_template(line: str) -> bool:
    rest = line.replace("{c}", "")
    return rest != line and "{" not in rest and "}" not in rest


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 6


def _tars(folder: Path) -> list[Path]:
    """The shards, each of which is a file, or a link to one: downloads often are links into a cache."""
    file = folder / "nshards.txt"
    count = read_text(file).strip()
    if not _is_number(count) or int(count) == 0:
        raise ValueError(f"{file}: {count[:40]!r} is no number of shards: write a whole number from 1 to 999999")
    tars = [folder / f"{number}.tar" for number in range(int(count))]
    problems = Problems(folder)
    for tar in tars:
        if not os.path.isfile(tar):
            problems.add(tar.name, "there is no such file", f"complete the shards, or correct nshards.txt: it says {int(count)}")
    problems.refuse()
    return tars


def _sheet(samples: Sequence[Sample], problems: Problems, *, label: bool, captions: bool, fields: Sequence[str]) -> pd.DataFrame:
    rows: list[Sample] = []
    places: list[str] = []
    for sample in samples:
        row = {"image": sample["image"]} | (_fields(sample, fields, problems) if fields else {})
        row |= {"label": _label(sample, problems)} if label else {}
        texts = _captions(sample, problems) if captions else [""]
        rows += [row | {"caption": text} for text in texts]
        places += [sample["place"]] * len(texts)
    for name in fields:
        if not any(row[name] for row in rows):
            problems.add("all shards", f"no sample's .json has {name!r}", "correct the field's name, or write it into the samples")
    problems.refuse()
    columns = ["image", *(["label"] if label else []), *(["caption"] if captions else []), *fields]
    return pd.DataFrame(rows, columns=columns, index=pd.Index(places, dtype=object), dtype=object)


def _label(sample: Sample, problems: Problems) -> str:
    text = sample.get("cls", "").strip()
    if not _is_number(text):
        told = f"its .cls is {text[:40]!r}" if "cls" in sample else "it has no .cls"
        problems.add(sample["place"], told, "KEY.cls holds the number of the sample's class: a whole number, from 0")
        return ""
    return str(int(text))


def _captions(sample: Sample, problems: Problems) -> list[str]:
    lines = [line for line in sample.get("txt", "").splitlines() if line.strip()]
    if not lines or not _is_text(sample["txt"]):
        problems.add(sample["place"], "its .txt is missing, blank or not UTF-8", "KEY.txt holds the image's captions, one a line")
    return lines


def _fields(sample: Sample, fields: Sequence[str], problems: Problems) -> Sample:
    """Numbers stay as they are written: 1.0 and 1 are not the same group, and no digit is lost."""
    try:
        text = sample.get("json", "{}")
        content: Any = json.loads(text, parse_int=str, parse_float=str) if _is_text(text) else None
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        problems.add(sample["place"], "its .json is no JSON object, or not UTF-8", 'KEY.json holds an object: {"field": "value"}')
        return dict.fromkeys(fields, "?")
    cells = {name: "" if content.get(name) is None else content[name] for name in fields}
    for name, value in cells.items():
        if not _is_text(value):
            problems.add(sample["place"], f"{name!r} in its .json is no text and no number", "a field is a string or a number")
    return {name: str(value).strip() for name, value in cells.items()}


def _is_text(value: object) -> bool:
    """Whether it is a string without lone surrogates: half characters, or bytes that were not UTF-8."""
    return isinstance(value, str) and not any("\ud800" <= sign <= "\udfff" for sign in value)
