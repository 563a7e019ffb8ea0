"""Small real outcomes of two models on the same images, in memory: embeddings drawn from a seed, outcomes made by `outcomes_of`."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from qbias.benchmarks.prompts.berg2022 import CONCEPTS, TEMPLATES
from qbias.outcomes import outcomes_of
from qbias.protocol import Protocol
from qbias.records import Dataset, Evaluation, Kind, Outcomes, Pairing

WIDTH = 12
PROMPTS = tuple(template.replace("{}", concept) for template in TEMPLATES[:3] for concept in CONCEPTS[:4])
ATTRIBUTES = {"gender": ["Male", "Female"], "age": ["younger", "middle", "older"]}


def unit(row_ND: np.ndarray) -> np.ndarray:
    return (row_ND / np.linalg.norm(row_ND, axis=1, keepdims=True)).astype(np.float32)


def searched(images: int = 90, k: int = 30, noise: float = 0.0, shift: float = 0.0, seed: int = 0, **columns: Any) -> Outcomes:
    """A model's skew outcomes; `noise` is its own, `shift` moves Male images towards the prompts; all else is equal for equal `seed`s."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"id": [f"{row}" for row in range(images)], "path": ""})
    frame["gender"] = np.resize(["Male", "Male", "Female"], images)
    frame["age"] = np.resize(["younger", "middle", "middle", "older", "middle"], images)
    frame = frame.assign(**columns)
    image, text = rng.normal(size=(images, WIDTH)), rng.normal(size=(len(PROMPTS), WIDTH)) * 0.5
    text[:, 0] += 1
    image += noise * np.random.default_rng(seed + 1000).normal(size=image.shape)
    image[:, 0] += shift * (frame["gender"] == "Male")
    facts = {"attributes": ATTRIBUTES, "k": k, "desired": "dataset", "prompt_set": "file"}
    return _outcomes("search", "skew", frame, pd.DataFrame({"text": PROMPTS}), facts, unit(image), unit(text))


def classified(images: int = 300, noise: float = 0.0, class2: str = "each", floor: int = 10, seed: int = 0) -> Outcomes:
    """A model's classification outcomes over six classes; every tenth image has a second class."""
    rng = np.random.default_rng(seed)
    classes = [f"class {number}" for number in range(6)]
    label = rng.integers(6, size=images)
    frame = pd.DataFrame({"id": [f"{row}" for row in range(images)], "path": "", "label": label})
    frame["label2"] = np.where(np.arange(images) % 10 == 0, (label + 1) % 6, -1)
    frame["gender"] = rng.choice(["masc", "fem", ""], size=images, p=[0.5, 0.4, 0.1])
    for vote in ("majority", "argmax", "any"):
        frame[f"skin_{vote}"] = rng.choice(["lighter", "darker", "lighter|darker" if vote == "any" else ""], size=images, p=[0.5, 0.3, 0.2])
    pairs = [
        {"name": "gender_mf", "column": "gender", "first": "masc", "second": "fem"},
        {"name": "skin_ld", "column": "skin_majority", "first": "lighter", "second": "darker"},
    ]
    facts = {"classes": classes, "templates": ["{}"], "ks": [1, 5], "pairs": pairs, "min_per_group": floor, "sign": "absolute"}
    if class2 == "drop":
        frame = frame[frame["label2"] < 0].reset_index(drop=True)
    texts = pd.DataFrame({"text": classes, "class": range(6), "template": 0})
    text = rng.normal(size=(6, WIDTH))
    image = text[label] + 1.2 * rng.normal(size=(images, WIDTH)) + noise * np.random.default_rng(seed + 1000).normal(size=(images, WIDTH))
    image = image[frame["id"].astype(int)]
    return _outcomes("facet", "classification", frame, texts, facts | {"class2": class2}, unit(image), unit(text))


def _outcomes(name: str, kind: Kind, images: pd.DataFrame, texts: pd.DataFrame, facts: dict[str, Any], image: Any, text: Any) -> Outcomes:
    dataset = Dataset(name, kind, Path("."), images, texts, facts, f"digest of {name}", f"prompts of {name}")
    return outcomes_of(dataset, image, text, Protocol())


def evaluation(*outcomes: Outcomes, model: str = "toy", quantizer: str = "fp32") -> Evaluation:
    return Evaluation(
        model=model, quantizer=quantizer, version="1" if quantizer == "fp32" else "2", baseline_version="1", source="", size="",
        run_id=f"{model} {quantizer}", weights_sha256="", machine={}, outcomes={row.benchmark: row for row in outcomes}, metrics={},
    )  # fmt: skip


def paired(before: Outcomes, after: Outcomes, model: str = "toy", quantizer: str = "int8") -> Pairing:
    return Pairing(evaluation(before, model=model), evaluation(after, model=model, quantizer=quantizer))


def with_facts(outcomes: Outcomes, **facts: Any) -> Outcomes:
    return replace(outcomes, facts={**outcomes.facts, **facts})
