"""Every file of the report, each written whole. The same comparison gives the same bytes."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from qbias.comparison import Comparison
from qbias.records import Evaluation, Insufficient
from qbias.report.datasets import dataset_rows, evaluations_of
from qbias.report.figures import save_figure1
from qbias.report.page import report_page, table_page
from qbias.report.summary import Unusable, summary_markdown
from qbias.report.tables import churn_frame, corrections_of, frame_of_tests, per_model_frame, table1, table2, table_frame
from qbias.store import whole_file


def write_report(
    comparison: Comparison, folder: Path, *, title: str, commands: Sequence[str], problems: Sequence[Unusable] = ()
) -> dict[str, Path]:
    """Write the report of `comparison` into `folder`, which is made where it is missing; files of these names are replaced.

    Parameters
    ----------
    comparison : what compare() gave; with nothing in it the page says what was refused.
    folder : where the files go.
    title : heading of the page.
    commands : how to reproduce the comparison, one shell command each.
    problems : versions that had no usable evaluation.

    Returns
    -------
    Path of each file by its name.
    """
    paths = {name: folder / name for name in FILES}
    save_figure1(comparison, paths["figure1.svg"], paths["figure1.png"])
    first, second, tests = table1(comparison), table2(comparison), frame_of_tests(comparison)
    figure = paths["figure1.svg"].read_text(encoding="utf-8")
    page = report_page(comparison, title=title, commands=commands, figure_svg=figure, problems=problems)
    record = as_record(comparison, problems=problems)
    texts: dict[str, str] = {
        "report.html": page,
        "report.md": summary_markdown(comparison, problems=problems),
        "table1.html": table_page(first),
        "table2.html": table_page(second),
        "table1.csv": csv_text(table_frame(first)),
        "table2.csv": csv_text(table_frame(second)),
        "tests.csv": csv_text(tests),
        "per_model.csv": csv_text(per_model_frame(comparison)),
        "churn.csv": csv_text(churn_frame(comparison)),
        "comparison.json": json.dumps(record, indent=1, allow_nan=False, ensure_ascii=False) + "\n",
    }
    for name, text in texts.items():
        _write(paths[name], lambda beside, text=text: beside.write_bytes(text.encode()))  # type: ignore[misc]
    _write(paths["tests.parquet"], lambda beside: tests.to_parquet(beside, index=False))
    return paths


FILES = (
    "report.html", "report.md", "table1.html", "table2.html", "table1.csv", "table2.csv", "tests.csv", "tests.parquet",
    "per_model.csv", "churn.csv", "figure1.svg", "figure1.png", "comparison.json",
)  # fmt: skip


def _write(path: Path, fill: Callable[[Path], object]) -> None:
    with whole_file(path) as beside:
        fill(beside)


def csv_text(frame: pd.DataFrame) -> str:
    """CSV with full precision and the same line ends everywhere; a text that a spreadsheet would take for a formula is quoted by '."""
    safe = frame.copy()
    for column in safe.select_dtypes("object"):
        safe[column] = [f"'{value}" if isinstance(value, str) and value[:1] in "=+@\t" and value else value for value in safe[column]]
    return str(safe.to_csv(index=False, lineterminator="\n"))


def as_record(comparison: Comparison, *, problems: Sequence[Unusable] = ()) -> dict[str, Any]:
    """The comparison as JSON values: what was paired and refused, every test with its inputs, every change, churn, digests, machine."""
    corrections = corrections_of(comparison)
    return {
        "models": list(comparison.models),
        "quantizers": list(comparison.quantizers),
        "pairs": [
            {"model": row.candidate.model, "baseline": _version(row.baseline), "candidate": _version(row.candidate)}
            for row in comparison.pairings
        ],
        "refusals": [{**vars(row), "differences": [list(entry) for entry in row.differences]} for row in comparison.refusals],
        "unusable": [{name: getattr(row, name) for name in ("model", "version", "run_id", "reason")} for row in problems],
        "cells": [
            {
                "quantizer": cell.quantizer,
                "metric": cell.metric,
                "family": cell.family,
                "test": None if isinstance(cell.result, Insufficient) else dict(vars(cell.result)),
                "corrected": vars(corrections[cell.result.name]) if cell.result.name in corrections else None,
                "insufficient": _insufficient(cell.result) if isinstance(cell.result, Insufficient) else None,
            }
            for cell in comparison.cells
        ],
        "changes": [{**vars(row), "difference": row.difference} for row in comparison.changes],
        "churn": [{**vars(row), "share": row.share} for row in comparison.churn],
        "datasets": [{**row, "models": list(row["models"]), "facts": dict(row["facts"])} for row in dataset_rows(comparison)],
        "machines": {row.run_id: dict(row.machine) for row in evaluations_of(comparison)},
    }


def _version(evaluation: Evaluation) -> dict[str, str]:
    names = ("quantizer", "version", "run_id", "weights_sha256", "source", "size")
    return {name: getattr(evaluation, name) for name in names}


def _insufficient(found: Insufficient) -> dict[str, Any]:
    return {"reason": found.reason, "counts": dict(found.counts)}
