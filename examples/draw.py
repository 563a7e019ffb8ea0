"""Draws the examples' images and their tables: python -m examples.draw (what it writes is committed, so nobody needs to run it).

Robots from the drawn world: abstract figures, never people. The same numpy and Pillow give the same bytes.
"""

import csv
import json
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import webdataset

from qbias.toyworld.captions import description
from qbias.toyworld.classes import BACKGROUNDS, BADGES, INDEX
from qbias.toyworld.draw import picture
from qbias.toyworld.scenes import Scene
from qbias.toyworld.worlds import random_robot

HERE = Path(__file__).resolve().parent
TRADES = ("guitarist", "drummer", "painter", "nurse", "fireman", "farmer")
PER_TRADE, HEADS = 24, 80
CASINGS = ("pale", "dark")


def jpeg(scene: Scene, rng: np.random.Generator) -> bytes:
    """A 64 x 64 picture of the scene."""
    stream = BytesIO()
    picture(scene, rng, size=(64, 64)).save(stream, "JPEG", quality=85)
    return stream.getvalue()


def robots(folder: Path, rng: np.random.Generator) -> None:
    """Images, manifest.csv (trade, badge, casing) and captions.csv (two captions an image)."""
    rows, captions = [], []
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for number in range(PER_TRADE * len(TRADES)):
        trade, casing, badge = TRADES[number % len(TRADES)], number // len(TRADES) % 2, number // (2 * len(TRADES)) % 2
        robot = replace(random_robot(INDEX[trade], rng), badge=badge, tone=1 if casing == 0 else 8)
        scene, name = Scene((robot,), int(rng.integers(len(BACKGROUNDS)))), f"{number:03d}.jpg"
        (folder / "images" / name).write_bytes(jpeg(scene, rng))
        # Every twelfth image is not annotated for its badge: an empty cell leaves it out of that attribute alone.
        rows.append({"image": name, "trade": trade, "badge": "" if number % 12 == 11 else BADGES[badge], "casing": CASINGS[casing]})
        captions += [{"image": name, "caption": description(scene, rng)} for _ in range(2)]
    for table, found in (("manifest.csv", rows), ("captions.csv", captions)):
        with (folder / table).open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, list(found[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(found)


def heads(folder: Path, rng: np.random.Generator) -> None:
    """WebDataset shards in CLIP_benchmark's layout: each sample an image and a .json with its attributes."""
    (folder / "test").mkdir(parents=True, exist_ok=True)
    for shard in range(2):
        with webdataset.TarWriter(str(folder / "test" / f"{shard}.tar"), mtime=0.0) as tar:
            for number in range(shard * HEADS // 2, (shard + 1) * HEADS // 2):
                badge, casing = number % 2, number % 3 // 2
                robot = replace(random_robot(int(rng.integers(20)), rng), badge=badge, tone=8 if casing else 1)
                scene = Scene((robot,), int(rng.integers(len(BACKGROUNDS))), portrait=True)
                attributes = json.dumps({"badge": BADGES[badge], "casing": CASINGS[casing]})
                tar.write({"__key__": f"head{number:03d}", "jpg": jpeg(scene, rng), "json": attributes.encode()})
    (folder / "test" / "nshards.txt").write_text("2\n")


if __name__ == "__main__":
    robots(HERE / "robots", np.random.default_rng(7))
    heads(HERE / "heads", np.random.default_rng(8))
