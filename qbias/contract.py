"""Any MLflow model that keeps the contract can be evaluated: predict(DataFrame with `image` or `text`) -> (N, D) unit rows.

Ours hand out their Encoder, which is the fast way; this is the way for all others. Shapes: N rows, D embedding width.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from qbias.benchmarks.content import canonical_order
from qbias.decode import Advance
from qbias.embed import batches, each_once
from qbias.encoder import Rows
from qbias.passes import PASSES

Predict = Callable[[pd.DataFrame], Any]
TOLERANCE = 1e-3
"""Largest distance of a row's length from 1: far above float16 rounding of a normalised row, far below any row that is not one."""


def checked_rows(answer: Any, *, names: Sequence[str], column: str) -> Rows:
    """What `predict` answered, as (N, D) float32 rows of length 1.

    Raises
    ------
    ValueError
        Naming the first offending row: not numeric, wrong number of rows, not two-dimensional, NaN or infinite, not of length 1.
    """
    try:
        row_ND = np.asarray(answer, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the model's answer to column {column!r} is no array of numbers ({error}); {CONTRACT}") from None
    if row_ND.ndim != 2 or len(row_ND) != len(names):
        raise ValueError(f"the model answered column {column!r} with shape {row_ND.shape} for {len(names)} rows; {CONTRACT}")
    for what, bad_N in (
        ("holds NaN or infinity", ~np.isfinite(row_ND).all(axis=1)),
        ("is not of length 1", np.abs(np.linalg.norm(row_ND, axis=1) - 1) > TOLERANCE),
    ):
        if bad_N.any():
            row = int(np.argmax(bad_N))
            length = float(np.linalg.norm(row_ND[row]))
            raise ValueError(
                f"the model's row {row} ({column} {names[row]!r}) {what} (length {length:.4g}); {int(bad_N.sum())} such rows; {CONTRACT}"
            )
    return row_ND


CONTRACT = "expected: predict(DataFrame with a column 'image' or 'text') -> float array (N, D), every row of length 1"


def predict_images(predict: Predict, paths: Sequence[Path], ids: Sequence[str], *, batch_size: int, advance: Advance) -> Rows:
    """(N, D) unit rows in the order of `ids`; the model gets the files' bytes in canonical batches."""
    pieces: dict[int, Rows] = {}
    order = canonical_order(ids)
    for some in batches(len(ids), batch_size):
        rows = order[some]
        frame = pd.DataFrame({"image": [paths[row].read_bytes() for row in rows]})
        PASSES.add("images", len(rows))
        found = checked_rows(predict(frame), names=[ids[row] for row in rows], column="image")
        pieces.update(zip(map(int, rows), found, strict=True))
        advance(len(rows))
    return np.stack([pieces[row] for row in range(len(ids))])


def predict_texts(predict: Predict, texts: Sequence[str], *, batch_size: int) -> Rows:
    """(M, D) unit rows; each distinct text is asked for once, in batches in the order of the list."""

    def embed(distinct: Sequence[str]) -> Rows:
        parts = [list(distinct[some]) for some in batches(len(distinct), batch_size)]
        for part in parts:
            PASSES.add("texts", len(part))
        return np.concatenate([checked_rows(predict(pd.DataFrame({"text": part})), names=part, column="text") for part in parts])

    return each_once(texts, embed)
