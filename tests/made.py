"""Datasets and embeddings drawn from a seed, for tests of what comes after the encoder: no files, no model."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from qbias.benchmarks.content import class_texts
from qbias.outcomes import outcomes_of
from qbias.protocol import Protocol
from qbias.records import Dataset, Kind, Outcomes

WIDTH = 16
PAIRS = [
    {"name": "gender_mf", "column": "gender", "first": "masc", "second": "fem"},
    {"name": "skin_ld", "column": "skin", "first": "lighter", "second": "darker"},
]


def unit(rng: np.random.Generator, rows: int) -> np.ndarray:
    row_ND = rng.standard_normal((rows, WIDTH))
    return (row_ND / np.linalg.norm(row_ND, axis=1, keepdims=True)).astype(np.float32)


def classification(seed: int = 0, *, images: int = 400, classes: int = 8, **facts: Any) -> tuple[Dataset, np.ndarray, np.ndarray]:
    """Images near their class, some with a second class, groups with blanks and one joined cell."""
    rng = np.random.default_rng(seed)
    text_MD = unit(rng, classes * 2)
    label = rng.integers(0, classes, images)
    image_ND = unit(rng, images) * 5 + text_MD[2 * label] + text_MD[2 * label + 1]
    second = np.where(rng.random(images) < 0.3, (label + 1) % classes, -1)
    rows = {
        "id": [f"image-{number}" for number in range(images)],
        "path": [f"{number}.jpg" for number in range(images)],
        "label": label,
        "label2": second,
        "gender": rng.choice(["masc", "fem", ""], images, p=[0.5, 0.4, 0.1]).astype(object),
        "skin": rng.choice(["lighter", "darker", "lighter|darker"], images, p=[0.5, 0.4, 0.1]).astype(object),
    }
    names = [f"class {number}" for number in range(classes)]
    known = {
        "classes": names,
        "templates": ["a {}", "the {}"],
        "ks": [1, 5],
        "pairs": PAIRS,
        "min_per_group": 5,
        "sign": "absolute",
        "class2": "each",
    }
    texts = pd.DataFrame(class_texts(names, known["templates"]))  # type: ignore[arg-type]
    dataset = Dataset("facet", "classification", Path("facet"), pd.DataFrame(rows), texts, known | facts, "d" * 64, "p" * 64)
    return dataset, image_ND / np.linalg.norm(image_ND, axis=1, keepdims=True), text_MD


def retrieval(seed: int = 0, *, images: int = 40, **facts: Any) -> tuple[Dataset, np.ndarray, np.ndarray]:
    """Images with one to four captions, near them."""
    rng = np.random.default_rng(seed)
    image_ND, image_M = unit(rng, images), np.repeat(np.arange(images), rng.integers(1, 5, images))
    text_MD = image_ND[image_M] + 1.3 * unit(rng, len(image_M))
    rows = {"id": [f"image-{number}" for number in range(images)], "path": [f"{number}.jpg" for number in range(images)]}
    texts = {"text": [f"caption {number}" for number in range(len(image_M))], "image": image_M}
    known = {"ks": [1, 5, 10]}
    dataset = Dataset("coco", "retrieval", Path("coco"), pd.DataFrame(rows), pd.DataFrame(texts), known | facts, "d" * 64, "p" * 64)
    return dataset, image_ND, text_MD / np.linalg.norm(text_MD, axis=1, keepdims=True)


def skew(seed: int = 0, *, images: int = 300, prompts: int = 9, **facts: Any) -> tuple[Dataset, np.ndarray, np.ndarray]:
    """Faces of uneven groups, one of them rare; `mood` is missing on some."""
    rng = np.random.default_rng(seed)
    rows = {
        "id": [f"image-{number}" for number in range(images)],
        "path": [f"{number}.jpg" for number in range(images)],
        "gender": rng.choice(["Male", "Female"], images, p=[0.6, 0.4]).astype(object),
        "race": rng.choice(["White", "East Asian", "Latino_Hispanic"], images, p=[0.68, 0.3, 0.02]).astype(object),
        "mood": rng.choice(["calm", "lively", ""], images).astype(object),
    }
    known = {
        "attributes": {"gender": ["Male", "Female"], "race": ["White", "East Asian", "Latino_Hispanic"], "mood": ["calm", "lively"]},
        "k": 30, "desired": "dataset", "prompt_set": "file", "prompts_reconstructed": False,
    }  # fmt: skip
    texts = pd.DataFrame({"text": [f"prompt {number}" for number in range(prompts)]})
    dataset = Dataset("fairface", "skew", Path("fairface"), pd.DataFrame(rows), texts, known | facts, "d" * 64, "p" * 64)
    return dataset, unit(rng, images), unit(rng, prompts)


MAKERS = {"classification": classification, "retrieval": retrieval, "skew": skew}
KINDS: tuple[Kind, ...] = ("classification", "retrieval", "skew")


def made_outcomes(kind: str, seed: int = 0, **facts: Any) -> Outcomes:
    return outcomes_of(*MAKERS[kind](seed, **facts), Protocol())


def shuffled(dataset: Dataset, image_ND: np.ndarray, seed: int = 5) -> tuple[Dataset, np.ndarray]:
    """The same images in another order."""
    order = np.random.default_rng(seed).permutation(len(image_ND))
    texts = dataset.texts
    if dataset.kind == "retrieval":
        texts = texts.assign(image=np.argsort(order)[texts["image"]])
    return replace(dataset, images=dataset.images.iloc[order].reset_index(drop=True), texts=texts), image_ND[order]
