"""The drawn world on disk, in the exact formats of ImageNet folders, Karpathy COCO, FACET and FairFace.

Abstract robots only, never people: the shape of a badge stands in for perceived gender presentation, the lightness of the
casing for skin tone, its hue for FairFace's race, and the pattern on it (stickers, dents, rust) for age. Nothing here
depicts, or says anything about, a human group; the marks give annotated attributes something to be seen by.
"""

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np

from qbias.digests import folder_digests, mapping_digest
from qbias.toyworld.captions import description
from qbias.toyworld.classes import BACKGROUNDS, CLASSES, RACES
from qbias.toyworld.draw import picture
from qbias.toyworld.facet import write_facet
from qbias.toyworld.scenes import Scene
from qbias.toyworld.worlds import random_robot

GENERATOR = 3  # raise it with any change of what is drawn or written
RECORD = "world.json"
IMAGENET_PER_CLASS = 42
COCO_IMAGES, COCO_OTHERS, COCO_CAPTIONS = 500, 60, 5
FAIRFACE_IMAGES = 2_000
SIZES = ((64, 64), (64, 64), (84, 64), (64, 84), (72, 72))
# FairFace's own shares (protocol.md 7): values in the order of the drawn marks, then images of 10,954.
RACE_COUNTS = (2085, 1623, 1556, 1550, 1516, 1415, 1209)
AGE_COUNTS = {
    "0-2": 199,
    "3-9": 1356,
    "10-19": 1181,
    "20-29": 3300,
    "30-39": 2330,
    "40-49": 1353,
    "50-59": 796,
    "60-69": 321,
    "more than 70": 118,
}
AGE_PATTERN = (0, 0, 0, 1, 1, 1, 2, 2, 2)


def _size(rng: np.random.Generator) -> tuple[int, int]:
    return SIZES[int(rng.integers(len(SIZES)))]


def write_imagenet(root: Path, rng: np.random.Generator) -> None:
    """Write `val/<wnid>/*.JPEG` below `root`: one robot with its tool per image."""
    order = rng.permutation(IMAGENET_PER_CLASS * len(CLASSES)) + 1
    for i, number in enumerate(order):
        kind = i % len(CLASSES)
        folder = root / "val" / CLASSES[kind].wnid
        folder.mkdir(parents=True, exist_ok=True)
        scene = Scene((random_robot(kind, rng),), int(rng.integers(len(BACKGROUNDS))))
        image = picture(scene, rng, size=_size(rng))
        image.save(folder / f"ILSVRC2012_val_{number:08d}.JPEG", "JPEG", quality=90)


def _coco_scene(rng: np.random.Generator) -> Scene:
    robots = tuple(random_robot(int(rng.integers(len(CLASSES))), rng) for _ in range(1 + int(rng.random() < 0.4)))
    return Scene(robots, int(rng.integers(len(BACKGROUNDS))))


def _coco_row(number: int, split: str, scene: Scene, rng: np.random.Generator) -> dict[str, object]:
    """One entry of Karpathy's file; image ids grow with the row, as do sentence ids."""
    ids = list(range(number * COCO_CAPTIONS, (number + 1) * COCO_CAPTIONS))
    folder = "train2014" if split == "train" else "val2014"
    texts = [description(scene, rng) for _ in ids]
    sentences = [
        {"raw": text.capitalize() + ".", "tokens": text.split(), "imgid": number, "sentid": i} for i, text in zip(ids, texts, strict=True)
    ]
    cocoid = 1000 + 13 * number
    return {
        "filepath": folder,
        "filename": f"COCO_{folder}_{cocoid:012d}.jpg",
        "imgid": number,
        "cocoid": cocoid,
        "split": split,
        "sentids": ids,
        "sentences": sentences,
    }


def write_coco(root: Path, rng: np.random.Generator) -> None:
    """Write `dataset_coco.json` and the images of its test split; train and restval rows have no image here."""
    splits = rng.permutation(["test"] * COCO_IMAGES + ["train", "restval"] * (COCO_OTHERS // 2)).tolist()
    (root / "val2014").mkdir(parents=True)
    rows = []
    for number, split in enumerate(splits):
        scene = _coco_scene(rng)
        row = _coco_row(number, split, scene, rng)
        if split == "test":
            picture(scene, rng, size=_size(rng)).save(root / "val2014" / str(row["filename"]), quality=90)
        rows.append(row)
    (root / "dataset_coco.json").write_text(json.dumps({"images": rows, "dataset": "coco"}))


def _spread(counts: tuple[int, ...], total: int, rng: np.random.Generator) -> list[int]:
    """Indices 0, 1, ... in the shares of `counts`, `total` of them, shuffled; every index is there."""
    edges = np.cumsum(counts) / sum(counts)
    return [int(i) for i in rng.permutation(np.searchsorted(edges, (np.arange(total) + 0.5) / total))]


def write_fairface(root: Path, rng: np.random.Generator) -> None:
    """Write `fairface_label_val.csv` and `val/<n>.jpg`: heads whose marks are independent of each other."""
    ages = list(AGE_COUNTS)
    races = _spread(RACE_COUNTS, FAIRFACE_IMAGES, rng)
    bins = _spread(tuple(AGE_COUNTS.values()), FAIRFACE_IMAGES, rng)
    badges = _spread((5792, 5162), FAIRFACE_IMAGES, rng)
    (root / "val").mkdir(parents=True)
    with (root / "fairface_label_val.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "age", "gender", "race", "service_test"))
        for i, (race, age, badge) in enumerate(zip(races, bins, badges, strict=True), start=1):
            plain = random_robot(int(rng.integers(len(CLASSES))), rng)
            robot = type(plain)(plain.kind, badge, plain.tone, race, AGE_PATTERN[age], plain.expression)
            scene = Scene((robot,), int(rng.integers(len(BACKGROUNDS))), portrait=True)
            picture(scene, rng, size=_size(rng)).save(root / "val" / f"{i}.jpg", quality=90)
            writer.writerow((f"val/{i}.jpg", ages[age], ("Male", "Female")[badge], RACES[race], bool(rng.random() < 0.5)))


WRITERS = {"imagenet": write_imagenet, "coco": write_coco, "facet": write_facet, "fairface": write_fairface}


def _is_finished(root: Path, seed: int) -> bool:
    """Whether `root` holds this seed's finished world; refuses a folder that is no world of ours."""
    if not root.exists() or not any(root.iterdir()):
        return False
    if not (root / RECORD).exists():
        raise ValueError(f"{root} is not empty and holds no {RECORD}: name an empty or new folder for the drawn world")
    record = json.loads((root / RECORD).read_text())
    return bool(record["seed"] == seed and record["generator"] == GENERATOR)


def write_world(root: Path, *, seed: int = 0) -> None:
    """Draw the evaluation world below `root`, unless it is there already.

    Folders `imagenet`, `coco`, `facet` and `fairface` in their real layouts, and `world.json` (seed, generator version,
    sha256 over all files). The same seed gives the same bytes with the same numpy and Pillow. Everything is written beside
    `root` and renamed, so `root` is either whole or absent; a world of another seed or version is replaced.

    Parameters
    ----------
    root : Path
        The folder to write; absent, empty, or an earlier world.
    seed : int
        Start of every random number; each benchmark has its own stream.

    Raises
    ------
    ValueError
        If `root` holds files that are no drawn world.
    """
    if _is_finished(root, seed):
        return
    beside = root.parent / f".{root.name}.{os.getpid()}.part"
    shutil.rmtree(beside, ignore_errors=True)
    try:
        for stream, (name, write) in enumerate(WRITERS.items()):
            write(beside / name, np.random.default_rng([seed, stream]))
        digest = mapping_digest(folder_digests(beside))
        (beside / RECORD).write_text(json.dumps({"seed": seed, "generator": GENERATOR, "digest": digest}, indent=2) + "\n")
        if root.exists():
            shutil.rmtree(root)
        beside.rename(root)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
