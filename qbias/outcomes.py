"""Outcomes: what one model did on one benchmark, made from embeddings, stored as Parquet, read back exactly. No torch, no mlflow.

Shapes: N images, M texts, D embedding width, C classes, T templates, P prompts, K top ranks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qbias.metrics import Scorer, both_ranks, hits, scorer, skews, top_images, top_k_indices
from qbias.outcome_files import RECORD, read_outcomes, write_outcomes
from qbias.protocol import Protocol
from qbias.records import Dataset, Outcomes
from qbias.unit_rows import Rows, UnitRows

TOP = 5


def outcomes_of(dataset: Dataset, image_ND: Rows, text_MD: Rows, protocol: Protocol) -> Outcomes:
    """What a model with these embeddings does on `dataset`.

    Parameters
    ----------
    dataset : as its loader gave it.
    image_ND, text_MD : unit rows, in the order of `dataset.images` and `dataset.texts`.
    protocol : the parameters under which dataset and embeddings were made.

    Returns
    -------
    Outcomes (frames by kind: see records.py).

    Raises
    ------
    ValueError
        If an embedding is missing, not finite or not of length 1, naming the first.
    """
    image, text = checked_rows(dataset, image_ND, text_MD)
    makers = {"classification": _classification, "retrieval": _retrieval, "skew": _skew}
    return Outcomes(frames=makers[dataset.kind](dataset, image, text), **conditions(dataset, protocol))


def conditions(dataset: Dataset, protocol: Protocol) -> dict[str, Any]:
    """What outcomes say beside their frames."""
    return {
        "benchmark": dataset.benchmark,
        "kind": dataset.kind,
        "facts": dict(dataset.facts),
        "dataset_digest": dataset.digest,
        "prompts_sha256": dataset.prompts_sha256,
        "protocol": protocol.as_dict(),
        "protocol_digest": protocol.digest(),
    }


def checked_rows(dataset: Dataset, image_ND: Rows, text_MD: Rows) -> tuple[UnitRows, UnitRows]:
    """The embeddings of images and texts, after a look at every row.

    Raises
    ------
    ValueError
        If an embedding is missing, not finite or not of length 1, naming the first, or the widths differ.
    """
    image = UnitRows(np.asanyarray(image_ND), list(dataset.images["id"]), "image")
    text = UnitRows(np.asanyarray(text_MD), list(dataset.texts["text"]), "text")
    if image.width != text.width:
        raise ValueError(f"images have width {image.width} and texts {text.width}: both must come from the same model")
    return image, text


def class_embeddings(text_MD: Rows, *, classes: int) -> NDArray[np.float32]:
    """One unit row per class: the mean of its templates' unit rows, brought back to length 1.

    Parameters
    ----------
    text_MD : (C * T, D) unit rows, row = class * T + template.
    classes : C.

    Returns
    -------
    (C, D) unit rows.

    Raises
    ------
    ValueError
        If a class's templates cancel out.
    """
    text = np.asarray(text_MD, dtype=np.float32)
    mean_CD = text.reshape(classes, -1, text.shape[1]).mean(axis=1)
    length = np.linalg.norm(mean_CD, axis=1, keepdims=True)
    if not (length > 0).all():
        first = int(np.argmin(length[:, 0]))
        raise ValueError(f"the template embeddings of class {first} cancel out: no class embedding can be made of them")
    return np.asarray(mean_CD / length, dtype=np.float32)


def _classification(dataset: Dataset, image: UnitRows, text: UnitRows) -> dict[str, pd.DataFrame]:
    facts, images = dataset.facts, dataset.images
    class_CD = class_embeddings(text[:], classes=len(facts["classes"]))
    scores = scorer(class_CD)
    wanted = max(TOP, *facts["ks"])
    kept = min(wanted, len(class_CD))
    top_NK = np.full((len(image), wanted), -1, dtype=np.int64)
    for part in image.parts():
        top_NK[part, :kept] = top_k_indices(scores(image[part]), k=kept)
    columns: dict[str, Any] = {f"top_{rank + 1}": top_NK[:, rank] for rank in range(wanted)}
    columns |= {f"hit_at_{k}": found for k, found in hit_columns(images, top_NK, facts).items()}
    return {"images": images.drop(columns="path").assign(**columns)}


def hit_columns(images: pd.DataFrame, top_NK: NDArray[np.int64], facts: Mapping[str, Any]) -> dict[int, NDArray[np.bool_]]:
    """Which images are hits at each of the facts' ks, by the protocol's rule for second classes.

    Parameters
    ----------
    images : with `label` and `label2`. top_NK : (N, K) best classes of each. facts : `ks`, none above K, and `class2`.

    Returns
    -------
    (N,) booleans by k.
    """
    found = {k: hits(images["label"], top_NK, k=k) for k in facts["ks"]}
    if facts["class2"] == "either":
        found = {k: hit | hits(images["label2"], top_NK, k=k) for k, hit in found.items()}
    return found


def _retrieval(dataset: Dataset, image: UnitRows, text: UnitRows) -> dict[str, pd.DataFrame]:
    image_M, ids = dataset.texts["image"].to_numpy(), dataset.images["id"]
    rank_M, rank_N = both_ranks(text[:], image[:], image_M)
    captions = {"caption": np.arange(len(text)), "image": ids.to_numpy()[image_M], "rank": rank_M}
    return {"captions": pd.DataFrame(captions), "images": dataset.images.drop(columns="path").assign(rank=rank_N)}


def _skew(dataset: Dataset, image: UnitRows, text: UnitRows) -> dict[str, pd.DataFrame]:
    score_NP = prompt_scores(scorer(text[:]), image, slice(0, len(image)), prompts=len(text))
    parts = [_top_counts(dataset, score_NP, name, values) for name, values in dataset.facts["attributes"].items()]
    return {"images": scored_images(dataset.images, score_NP), "prompts": pd.concat(parts, ignore_index=True)}


def prompt_scores(scores_of: Scorer, image: UnitRows, part: slice, *, prompts: int) -> NDArray[np.float32]:
    """Scores of a part of the images with P prompts, prompt by prompt in memory, as a frame keeps its columns."""
    score_NP = np.empty((prompts, part.stop - part.start), dtype=np.float32).T
    for some in image.parts(part):
        score_NP[some.start - part.start : some.stop - part.start] = scores_of(image[some])
    return score_NP


def scored_images(images: pd.DataFrame, score_NP: NDArray[np.float32]) -> pd.DataFrame:
    """The `images` frame of skew outcomes, or of a part of them: a column of scores for each prompt."""
    scores = pd.DataFrame(score_NP, columns=[f"score_{prompt}" for prompt in range(score_NP.shape[1])], index=images.index)
    return pd.concat([images.drop(columns="path"), scores], axis=1)


def _top_counts(dataset: Dataset, score_NP: NDArray[np.float32], name: str, values: list[str]) -> pd.DataFrame:
    """Images of each value among the top k of each prompt, counted among the images that have the attribute."""
    group_N = dataset.images[name].to_numpy(dtype=object)
    annotated = group_N != ""
    count = {value: np.zeros(score_NP.shape[1], dtype=np.int64) for value in values}
    if annotated.any():
        score = score_NP[annotated]
        k = min(int(dataset.facts["k"]), len(score))
        found = skews(group_N[annotated], score, k=k, top_PK=top_images(score, k=k))
        count |= dict(zip(found.groups, found.count_PG.T, strict=True))
    return prompt_counts(dataset, name, {value: count[value] for value in values})


def prompt_counts(dataset: Dataset, attribute: str, count: Mapping[str, NDArray[np.int64]]) -> pd.DataFrame:
    """The rows of the `prompts` frame that belong to one attribute: (P,) images in the top k by value."""
    rows = [
        (prompt, text, attribute, value, int(count[value][prompt])) for prompt, text in enumerate(dataset.texts["text"]) for value in count
    ]
    return pd.DataFrame(rows, columns=["prompt", "text", "attribute", "value", "count"])


@dataclass(frozen=True)
class Positives:
    """The (image, class) pairs that recall is counted over: row of the image, class, and the hit at each k."""

    row_N: NDArray[np.int64]
    label_N: NDArray[np.int64]
    hit_N: Mapping[int, NDArray[np.bool_]]


def positives(outcomes: Outcomes) -> Positives:
    """What counts as a positive, by the protocol's rule for second classes.

    `each`: every labelled class of an image is a positive of its own, found if that class is in the top k. `either`: one positive per
    image, under its first class, found if either class is. `drop`: images with a second class are not in the data.
    """
    images, ks = outcomes.frames["images"], outcomes.facts["ks"]
    label, row = images["label"].to_numpy(dtype=np.int64), np.arange(len(images))
    hit = {k: images[f"hit_at_{k}"].to_numpy(dtype=bool) for k in ks}
    second = images["label2"].to_numpy(dtype=np.int64)
    if outcomes.facts["class2"] != "each" or not (also := second >= 0).any():
        return Positives(row, label, hit)
    top_NK = images[[f"top_{rank}" for rank in range(1, max(ks) + 1)]].to_numpy()[also]
    both = {k: np.concatenate([hit[k], hits(second[also], top_NK, k=k)]) for k in ks}
    return Positives(np.concatenate([row, row[also]]), np.concatenate([label, second[also]]), both)


__all__ = ["RECORD", "Positives", "class_embeddings", "outcomes_of", "positives", "read_outcomes", "write_outcomes"]
