"""The frozen records that travel between the parts; no arithmetic, no files, no torch, no mlflow.

catalogue -> quantizer -> version -> **Dataset** -> **Outcomes** -> **Measured** -> pairs -> tests -> report -> gate -> alias
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd

Kind = Literal["classification", "retrieval", "skew"]
Harm = Literal["higher", "lower", "none"]
"""Which direction of change hurts: `higher` (a gap), `lower` (an accuracy), `none` (a shift is neither better nor worse)."""


@dataclass(frozen=True)
class Pair:
    """Two groups of one attribute whose recalls are compared: disparity = recall(first) - recall(second)."""

    name: str
    column: str
    first: str
    second: str


@dataclass(frozen=True)
class Dataset:
    """One benchmark's images and texts, read from disk and checked; nothing is decoded yet.

    Attributes
    ----------
    benchmark : the row's name, which is also the prefix of its metric names.
    kind : which measurement it takes.
    root : the dataset's folder; `images["path"]` is relative to it, in POSIX form.
    images : one row per image, in the dataset's own order. Columns `id` (unique str) and `path`; classification adds
        `label` (int index into `facts["classes"]`), `label2` (int, -1 where there is none) and group columns (str, "" where
        the attribute is not annotated); skew adds its group columns.
    texts : one row per text, in canonical order. Column `text`; classification adds `class` and `template` (ints,
        row = class * templates + template); retrieval adds `image` (row number of the right image).
    facts : JSON values that the measurement needs. classification: `classes`, `templates`, `ks`, `pairs` (list of
        Pair as dicts), `min_per_group`, `sign`, `class2`, `groups` (attributes, where there are more than the pairs have). retrieval: `ks`.
        skew: `attributes` (name -> list of values), `k`, `desired`, `prompt_set`. Any: `skipped_images` (how many were left out because
        they cannot be decoded), `definition` (all that a YAML file says and that can change a number).
    digest : sha256 over rows and the bytes of every image file (not of the texts).
    prompts_sha256 : sha256 of the text list.
    images_digest : sha256 over ids and the bytes of every image file alone: what pixels and image embeddings depend on.
    """

    benchmark: str
    kind: Kind
    root: Path
    images: pd.DataFrame
    texts: pd.DataFrame
    facts: Mapping[str, Any]
    digest: str
    prompts_sha256: str
    images_digest: str = ""


@dataclass(frozen=True)
class Outcomes:
    """What one model did on one benchmark: all that metrics, tests and report need, and no model.

    `frames` by kind (columns beyond these are the dataset's group columns):

    - classification: `images`: id, label, label2, groups, `top_1` ... `top_5` (class indices, best first; -1 where there are
      fewer classes), `hit_at_1`, `hit_at_5` (bool, by the protocol's rule for second labels).
    - retrieval: `captions`: text row number `caption`, `image` (id of the right image), `rank` (int, 0 is best) of the right image among
      all images; `images`: id, `rank` of the best-placed right caption among all captions.
    - skew: `images`: id, groups, `score_0` ... `score_<P-1>` (float32 cosine with each prompt); `prompts`: `prompt` (number), `text`,
      `attribute`, `value`, `count` (images of that value in the top k).
    """

    benchmark: str
    kind: Kind
    facts: Mapping[str, Any]
    frames: Mapping[str, pd.DataFrame]
    dataset_digest: str
    prompts_sha256: str
    protocol: Mapping[str, Any]
    protocol_digest: str


@dataclass(frozen=True)
class Measured:
    """One metric of one model: its logged name, its value (always finite) and the counts behind it."""

    name: str
    value: float
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Insufficient:
    """A metric that could not be computed, why, and which counts fell short. Never written as a number."""

    name: str
    reason: str
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    """One finished evaluation run of one model version, as the comparison needs it.

    Attributes
    ----------
    model : registered model name. quantizer : row of QUANTIZERS (`fp32` is the baseline). version : registry version.
    source, size : training data and architecture size of the model (for leave-one-out and for reading tables).
    run_id : the evaluation run. baseline_version : the version this one is to be paired with (its own for a baseline).
    machine : CPU capability, quantized engine, threads and library versions under which the outcomes were made.
    outcomes : by benchmark name. metrics : by logged name.
    """

    model: str
    quantizer: str
    version: str
    baseline_version: str
    source: str
    size: str
    run_id: str
    weights_sha256: str
    machine: Mapping[str, str]
    outcomes: Mapping[str, Outcomes]
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Pairing:
    """A candidate beside its own baseline: same images, prompts and protocol (checked before this is made)."""

    baseline: Evaluation
    candidate: Evaluation


@dataclass(frozen=True)
class Refusal:
    """A candidate that could not be paired, and every fact in which the two sides differ: (fact, baseline, candidate)."""

    model: str
    quantizer: str
    version: str
    differences: tuple[tuple[str, str, str], ...]
