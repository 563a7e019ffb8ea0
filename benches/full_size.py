"""Datasets, embeddings and outcomes of the full benchmarks' sizes, drawn from a seed: no files, no model.

Shapes: N images, M texts, D embedding width, P prompts.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qbias.benchmarks.content import class_texts
from qbias.outcomes import outcomes_of
from qbias.protocol import Protocol
from qbias.records import Dataset, Kind, Outcomes

WIDTH, TEMPLATES = 512, 80
FACES = {
    "gender": {"Male": 5792, "Female": 5162},
    "race": {
        "White": 2085, "Latino_Hispanic": 1623, "Black": 1556, "East Asian": 1550, "Indian": 1516, "Southeast Asian": 1415,
        "Middle Eastern": 1209,
    },
    "age": {"younger": 2736, "middle": 6983, "older": 1235},
}  # fmt: skip
"""FairFace's validation labels."""
PAIRS = (
    ("gender_mf", "gender", "masc", "fem"), ("skin_ld", "skin", "lighter", "darker"),
    ("age_my", "age", "middle", "young"), ("age_mo", "age", "middle", "older"),
)  # fmt: skip
SHARES = {
    "gender": {"masc": 0.67, "fem": 0.21, "": 0.12},
    "skin": {"lighter": 0.55, "darker": 0.25, "": 0.2},
    "age": {"young": 0.18, "middle": 0.55, "older": 0.05, "": 0.22},
}
"""About FACET's; "" is not annotated."""
Inputs = tuple[Dataset, NDArray[np.float32], NDArray[np.float32]]


def imagenet(images: int = 50_000, classes: int = 1000, templates: int = TEMPLATES) -> Inputs:
    """50,000 images of 1,000 classes, 80 templates each."""
    label = np.arange(images) * classes // images
    names = [f"class {number}" for number in range(classes)]
    texts = pd.DataFrame(class_texts(names, ["{}"] * templates))
    facts = _class_facts(names, [])
    return _dataset("imagenet", "classification", {"label": label, "label2": -1}, texts, facts), _unit(len(label)), _unit(len(texts))


def coco(images: int = 5000, captions: int = 25_010) -> Inputs:
    """5,000 images with 25,010 captions."""
    texts = pd.DataFrame({"text": "caption", "image": np.arange(captions) % images})
    return _dataset("coco", "retrieval", {"number": np.arange(images)}, texts, {"ks": [1, 5, 10]}), _unit(images), _unit(captions)


def fairface() -> Outcomes:
    """Scores of 10,954 faces with 319 prompts, under FairFace's real counts."""
    return outcomes_of(*faces(), Protocol())


def faces(images: int = 10_954, prompts: int = 319) -> Inputs:
    """Faces under FairFace's real counts; fewer are drawn from them."""
    rng = np.random.default_rng(1)
    groups = {name: rng.permutation(np.repeat(list(counts), list(counts.values())))[:images] for name, counts in FACES.items()}
    columns = {name: column.astype(object) for name, column in groups.items()}
    texts = pd.DataFrame({"text": [f"prompt {number}" for number in range(prompts)]})
    facts = {"attributes": {name: list(counts) for name, counts in FACES.items()}, "k": 1000, "desired": "dataset"}
    return _dataset("fairface", "skew", columns, texts, facts), _unit(images), _unit(prompts)


def facet() -> Outcomes:
    """21,000 persons of 52 classes, a fifth with a second class, four pairs, two ks."""
    return outcomes_of(*persons(), Protocol())


def persons(images: int = 21_000, classes: int = 52) -> Inputs:
    """Persons with about FACET's shares of groups; a fifth has a second class."""
    rng = np.random.default_rng(2)
    label = rng.integers(0, classes, images)
    columns: dict[str, Any] = {"label": label, "label2": np.where(rng.random(images) < 0.2, (label + 1) % classes, -1)}
    for name, share in SHARES.items():
        columns[name] = rng.choice(list(share), images, p=list(share.values())).astype(object)
    names = [f"class {number}" for number in range(classes)]
    pairs = [dict(zip(("name", "column", "first", "second"), pair, strict=True)) for pair in PAIRS]
    dataset = _dataset("facet", "classification", columns, pd.DataFrame(class_texts(names, ["{}"])), _class_facts(names, pairs))
    return dataset, _unit(images), _unit(classes)


def moved(inputs: Inputs, *, seed: int, by: float = 0.05) -> Inputs:
    """The same data with image embeddings that stand about this far from the first ones, as another version's do."""
    dataset, image_ND, text_MD = inputs
    noise_ND = np.random.default_rng(seed).standard_normal(image_ND.shape, dtype=np.float32)
    row_ND = image_ND + by / WIDTH**0.5 * noise_ND
    return dataset, np.asarray(row_ND / np.linalg.norm(row_ND, axis=1, keepdims=True)), text_MD


def _class_facts(names: list[str], pairs: list[dict[str, str]]) -> dict[str, Any]:
    return {"classes": names, "ks": [1, 5], "pairs": pairs, "min_per_group": 25, "sign": "absolute", "class2": "each"}


def _dataset(name: str, kind: Kind, columns: dict[str, Any], texts: pd.DataFrame, facts: dict[str, Any]) -> Dataset:
    count = len(next(iter(columns.values())))
    ids = [f"{number}.jpg" for number in range(count)]
    images = pd.DataFrame({"id": ids, "path": ids} | columns)
    return Dataset(name, kind, Path(name), images, texts, facts, "", "")


def _unit(rows: int) -> NDArray[np.float32]:
    row_ND = np.random.default_rng(rows).standard_normal((rows, WIDTH), dtype=np.float32)
    return np.asarray(row_ND / np.linalg.norm(row_ND, axis=1, keepdims=True))
