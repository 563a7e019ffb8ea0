"""Outcomes on disk: one Parquet file per frame, written and read whole or part by part, and a record with each file's sha256."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from qbias.digests import file_digest
from qbias.records import Kind, Outcomes
from qbias.store import whole_file

FRAMES: dict[str, tuple[str, ...]] = {
    "classification": ("images",),
    "retrieval": ("captions", "images"),
    "skew": ("images", "prompts"),
}
RECORD = "outcomes.json"
ALTERED = "the outcomes were altered or not stored whole: evaluate the model again"
ROWS_A_PART = 16_384
"""Rows written and read together: 21 MB of scores at 319 prompts. A file's bytes depend on it."""
FIELDS = ("benchmark", "kind", "facts", "dataset_digest", "prompts_sha256", "protocol", "protocol_digest")
"""What a record says beside the files' sha256: all of Outcomes but the frames."""


def write_outcomes(outcomes: Outcomes, folder: Path) -> None:
    """Store the outcomes: one Parquet file per frame and `outcomes.json` with the rest and each file's sha256.

    Equal outcomes give equal bytes (same library versions). The record is written last: without it nothing counts as stored.
    """
    frames = {name: _parts(frame) for name, frame in outcomes.frames.items()}
    write_parts({name: getattr(outcomes, name) for name in FIELDS}, frames, folder)


def _parts(frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    return (frame.iloc[start : start + ROWS_A_PART] for start in range(0, max(len(frame), 1), ROWS_A_PART))


def write_parts(record: Mapping[str, Any], frames: Mapping[str, Iterable[pd.DataFrame]], folder: Path) -> None:
    """Store outcomes whose frames come in parts, one frame after the other; the bytes are those of `write_outcomes`.

    Parameters
    ----------
    record : FIELDS and their values.
    frames : by name, parts of ROWS_A_PART rows (the last one may be shorter), at least one, in order.
    folder : made where it is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sha256 = {}
    for name, parts in frames.items():
        file = folder / f"{name}.parquet"
        with whole_file(file) as beside:
            _write_table(parts, beside)
        sha256[file.name] = file_digest(file)
    with whole_file(folder / RECORD) as beside:
        text = json.dumps({**record, "sha256": sha256}, indent=1, allow_nan=False, ensure_ascii=False)
        beside.write_text(text + "\n", encoding="utf-8")


def _write_table(parts: Iterable[pd.DataFrame], file: Path) -> None:
    writer = None
    try:
        for part in parts:
            table = pa.Table.from_pandas(part, preserve_index=False)
            writer = writer or pq.ParquetWriter(file, table.schema, compression="zstd")
            writer.write_table(table, row_group_size=ROWS_A_PART)
    finally:
        if writer is not None:
            writer.close()


def read_outcomes(folder: Path) -> Outcomes:
    """The outcomes that `write_outcomes` stored, exactly.

    Raises
    ------
    ValueError
        If a file is missing, cannot be read, or is not the one that was stored.
    """
    record = read_record(folder)
    frames = {}
    for name in FRAMES[record["kind"]]:
        # Half the time of pq.read_table, which looks for a data set of several files first.
        with pq.ParquetFile(_checked(folder, record, name)) as table:
            frames[name] = table.read().to_pandas()
    return Outcomes(frames=frames, **{name: record[name] for name in FIELDS})


def read_parts(folder: Path, record: Mapping[str, Any], frame: str) -> Iterator[pd.DataFrame]:
    """The rows of one stored frame, at most ROWS_A_PART at a time, in order.

    Parameters
    ----------
    folder : where `write_outcomes` stored them. record : its record. frame : one of FRAMES of its kind.

    Raises
    ------
    ValueError
        If the file is missing or is not the one that was stored.
    """
    with pq.ParquetFile(_checked(folder, record, frame)) as table:
        for batch in table.iter_batches(batch_size=ROWS_A_PART):
            yield batch.to_pandas()


def _checked(folder: Path, record: Mapping[str, Any], frame: str) -> Path:
    """The frame's file, after a look at all its bytes."""
    file = folder / f"{frame}.parquet"
    if not file.is_file() or file_digest(file) != record["sha256"].get(file.name):
        raise ValueError(f"{file}: missing, or its sha256 is not the one in {RECORD}; {ALTERED}")
    return file


def read_record(folder: Path) -> dict[str, Any]:
    """What stands in `outcomes.json`: FIELDS, and `sha256` of each file.

    Raises
    ------
    ValueError
        If it is missing, cannot be read, or is no such record.
    """
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
