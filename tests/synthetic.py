"""Synthetic evaluations in memory: small frames, metrics drawn from a seed, no files and no model.

`synthetic_evaluations` gives a whole study; every evaluation is a frozen record, so a test changes one with `dataclasses.replace`.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from qbias.protocol import Protocol
from qbias.records import Evaluation, Outcomes

NAMES = tuple(f"toy-{size}-{world}" for world in ("balanced", "tilt-a", "tilt-b") for size in ("s16", "s8", "m8"))
QUANTIZERS = ("fp32", "bnb-int8", "bnb-nf4", "torch-int8", "ort-int8")
SPREAD = {"fp32": 0.0, "bnb-int8": 0.004, "bnb-nf4": 0.015, "torch-int8": 0.05, "ort-int8": 0.02}
MACHINE = {"cpu_capability": "AVX2", "quantized_engine": "x86", "threads": "2", "torch": "2.15.0", "numpy": "2.4.0"}
IMAGES = 40
K = 20
PAIRS = {"gender_mf": ("masc", "fem"), "skin_ld": ("lighter", "darker"), "age_my": ("middle", "young"), "age_mo": ("middle", "older")}


def synthetic_evaluations(models: int = 8, quantizers: int = 5, seed: int = 0) -> list[Evaluation]:
    """A study of `models` models in `quantizers` precisions (the first is the baseline), in the order of registration."""
    names = [NAMES[row] if row < len(NAMES) else f"toy-{row}" for row in range(models)]
    random = np.random.default_rng(seed)
    return [row for name in names for row in _versions(name, QUANTIZERS[:quantizers], random)]


def _versions(model: str, quantizers: tuple[str, ...], random: np.random.Generator) -> list[Evaluation]:
    base = _metrics(random)
    labels = random.integers(0, 4, IMAGES)
    found = []
    for number, quantizer in enumerate(quantizers, start=1):
        spread = SPREAD[quantizer]
        metrics = {name: float(np.clip(value + _shift(name, spread, random), -2, 2)) for name, value in base.items()}
        top = np.where(random.random(IMAGES) < spread * 3, (labels + 1) % 4, labels)
        _, size, source = model.split("-", 2) if model.count("-") > 1 else ("", "s8", "other")
        found.append(
            Evaluation(
                model=model, quantizer=quantizer, version=str(number), baseline_version="1", source=source, size=size,
                run_id=f"run-{model}-{number}", weights_sha256=f"{number:064x}", machine=MACHINE,
                outcomes=synthetic_outcomes(top), metrics=metrics,
            )
        )  # fmt: skip
    return found


def _shift(name: str, spread: float, random: np.random.Generator) -> float:
    drop = -spread if "accuracy" in name or "recall" in name else 0.0
    return drop + float(random.normal(0, spread)) if spread else 0.0


def _metrics(random: np.random.Generator) -> dict[str, float]:
    found = {f"imagenet/accuracy_at_{k}": value for k, value in ((1, random.uniform(0.6, 0.8)), (5, random.uniform(0.85, 0.95)))}
    for side in ("image", "text"):
        for k, low in ((1, 0.3), (5, 0.6), (10, 0.75)):
            found[f"coco/{side}_retrieval_recall_at_{k}"] = random.uniform(low, low + 0.15)
    for pair in PAIRS:
        for k in (1, 5):
            found[f"facet/{pair}/min_disparity_at_{k}"] = random.uniform(0.0, 0.03)
            found[f"facet/{pair}/max_disparity_at_{k}"] = random.uniform(0.1, 0.4)
            found[f"facet/{pair}/macro_gap_at_{k}"] = random.normal(0, 0.03)
    for attribute in ("gender", "race", "age"):
        found[f"fairface/{attribute}/min_skew_at_{K}"] = -random.uniform(0.1, 0.6)
        found[f"fairface/{attribute}/max_skew_at_{K}"] = random.uniform(0.1, 0.5)
        found[f"fairface/{attribute}/ndkl"] = random.uniform(0.01, 0.1)
    return {name: float(value) for name, value in found.items()}


def synthetic_outcomes(top_N: np.ndarray) -> dict[str, Outcomes]:
    """Outcomes of all four benchmarks on forty images; the classification ones predict `top_N`."""
    ids = [f"image-{row:03d}" for row in range(IMAGES)]
    classified = pd.DataFrame({"id": ids, "label": 0, "label2": -1, "top_1": top_N, "hit_at_1": top_N == 0, "hit_at_5": True})
    ranks = pd.DataFrame({"id": ids, "rank": 0})
    captions = pd.DataFrame({"caption": range(IMAGES), "image": ids, "rank": 0})
    pairs = [{"name": name, "column": name, "first": first, "second": second} for name, (first, second) in PAIRS.items()]
    facts: dict[str, Any] = {"classes": ["a", "b", "c", "d"], "templates": ["a photo of a {}"], "ks": [1, 5], "pairs": []}
    skew = {"attributes": {"gender": ["Male", "Female"]}, "k": K, "desired": "dataset", "prompt_set": "berg240"}
    scored = pd.DataFrame({"id": ids, "gender": "Male", "score_0": np.linspace(0, 1, IMAGES, dtype=np.float32)})
    return {
        "imagenet": _outcomes("imagenet", "classification", facts, {"images": classified}),
        "coco": _outcomes("coco", "retrieval", {"ks": [1, 5, 10]}, {"captions": captions, "images": ranks}),
        "facet": _outcomes("facet", "classification", facts | {"pairs": pairs, "min_per_group": 5}, {"images": classified.copy()}),
        "fairface": _outcomes("fairface", "skew", skew, {"images": scored, "prompts": pd.DataFrame({"prompt": [0]})}),
    }


def _outcomes(benchmark: str, kind: Any, facts: Mapping[str, Any], frames: Mapping[str, pd.DataFrame]) -> Outcomes:
    protocol = Protocol(skew_k=K)
    return Outcomes(
        benchmark, kind, facts, frames, f"digest-of-{benchmark}", f"prompts-of-{benchmark}", protocol.as_dict(), protocol.digest()
    )


def changed(evaluations: list[Evaluation], row: int, **fields: Any) -> list[Evaluation]:
    """The same evaluations with some fields of one of them replaced."""
    return [replace(found, **fields) if number == row else found for number, found in enumerate(evaluations)]


def with_outcomes(evaluation: Evaluation, benchmark: str, **fields: Any) -> Evaluation:
    """The same evaluation with some fields of one benchmark's outcomes replaced."""
    outcomes = dict(evaluation.outcomes)
    outcomes[benchmark] = replace(outcomes[benchmark], **fields)
    return replace(evaluation, outcomes=outcomes)


def without_metric(evaluation: Evaluation, *names: str) -> Evaluation:
    """The same evaluation, not measured in `names`."""
    return replace(evaluation, metrics={name: value for name, value in evaluation.metrics.items() if name not in names})
