"""The whole report as one JSON record: what was compared and refused, every piece of evidence, data and machine."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from qbias.comparison import Comparison
from qbias.records import Evaluation, Insufficient
from qbias.report.cells import of_role, verdict_counts
from qbias.report.datasets import dataset_rows, evaluations_of
from qbias.report.inflation import inflation_of
from qbias.report.published import Beside
from qbias.report.summary import Unusable
from qbias.significance.records import CellEvidence, Evidence


def as_record(
    comparison: Comparison,
    evidence: Evidence,
    *,
    problems: Sequence[Unusable] = (),
    published: Sequence[Beside] = (),
) -> dict[str, Any]:
    """Everything that the report says: the plan, pairs, evidence, data and machines, as mappings and lists of records for `json_text`."""
    return {
        "plan": evidence.plan,
        "models": list(comparison.models),
        "quantizers": list(comparison.quantizers),
        "pairs": [
            {"model": row.candidate.model, "baseline": _version(row.baseline), "candidate": _version(row.candidate)}
            for row in comparison.pairings
        ],
        "refusals": list(comparison.refusals),
        "unusable": [{name: getattr(row, name) for name in ("model", "version", "run_id", "reason")} for row in problems],
        "verdicts": {role: verdict_counts(of_role(evidence, role)) for role in ("primary", "secondary")},
        "cells": [_cell(cell) for cell in evidence.cells],
        "changes": [{**vars(row), "difference": row.difference} for row in comparison.changes],
        "image_changes": list(evidence.changes),
        **{name: list(getattr(evidence, name)) for name in ("mcnemar", "churn", "bands", "swaps", "nulls", "noise")},
        "sensitivity": [{**vars(row), "changed": row.changed} for row in evidence.sensitivity],
        "notes": list(evidence.notes),
        "inflation": inflation_of(evidence),
        "published": list(published),
        "datasets": [{**row, "models": list(row["models"]), "facts": dict(row["facts"])} for row in dataset_rows(comparison)],
        "machines": {row.run_id: dict(row.machine) for row in evaluations_of(comparison)},
    }


def _cell(cell: CellEvidence) -> dict[str, Any]:
    short = isinstance(cell.test, Insufficient)
    return {**vars(cell), "test": None if short else cell.test, "insufficient": cell.test if short else None}


def _version(evaluation: Evaluation) -> dict[str, str]:
    names = ("quantizer", "version", "run_id", "weights_sha256", "source", "size")
    return {name: getattr(evaluation, name) for name in names}


def json_text(record: Mapping[str, Any]) -> str:
    """Strict JSON with one entry of each list to a line: quick to write, and a diff shows what changed."""
    return "{\n" + ",\n".join(f"{_compact(name)}: {_lines(value)}" for name, value in record.items()) + "\n}\n"


def _lines(value: Any) -> str:
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(_indented(value)) + "\n]"
    return _compact(value)


def _indented(values: Iterable[Any]) -> Iterator[str]:
    return (f" {_compact(value)}" for value in values)


def _compact(value: Any) -> str:
    return json.dumps(value, allow_nan=False, ensure_ascii=False, default=_mapping)


def _mapping(record: Any) -> dict[str, Any]:
    """A record's fields, or a mapping of another kind, as the encoder wants them."""
    return dict(record) if isinstance(record, Mapping) else dict(vars(record))
