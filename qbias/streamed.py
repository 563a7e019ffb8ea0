"""From embeddings to stored outcomes and metrics, and from stored outcomes to metrics, part by part: no frame is ever whole in memory.

Shapes: N images, M texts, D embedding width.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from qbias.measurable import Measurable
from qbias.measure import measured
from qbias.metrics import scorer
from qbias.outcome_files import ALTERED, FRAMES, ROWS_A_PART, read_parts, read_record, write_outcomes, write_parts
from qbias.outcomes import checked_rows, conditions, hit_columns, outcomes_of, prompt_counts, prompt_scores, scored_images
from qbias.prepared import Prepared
from qbias.protocol import Protocol
from qbias.records import Dataset, Insufficient, Measured, Outcomes
from qbias.tally import Tally
from qbias.unit_rows import Rows

__all__ = ["measure_stored", "store_outcomes", "store_searches"]


def store_outcomes(dataset: Dataset, image_ND: Rows, text_MD: Rows, protocol: Protocol, folder: Path) -> tuple[Measurable, Outcomes | None]:
    """Store what a model with these embeddings does on `dataset`, in as little memory as its kind allows.

    Parameters
    ----------
    dataset, image_ND, text_MD, protocol : as for `outcomes_of`. folder : where the outcomes go.

    Returns
    -------
    What `measured` needs for the metrics, and the outcomes themselves; None for searches, which never stand whole in memory.

    Raises
    ------
    ValueError
        If an embedding is missing, not finite or not of length 1, naming the first.
    """
    if dataset.kind == "skew":
        return store_searches(dataset, image_ND, text_MD, protocol, folder), None
    outcomes = outcomes_of(dataset, image_ND, text_MD, protocol)
    write_outcomes(outcomes, folder)
    return Prepared(outcomes), outcomes


def store_searches(dataset: Dataset, image_ND: Rows, text_MD: Rows, protocol: Protocol, folder: Path) -> Measurable:
    """Score, store and count a skew benchmark part by part: to the byte what `write_outcomes(outcomes_of(...))` stores.

    Parameters
    ----------
    dataset : of kind `skew`. image_ND, text_MD : unit rows as for `outcomes_of`; the images' may be on disk (`numpy.memmap`).
    protocol : the parameters under which they were made. folder : where the outcomes go.

    Returns
    -------
    What `measured` needs for the metrics.

    Raises
    ------
    ValueError
        If an embedding is missing, not finite or not of length 1, naming the first.
    """
    assert dataset.kind == "skew"
    image, text = checked_rows(dataset, image_ND, text_MD)
    tally = Tally(dataset.benchmark, dataset.kind, dataset.facts, prompts=len(text))
    scores_of = scorer(text[:])

    def images() -> Iterator[pd.DataFrame]:
        for part in image.parts(rows=ROWS_A_PART):
            rows, score_NP = dataset.images.iloc[part], prompt_scores(scores_of, image, part, prompts=len(text))
            tally.add_scores(rows, score_NP, first=part.start)
            yield scored_images(rows, score_NP)

    def prompts() -> Iterator[pd.DataFrame]:
        none = np.zeros(len(text), dtype=np.int64)
        parts = []
        for name, values in tally.attributes.items():
            count = tally.searches[name].top_counts()
            parts.append(prompt_counts(dataset, name, {value: count.get(value, none) for value in values}))
        yield pd.concat(parts, ignore_index=True)

    write_parts(conditions(dataset, protocol), {"images": images(), "prompts": prompts()}, folder)
    return tally


def measure_stored(folder: Path, *, ks: Sequence[int] = (), k: int | None = None) -> tuple[list[Measured], list[Insufficient]]:
    """Every metric of stored outcomes, read part by part; for other ranks too, without a model or embeddings.

    Parameters
    ----------
    folder : where `write_outcomes` stored them.
    ks : ranks in place of the stored facts' (classification: up to the number of classes kept for each image; retrieval: any).
    k : size of the top list in place of the stored one (skew).

    Returns
    -------
    What `measure` gives for the whole outcomes, or would give had they been made with these ranks.

    Raises
    ------
    ValueError
        If a file is missing or altered, or the outcomes cannot say what these ranks give.
    """
    record = read_record(folder)
    facts = record["facts"] | _ranks(folder, record, ks, k)
    scores = len(_columns(folder, "score_")) if record["kind"] == "skew" else 0
    tally = Tally(record["benchmark"], record["kind"], facts, prompts=scores)
    for frame in FRAMES[record["kind"]]:
        first = 0
        for rows in read_parts(folder, record, frame):
            tally.add(frame, _with_hits(rows, facts) if record["kind"] == "classification" else rows, first=first)
            first += len(rows)
    return measured(tally, record["kind"])


def _ranks(folder: Path, record: Mapping[str, Any], ks: Sequence[int], k: int | None) -> dict[str, Any]:
    """The facts that other ranks replace."""
    kind = record["kind"]
    if (ks and kind == "skew") or (k is not None and kind != "skew"):
        given = f"k={k}" if k is not None else f"ks={list(ks)}"
        raise ValueError(f"{given} for outcomes of kind {kind}: skew takes k, classification and retrieval take ks")
    if low := [rank for rank in (*ks, *(() if k is None else (k,))) if rank < 1]:
        raise ValueError(f"rank {low[0]}: ranks start at 1")
    if ks and kind == "classification" and max(ks) > (kept := len(_columns(folder, "top_"))):
        raise ValueError(f"k={max(ks)}, but the outcomes hold the best {kept} classes of each image: evaluate again (images stay embedded)")
    return ({"ks": list(ks)} if ks else {}) | ({} if k is None else {"k": k})


def _columns(folder: Path, prefix: str) -> list[str]:
    """The numbered columns of the stored images, such as `score_0`."""
    try:
        names = pq.read_schema(folder / "images.parquet").names
    except (OSError, pa.ArrowInvalid) as error:
        raise ValueError(f"{folder / 'images.parquet'}: cannot be read ({error}); {ALTERED}") from None
    return [name for name in names if name.removeprefix(prefix).isdecimal()]


def _with_hits(rows: pd.DataFrame, facts: Mapping[str, Any]) -> pd.DataFrame:
    """The images with a column of hits for each of the facts' ks."""
    if not (missing := [k for k in facts["ks"] if f"hit_at_{k}" not in rows]):
        return rows
    top_NK = rows[[f"top_{rank}" for rank in range(1, max(missing) + 1)]].to_numpy()
    found = hit_columns(rows, top_NK, {**facts, "ks": missing})
    return rows.assign(**{f"hit_at_{k}": hit for k, hit in found.items()})
