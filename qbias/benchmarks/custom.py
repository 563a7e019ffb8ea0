"""A benchmark of one's own: the images that a YAML file (definition.py) names, in a CSV manifest or in tar shards, read and checked.

The protocol's parameters for the built-in sets say nothing here: classes, groups, pairs, prompts and floors are the YAML file's.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from qbias.benchmarks.content import check_images, class_texts, unfinished
from qbias.benchmarks.definition import Classification, Definition, Retrieval, Skew, read_definition
from qbias.benchmarks.faults import nearest, shown
from qbias.benchmarks.problems import LISTED, Problems, repeated
from qbias.benchmarks.prompts import PROMPT_SETS, PromptSet, prompt_set
from qbias.benchmarks.shards import read_shards
from qbias.benchmarks.sheet import read_sheet
from qbias.records import Dataset

DIGESTED = {"name", "home", "licence", "manifest", "columns", "images", "shards", "split", "prompts"}
"""Keys that change a number only through images and texts, which have digests of their own, or not at all."""


@dataclass(frozen=True)
class _Rows:
    """What a manifest or shards hold.

    Attributes
    ----------
    file : the manifest, or the folder of the shards. root : the folder that image paths start from.
    sheet : one row per image (retrieval: per caption), all text: image, label and caption as the kind needs them, and group columns.
    places : where each row stands, and called : what the manifest calls image, label and caption; for messages.
    labels : the label of each class, in the order of the classes. classes, templates : as the prompts need them.
    """

    file: Path
    root: Path
    sheet: pd.DataFrame
    places: Sequence[str]
    called: Mapping[str, str]
    labels: Sequence[str] = ()
    classes: Sequence[str] = ()
    templates: Sequence[str] = ()

    def column(self, name: str) -> list[str]:
        """A column's cells; image paths in their plain form, so that `./a.png` and `a.png` are one image."""
        cells: list[str] = self.sheet[name].tolist()
        return [str(PurePosixPath(cell)) if cell else "" for cell in cells] if name == "image" else cells


def load_custom(file: Path) -> Dataset:
    """The benchmark that a YAML file defines, without limit and digests.

    Parameters
    ----------
    file : the YAML file; the paths in it start from its folder.

    Raises
    ------
    ValueError
        If the file breaks the schema, or what it names has defects: missing columns or images, unknown labels or group values, empty
        captions, duplicates, paths that leave the image folder. Those of a manifest come in one message, each with its line.
    """
    definition = read_definition(file)
    rows = _shard_rows(file, definition) if definition.shards else _manifest_rows(file, definition)
    _check(rows, _groups(definition), captioned=isinstance(definition, Retrieval))
    if isinstance(definition, Classification):
        images, texts, facts = _classification(definition, rows)
    elif isinstance(definition, Retrieval):
        images, texts, facts = _retrieval(definition, rows)
    else:
        assert isinstance(definition, Skew)
        images, texts, facts = _skew(definition, rows, _prompt_set(file, definition.prompts))
    known = {name: facts[name] for name in ("classes", "templates") if name in facts}
    facts["definition"] = definition.model_dump(mode="json", exclude=DIGESTED) | known
    if source := "; ".join(text for text in (definition.home, definition.licence) if text):
        facts["source"] = source
    return unfinished(definition.name, definition.kind, rows.root, images, texts, facts)


Made = tuple[dict[str, Any], dict[str, Any], dict[str, Any]]
"""Columns of the images, columns of the texts, facts: see records.Dataset."""


def _classification(definition: Classification, rows: _Rows) -> Made:
    number = {label: row for row, label in enumerate(rows.labels)}
    images = _images(rows) | {"label": [number[label] for label in rows.column("label")], "label2": -1}
    facts = {
        "classes": list(rows.classes),
        "templates": list(rows.templates),
        "ks": list(definition.ks),
        "pairs": [pair.model_dump() for pair in definition.pairs],
        "groups": list(definition.groups),
        "min_per_group": definition.min_per_group,
        "sign": definition.sign,
        "class2": "each",
    }
    return images | _group_columns(definition, rows), class_texts(rows.classes, rows.templates), facts


def _retrieval(definition: Retrieval, rows: _Rows) -> Made:
    paths = rows.column("image")
    number = {path: row for row, path in enumerate(dict.fromkeys(paths))}
    texts = {"text": rows.column("caption"), "image": [number[path] for path in paths]}
    return {"id": list(number), "path": list(number)}, texts, {"ks": list(definition.ks)}


def _skew(definition: Skew, rows: _Rows, prompts: PromptSet) -> Made:
    facts = {
        "attributes": {column: list(values) for column, values in definition.groups.items()},
        "k": definition.k,
        "desired": definition.desired,
        "prompt_set": prompts.name,
        "prompts": len(prompts.prompts),
        "prompts_reconstructed": prompts.reconstructed,
    }
    return _images(rows) | _group_columns(definition, rows), {"text": list(prompts.prompts)}, facts


def _images(rows: _Rows) -> dict[str, Any]:
    return {"id": rows.column("image"), "path": rows.column("image")}


def _group_columns(definition: Definition, rows: _Rows) -> dict[str, list[str]]:
    return {column: rows.column(column) for column in _groups(definition)}


def _groups(definition: Definition) -> Mapping[str, tuple[str, ...]]:
    return definition.groups if isinstance(definition, (Classification, Skew)) else {}


def _prompt_set(file: Path, prompts: tuple[str, ...] | str) -> PromptSet:
    """A list in the YAML file is called `inline`: its sha256 says what is in it."""
    if not isinstance(prompts, str):
        return PromptSet("inline", prompts, reconstructed=False)
    return prompt_set(prompts if prompts in PROMPT_SETS else str(file.parent / prompts))


def _manifest_rows(file: Path, definition: Definition) -> _Rows:
    manifest, roles, groups = file.parent / definition.manifest, definition.columns.model_dump(), _groups(definition)
    sheet = read_sheet(manifest, tuple(dict.fromkeys([*roles.values(), *groups])))
    table = pd.DataFrame({role: sheet[name] for role, name in roles.items()} | {name: sheet[name] for name in groups})
    rows = _Rows(manifest, file.parent / definition.images, table, [f"line {line}" for line in sheet.index], roles)
    if not isinstance(definition, Classification):
        return rows
    return replace(rows, labels=list(definition.classes), classes=list(definition.classes.values()), templates=definition.templates)


def _shard_rows(file: Path, definition: Definition) -> _Rows:
    """Labels of shards are numbers of classes."""
    folder, classify = file.parent / definition.shards, isinstance(definition, Classification)
    captions = isinstance(definition, Retrieval)
    found = read_shards(folder, split=definition.split, label=classify, captions=captions, fields=tuple(_groups(definition)))
    rows = _Rows(folder / definition.split, found.root, found.sheet, found.sheet.index.tolist(), {})
    if not isinstance(definition, Classification):
        return rows
    classes, templates = tuple(definition.classes.values()) or found.classes, definition.templates or found.templates
    problems = Problems(file)
    if list(definition.classes) != list(definition.classes.values()):
        problems.add("classes", "a mapping, where shards number their classes", "list the names in the order of the numbers, from 0")
    for name, known in (("classes", classes), ("templates", templates)):
        if not known:
            problems.add(name, f"missing, and {folder} brings none", f"list the {name} in the YAML file")
    problems.refuse()
    assert classes
    assert templates
    return replace(rows, labels=[str(number) for number in range(len(classes))], classes=classes, templates=templates)


def _check(rows: _Rows, groups: Mapping[str, Collection[str]], *, captioned: bool) -> None:
    """Refuse defects of the rows and missing images in one message; only captions may name an image in several rows."""
    problems, paths, places = Problems(rows.file), rows.column("image"), rows.places
    for name in [name for name in ("image", "label", "caption") if name in rows.sheet]:
        for place, cell in zip(places, rows.column(name), strict=True):
            if not cell:
                problems.add(place, f"{rows.called.get(name, name)} is empty", "write the cell, or take the row out")
    if "label" in rows.sheet:
        _check_known(rows, "label", rows.labels, problems)
    for column, values in groups.items():
        _check_known(rows, column, values, problems)
    again = repeated(paths)
    for row, first in again.items():
        if paths[row] and not captioned:
            what = f"{shown(paths[row])} stands already at {places[first]}"
            problems.add(places[row], what, "every image has one row: take the duplicate out")
    kept = [row for row, path in enumerate(paths) if path and row not in again]
    check_images(rows.root, [paths[row] for row in kept], [places[row] for row in kept], problems)
    problems.refuse()


def _check_known(rows: _Rows, column: str, known: Collection[str], problems: Problems) -> None:
    """Add a problem for each cell that is not one of the values that the YAML file (or the number of classes) allows."""
    listed = ", ".join(list(known)[:LISTED]) + (", ..." if len(known) > LISTED else "")
    allowed, called, offenders = {*known, ""}, rows.called.get(column, column), 0
    for place, cell in zip(rows.places, rows.column(column), strict=True):
        if cell in allowed:
            continue
        near = nearest(cell, known) if offenders < LISTED else ""  # What is not listed need not be searched for.
        problems.add(place, f"unknown {called} {shown(cell)}{near}", f"{called} is one of {listed}")
        offenders += 1
