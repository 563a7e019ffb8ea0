"""Outcomes: what one model did on one benchmark, made from embeddings, stored as Parquet, read back exactly. No torch, no mlflow.

Shapes: N images, M texts, D embedding width, C classes, T templates, P prompts, K top ranks.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from qbias.digests import file_digest
from qbias.metrics import both_ranks, hits, scorer, skews, top_images, top_k_indices
from qbias.protocol import Protocol
from qbias.records import Dataset, Kind, Outcomes
from qbias.store import whole_file

Rows = NDArray[np.floating]
TOP = 5
SCORED_AT_ONCE = 4096
"""Images per matrix of class scores: 32 MB at 1,000 classes. Nothing depends on it but speed."""
UNIT_TOLERANCE = 1e-3
FRAMES: dict[str, tuple[str, ...]] = {
    "classification": ("images",),
    "retrieval": ("captions", "images"),
    "skew": ("images", "prompts"),
}
RECORD = "outcomes.json"
ALTERED = "the outcomes were altered or not stored whole: evaluate the model again"


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
    image = _unit_rows(image_ND, list(dataset.images["id"]), "image")
    text = _unit_rows(text_MD, list(dataset.texts["text"]), "text")
    if image.shape[1] != text.shape[1]:
        raise ValueError(f"images have width {image.shape[1]} and texts {text.shape[1]}: both must come from the same model")
    makers = {"classification": _classification, "retrieval": _retrieval, "skew": _skew}
    return Outcomes(
        benchmark=dataset.benchmark,
        kind=dataset.kind,
        facts=dict(dataset.facts),
        frames=makers[dataset.kind](dataset, image, text),
        dataset_digest=dataset.digest,
        prompts_sha256=dataset.prompts_sha256,
        protocol=protocol.as_dict(),
        protocol_digest=protocol.digest(),
    )


def _unit_rows(row_ND: Rows, names: list[str], what: str) -> NDArray[np.float32]:
    """The rows, checked and brought to length 1 within float32."""
    row = np.asarray(row_ND, dtype=np.float32)
    if row.ndim != 2 or len(row) != len(names):
        raise ValueError(f"{what} embeddings have shape {row.shape}, expected ({len(names)}, D): one row per {what}")
    length = np.linalg.norm(row, axis=1, keepdims=True)
    bad = ~(np.abs(length[:, 0] - 1) <= UNIT_TOLERANCE)
    if bad.any():
        first = int(np.argmax(bad))
        where = f"{what} row {first} ({names[first]!r}) has length {float(length[first, 0]):.4g}"
        raise ValueError(f"{where}; {int(bad.sum())} such rows: every embedding must be finite and of length 1")
    return np.asarray(row / length, dtype=np.float32)


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


def _classification(dataset: Dataset, image_ND: NDArray[np.float32], text_MD: NDArray[np.float32]) -> dict[str, pd.DataFrame]:
    facts, images = dataset.facts, dataset.images
    class_CD = class_embeddings(text_MD, classes=len(facts["classes"]))
    scores = scorer(class_CD)
    wanted = max(TOP, *facts["ks"])
    kept = min(wanted, len(class_CD))
    top_NK = np.full((len(image_ND), wanted), -1, dtype=np.int64)
    for start in range(0, len(image_ND), SCORED_AT_ONCE):
        part = slice(start, start + SCORED_AT_ONCE)
        top_NK[part, :kept] = top_k_indices(scores(image_ND[part]), k=kept)
    columns: dict[str, Any] = {f"top_{rank + 1}": top_NK[:, rank] for rank in range(wanted)}
    for k in facts["ks"]:
        found = hits(images["label"], top_NK, k=k)
        if facts["class2"] == "either":
            found = found | hits(images["label2"], top_NK, k=k)
        columns[f"hit_at_{k}"] = found
    return {"images": images.drop(columns="path").assign(**columns)}


def _retrieval(dataset: Dataset, image_ND: NDArray[np.float32], text_MD: NDArray[np.float32]) -> dict[str, pd.DataFrame]:
    image_M, ids = dataset.texts["image"].to_numpy(), dataset.images["id"]
    rank_M, rank_N = both_ranks(text_MD, image_ND, image_M)
    captions = {"caption": np.arange(len(text_MD)), "image": ids.to_numpy()[image_M], "rank": rank_M}
    return {"captions": pd.DataFrame(captions), "images": dataset.images.drop(columns="path").assign(rank=rank_N)}


def _skew(dataset: Dataset, image_ND: NDArray[np.float32], text_MD: NDArray[np.float32]) -> dict[str, pd.DataFrame]:
    images, scores = dataset.images.drop(columns="path"), scorer(text_MD)
    # Each prompt's scores lie together, as pandas keeps columns, so the frame takes them as they are.
    score_NP = np.empty((len(text_MD), len(image_ND)), dtype=np.float32).T
    for start in range(0, len(image_ND), SCORED_AT_ONCE):
        part = slice(start, start + SCORED_AT_ONCE)
        score_NP[part] = scores(image_ND[part])
    scores = pd.DataFrame(score_NP, columns=[f"score_{prompt}" for prompt in range(len(text_MD))])
    parts = [_top_counts(dataset, score_NP, name, values) for name, values in dataset.facts["attributes"].items()]
    return {"images": pd.concat([images, scores], axis=1), "prompts": pd.concat(parts, ignore_index=True)}


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
    texts, prompts = list(dataset.texts["text"]), range(score_NP.shape[1])
    rows = [(prompt, texts[prompt], name, value, int(count[value][prompt])) for prompt in prompts for value in values]
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


def write_outcomes(outcomes: Outcomes, folder: Path) -> None:
    """Store the outcomes: one Parquet file per frame and `outcomes.json` with the rest and each file's sha256.

    Equal outcomes give equal bytes (same library versions). The record is written last: without it nothing counts as stored.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sha256 = {}
    for name, frame in outcomes.frames.items():
        file = folder / f"{name}.parquet"
        with whole_file(file) as beside:
            pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), beside, compression="zstd")
        sha256[file.name] = file_digest(file)
    record = {
        "benchmark": outcomes.benchmark,
        "kind": outcomes.kind,
        "facts": outcomes.facts,
        "dataset_digest": outcomes.dataset_digest,
        "prompts_sha256": outcomes.prompts_sha256,
        "protocol": outcomes.protocol,
        "protocol_digest": outcomes.protocol_digest,
        "sha256": sha256,
    }
    with whole_file(folder / RECORD) as beside:
        beside.write_text(json.dumps(record, indent=1, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")


def read_outcomes(folder: Path) -> Outcomes:
    """The outcomes that `write_outcomes` stored, exactly.

    Raises
    ------
    ValueError
        If a file is missing, cannot be read, or is not the one that was stored.
    """
    record = _record(folder)
    frames = {}
    for name in FRAMES[record["kind"]]:
        file = folder / f"{name}.parquet"
        if not file.is_file() or file_digest(file) != record["sha256"].get(file.name):
            raise ValueError(f"{file}: missing, or its sha256 is not the one in {RECORD}; {ALTERED}")
        # Half the time of pq.read_table, which looks for a data set of several files first.
        with pq.ParquetFile(file) as table:
            frames[name] = table.read().to_pandas()
    fields = ("benchmark", "kind", "facts", "dataset_digest", "prompts_sha256", "protocol", "protocol_digest")
    return Outcomes(frames=frames, **{name: record[name] for name in fields})


def _record(folder: Path) -> dict[str, Any]:
    file = folder / RECORD
    try:
        record = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise ValueError(f"{file}: cannot be read ({error}); {ALTERED}") from None
    texts = ("benchmark", "kind", "dataset_digest", "prompts_sha256", "protocol_digest")
    whole = (
        isinstance(record, dict)
        and all(isinstance(record.get(name), str) for name in texts)
        and all(isinstance(record.get(name), dict) for name in ("facts", "protocol", "sha256"))
        and record["kind"] in get_args(Kind)
    )
    if not whole:
        raise ValueError(f"{file}: not a record of outcomes; {ALTERED}")
    return dict(record)
