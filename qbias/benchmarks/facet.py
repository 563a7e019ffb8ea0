"""FACET: photographs of persons with expert labels of class, gender presentation, age and skin tone; measures gaps in recall.

Home: https://facet.metademolab.com (Gustafson et al. 2023). Licence: for evaluation only, by agreement with Meta.
Layout:  facet/annotations/annotations.csv            one row per person
         facet/imgs_1, facet/imgs_2, facet/imgs_3     any of them holds a given filename

Evaluated are images with exactly one annotated person, the whole image, over 52 classes. How votes and flags become groups, and
what a second class means, stands in facet_groups.py and in the protocol.
"""

import difflib
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from qbias.benchmarks.content import check_images, class_texts, first_difference, unfinished
from qbias.benchmarks.facet_groups import AGE, COUNTS, GENDER, PUBLISHED_FLAGS, bounding_box, flag_group, skin_groups, vote_counts
from qbias.benchmarks.problems import Problems, repeated
from qbias.benchmarks.sheet import read_sheet
from qbias.protocol import Protocol
from qbias.records import Dataset, Pair

ANNOTATIONS = "annotations/annotations.csv"
FOLDERS = ("imgs_1", "imgs_2", "imgs_3")
CLASSES = tuple(
    """astronaut backpacker ballplayer bartender basketball_player boatman carpenter cheerleader climber computer_user craftsman dancer
    disk_jockey doctor drummer electrician farmer fireman flutist gardener guard guitarist gymnast hairdresser horseman judge laborer lawman
    lifeguard machinist motorcyclist nurse painter patient prayer referee repairman reporter retailer runner sculptor seller singer
    skateboarder soccer_player soldier speaker student teacher tennis_player trumpeter waiter""".split()
)
NUMBER = {name: number for number, name in enumerate(CLASSES)}
FULL_PERSONS = 49_551
PUBLISHED = {"images": 31_702, **PUBLISHED_FLAGS, "lawman": 4_455, "laborer": 2_540, "boatman": 2_048, "judge": 96, "bartender": 56}
NO_CLASS = ("", "nan", "none", "null")


def load_facet(root: Path, protocol: Protocol) -> Dataset:
    """Every single-person image with its class or classes and groups.

    Raises
    ------
    ValueError
        On missing columns, unknown classes, votes and boxes that cannot be read, duplicate persons, missing images; all in one message.
    """
    file = root / ANNOTATIONS
    sheet = read_sheet(file, ("person_id", "filename", "class1", "class2", "bounding_box", *COUNTS))
    problems = Problems(file)
    counts = vote_counts(sheet, problems)
    _check_rows(sheet, problems)
    single = ~sheet["filename"].duplicated(keep=False)
    chosen = sheet[single & (sheet["class2"].str.lower().isin(NO_CLASS) if protocol.facet_class2 == "drop" else True)]
    paths = _image_paths(root, chosen["filename"].tolist())
    check_images(root, paths, [f"line {line}" for line in chosen.index], problems)
    problems.refuse()
    checked = _check_published(file, sheet, counts)
    if chosen.empty:
        raise ValueError(f"{file}: no image with exactly one annotated person; the protocol evaluates only these")
    images = {"id": chosen["person_id"].tolist(), "path": paths, **_labels(chosen), **_groups(counts.loc[chosen.index])}
    facts = {
        "classes": [name.replace("_", " ") for name in CLASSES],
        "templates": [protocol.facet_prompt],
        "ks": [1, 5],
        "pairs": [asdict(pair) for pair in pairs(protocol)],
        "min_per_group": protocol.min_per_group,
        "sign": protocol.facet_sign,
        "class2": protocol.facet_class2,
        "persons": len(sheet),
        "images": int(sheet["filename"].nunique()),
        "published_counts": checked,
    }
    return unfinished("facet", "classification", root, images, class_texts(facts["classes"], facts["templates"]), facts)  # type: ignore[arg-type]


def pairs(protocol: Protocol) -> tuple[Pair, ...]:
    """The four pairs of groups; skin tone by the protocol's vote."""
    skin = f"skin_{protocol.skin_vote}"
    return (
        Pair("gender_mf", "gender", "masc", "fem"),
        Pair("skin_ld", skin, "lighter", "darker"),
        Pair("age_my", "age", "middle", "young"),
        Pair("age_mo", "age", "middle", "older"),
    )


def _check_rows(sheet: pd.DataFrame, problems: Problems) -> None:
    """Classes, boxes, file names and person ids."""
    lines, persons = sheet.index.tolist(), sheet["person_id"].tolist()
    for column, also in (("class1", ()), ("class2", NO_CLASS)):
        unknown = ~(sheet[column].isin(NUMBER) | sheet[column].str.lower().isin(also))
        for line, name in sheet.loc[unknown, column].items():
            near = difflib.get_close_matches(name, CLASSES, n=1)
            hint = f" (nearest: {near[0]})" if near else ""
            remedy = "classes are FACET's 52, written with underscores (basketball_player); only class2 may be empty"
            problems.add(f"line {line}", f"unknown {column} {name!r}{hint}", remedy)
    for line, text in sheet["bounding_box"].items():
        if bounding_box(text) is None:
            what = f"bounding_box {text[:60]!r} has no numbers x, y, width, height"
            problems.add(f"line {line}", what, "a box is JSON or a Python dict with x, y, width and height")
    for line, name in sheet.loc[sheet["filename"].str.contains(r"[/\\\0]|^\.*$"), "filename"].items():
        remedy = "filename is a plain name, found in imgs_1, imgs_2 or imgs_3"
        problems.add(f"line {line}", f"filename {name!r} leaves the image folders", remedy)
    for position, first in repeated(persons).items():
        what = f"person_id {persons[position]!r} stands already on line {lines[first]}"
        problems.add(f"line {lines[position]}", what, "every person has one row: take the duplicate out")
    for line in sheet.index[sheet["person_id"] == ""]:
        problems.add(f"line {line}", "person_id is empty", "every person has an id")


def _image_paths(root: Path, names: Sequence[str]) -> list[str]:
    """Each file name under the first image folder that has it; under imgs_1, where it will be missed, if none has."""
    place: dict[str, str] = {}
    for folder in FOLDERS:
        if (root / folder).is_dir():
            for name in os.listdir(root / folder):
                place.setdefault(name, folder)
    return [f"{place.get(name, FOLDERS[0])}/{name}" for name in names]


def _labels(chosen: pd.DataFrame) -> dict[str, list[int]]:
    """Class numbers; a second class equal to the first is none."""
    first, second = chosen["class1"].map(NUMBER), chosen["class2"].map(NUMBER).fillna(-1).astype(int)
    return {"label": first.tolist(), "label2": second.where(second != first, -1).tolist()}


def _groups(counts: pd.DataFrame) -> dict[str, list[str]]:
    return {"gender": flag_group(counts, GENDER), "age": flag_group(counts, AGE), **skin_groups(counts)}


def _check_published(file: Path, sheet: pd.DataFrame, counts: pd.DataFrame) -> str:
    """Refuse a file of the published length whose counts differ; say what was checked."""
    if len(sheet) != FULL_PERSONS:
        return f"not checked: {len(sheet):,} persons"
    here = {"images": int(sheet["filename"].nunique())}
    here |= {name: int((counts[name] >= 1).sum()) for name in PUBLISHED_FLAGS}
    here |= {str(name): int(count) for name, count in sheet["class1"].value_counts().items()}
    if difference := first_difference(here, PUBLISHED):
        what = f"not the published annotations, though it has their {FULL_PERSONS:,} persons"
        raise ValueError(f"{file}: {what}: {difference}; fetch the file again")
    return "agree"
