"""The FACET-like set: `annotations/annotations.csv` with FACET's 52 columns, and images in imgs_1 to imgs_3.

Marks are independent of class and their numbers are fixed per class (shuffled, not drawn), so group sizes are known: most
classes have at least 25 single-person images on both sides of gender, skin and young/middle, and some fall short for older.
The awkward cases of the real file are here: several persons per image, second classes, na, non-binary, votes that tie or
are all zero, flags that are counts, bounding boxes as JSON or as Python literals.
"""

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from qbias.toyworld.classes import AGES, BACKGROUNDS, CLASSES, GENDERS, TWIN_INDICES
from qbias.toyworld.draw import picture
from qbias.toyworld.scenes import Robot, Scene
from qbias.toyworld.worlds import random_robot

HAIR = ("brown", "blonde", "grey", "na", "black", "colored", "red")
HAIRTYPES = ("coily", "dreadlocks", "bald", "straight", "curly", "wavy", "na")
THINGS = ("facial_hair", "tattoo", "cap", "mask", "headscarf", "eyeware")
LIGHTS = ("underexposed", "dimly_lit", "well_lit", "na", "overexposed")
VISIBLE = ("torso", "face", "minimal")
COLUMNS: tuple[str, ...] = (
    "person_id",
    "filename",
    "class1",
    "class2",
    "bounding_box",
    *(f"gender_presentation_{value}" for value in GENDERS),
    *(f"skin_tone_{tone}" for tone in range(1, 11)),
    "skin_tone_na",
    *(f"age_presentation_{value}" for value in AGES),
    *(f"hair_color_{value}" for value in HAIR),
    *(f"hairtype_{value}" for value in HAIRTYPES),
    *(f"has_{value}" for value in THINGS),
    *(f"lighting_{value}" for value in LIGHTS),
    *(f"visible_{value}" for value in VISIBLE),
)
SIZES = ((64, 64), (80, 64), (64, 80), (96, 72), (72, 72))
IMAGES = 3_040
RARE = 2  # the last classes of the table have few images, so that they fall below any floor


def _singles(kind: int) -> int:
    """Single-person images of a class."""
    if kind >= len(CLASSES) - RARE:
        return 36
    return 130 if kind in TWIN_INDICES else 94


def _shares(count: int, shares: tuple[float, ...], rng: np.random.Generator) -> list[int]:
    """`count` values 0, 1, ... in these shares, shuffled; the last value takes what rounding leaves."""
    numbers = [round(share * count) for share in shares]
    values = [value for value, number in enumerate(numbers) for _ in range(number)]
    padded = (values + [len(shares)] * count)[:count]
    return [int(value) for value in rng.permutation(np.array(padded))]


def single_robots(kind: int, rng: np.random.Generator) -> list[Robot]:
    """The robots of a class that stand alone in their image, with fixed numbers of each mark."""
    count = _singles(kind)
    badges = _shares(count, (0.46, 0.42, 0.02), rng)
    patterns = _shares(count, (0.31, 0.35, 0.29 if kind % 2 else 0.15), rng)
    tones = rng.permutation(np.arange(count) % 10)
    rows = [
        replace(random_robot(kind, rng), badge=badge, pattern=pattern, tone=int(tone))
        for badge, pattern, tone in zip(badges, patterns, tones, strict=True)
    ]
    return [
        replace(row, second=int((kind + rng.integers(1, len(CLASSES))) % len(CLASSES))) if i % 17 == 5 else row
        for i, row in enumerate(rows)
    ]


def _scenes(rng: np.random.Generator) -> list[Scene]:
    groups = [(robot,) for kind in range(len(CLASSES)) for robot in single_robots(kind, rng)]
    several = [
        tuple(random_robot(int(rng.integers(len(CLASSES))), rng) for _ in range(2 + i % 3 // 2)) for i in range(IMAGES - len(groups))
    ]
    order = rng.permutation(IMAGES)
    everyone: list[tuple[Robot, ...]] = [*groups, *several]
    return [Scene(everyone[i], int(rng.integers(len(BACKGROUNDS)))) for i in order]


def skin_votes(tone: int, rng: np.random.Generator) -> list[int]:
    """Sums of votes for tones 1 to 10 and na: three annotators each mark two or three tones next to `tone` (0 to 9).

    About one person in 20 is na, and one in 100 has no vote at all.
    """
    fate, votes = rng.random(), [0] * 11
    if fate < 0.05:
        votes[10] = 3
    elif fate > 0.06:
        for _ in range(3):
            span = int(rng.integers(2, 4))
            start = int(np.clip(tone - rng.integers(0, span), 0, 10 - span))
            for marked in range(start, start + span):
                votes[marked] += 1
    return votes


def _flags(prefix: str, values: tuple[str, ...], chosen: int, rng: np.random.Generator) -> dict[str, int]:
    count = int(rng.integers(2, 4)) if rng.random() < 0.04 else 1
    return {f"{prefix}{value}": count if i == chosen else 0 for i, value in enumerate(values)}


def _bounding_box(person: int, place: int, among: int, size: tuple[int, int]) -> str:
    width, height = size
    box = {
        "x": round(width * place / among, 1),
        "y": round(height * 0.05, 1),
        "width": round(width / among, 1),
        "height": round(height * 0.9, 1),
    }
    return json.dumps(box) if person % 2 else repr(box)


def _row(person: int, filename: str, robot: Robot, box: str, rng: np.random.Generator) -> dict[str, str | int]:
    votes = skin_votes(robot.tone, rng)
    row: dict[str, str | int] = {
        "person_id": person,
        "filename": filename,
        "class1": CLASSES[robot.kind].facet,
        "bounding_box": box,
        "class2": "" if robot.second is None else CLASSES[robot.second].facet,
        "skin_tone_na": votes[10],
    }
    row |= {f"skin_tone_{tone + 1}": votes[tone] for tone in range(10)}
    row |= _flags("gender_presentation_", GENDERS, robot.badge, rng) | _flags("age_presentation_", AGES, robot.pattern, rng)
    row |= _flags("hair_color_", HAIR, HAIR.index("na"), rng) | _flags("hairtype_", HAIRTYPES, HAIRTYPES.index("na"), rng)
    row |= _flags("lighting_", LIGHTS, int(rng.choice(5, p=(0.05, 0.15, 0.7, 0.02, 0.08))), rng)
    row |= {f"has_{thing}": int(rng.random() < 0.08) for thing in THINGS}
    return row | {"visible_torso": 1, "visible_face": 1, "visible_minimal": 0}


def _persons(scene: Scene, filename: str, first: int, size: tuple[int, int], rng: np.random.Generator) -> Iterator[dict[str, str | int]]:
    for i, robot in enumerate(scene.robots):
        yield _row(first + i, filename, robot, _bounding_box(first + i, i, len(scene.robots), size), rng)


def write_facet(root: Path, rng: np.random.Generator) -> None:
    """Write the FACET-like set below `root`."""
    rows: list[dict[str, str | int]] = []
    for part in ("imgs_1", "imgs_2", "imgs_3", "annotations"):
        (root / part).mkdir(parents=True)
    for i, scene in enumerate(_scenes(rng)):
        filename, size = f"sa_{100_000 + 7 * i}.jpg", SIZES[int(rng.integers(len(SIZES)))]
        picture(scene, rng, size=size).save(root / f"imgs_{1 + i % 3}" / filename, quality=90)
        rows += _persons(scene, filename, 1 + len(rows), size, rng)
    with (root / "annotations" / "annotations.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
