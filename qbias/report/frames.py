"""The evidence as rows for CSV and Parquet: every cell with all its numbers, every change, band entry, null, churn and sensitivity."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

import pandas as pd

from qbias.comparison import TABLES, Comparison
from qbias.records import Insufficient
from qbias.report.cells import left_out_ranges
from qbias.significance import first_step
from qbias.significance.records import (
    Band,
    CellEvidence,
    Evidence,
    ExtremeNull,
    GroupChurn,
    ImageChange,
    McNemar,
    Sensitivity,
    SwapTest,
)

IDENTITY = ("quantizer", "metric", "benchmark", "role", "in_tables", "harm", "verdict", "shifted", "reason", "member")
TEST = ("n", "mean_difference", "ci_low", "ci_high", "confidence", "spread", "t", "df", "p")
CORRECTION = ("p_holm", "p_bh", "family", "family_size", "holm_needs_p", "holm_needs_t", "simultaneous_low", "simultaneous_high")
MARGINS = ("margin", "margin_why", "p_tost", "tost_low", "tost_high", "equivalent", "smallest_margin", "non_inferior")
COMPANIONS = ("d_z", "sign_flip_p", "smallest_sign_flip_p", "sign_flip_method", "draws", "seed", "wilcoxon_p", "up", "down", "unchanged")
POWER = ("power", "smallest_detectable", "smallest_detectable_corrected", "models_needed")
MODELS = ("mean_correlation", "q", "q_df", "q_p", "i_squared", "pooled", "pooled_low", "pooled_high")
RANGES = ("without_a_source_low", "without_a_source_high", "without_a_size_low", "without_a_size_high", "left_out")
INPUTS = ("noise", "baseline", "candidate", "differences", "insufficient", "counts")
TEST_COLUMNS = (*IDENTITY, *TEST, *CORRECTION, *MARGINS, *COMPANIONS, *POWER, *MODELS, *RANGES, *INPUTS)
WHOLE = ("n", "df", "family_size", "draws", "seed", "up", "down", "unchanged", "models_needed", "q_df")
YES_NO = ("equivalent", "non_inferior")


def frame_of_tests(comparison: Comparison, evidence: Evidence) -> pd.DataFrame:
    """Every cell as one row with all its numbers; its inputs as JSON by model; or why there is no test.

    `holm_needs_p` and `holm_needs_t` say what the smallest p-value of the family has to reach for Holm to reject at the plan's alpha.
    """
    tables = {cell.metric for cell in comparison.cells if cell.family == TABLES}
    rows = [_test_row(cell, in_tables=cell.metric in tables, alpha=evidence.plan.alpha) for cell in evidence.cells]
    frame = pd.DataFrame(rows, columns=list(TEST_COLUMNS))
    return frame.astype({**dict.fromkeys(WHOLE, "Int64"), **dict.fromkeys(YES_NO, "boolean")})


def _test_row(cell: CellEvidence, *, in_tables: bool, alpha: float) -> dict[str, Any]:
    row: dict[str, Any] = {
        "quantizer": cell.quantizer, "metric": cell.metric, "benchmark": cell.metric.partition("/")[0], "role": cell.role,
        "in_tables": in_tables, "harm": cell.harm, "verdict": cell.verdict.name, "shifted": cell.verdict.shifted,
        "reason": cell.verdict.reason, "member": cell.member, "margin": cell.margin, "margin_why": cell.margin_why, "noise": cell.noise,
    }  # fmt: skip
    if isinstance(cell.test, Insufficient):
        return {**row, "insufficient": cell.test.reason, "counts": json.dumps(dict(cell.test.counts))}
    inputs = {name: json.dumps(dict(getattr(cell.test, name))) for name in ("baseline", "candidate", "differences")}
    return {**row, **_picked(cell.test, TEST), **inputs, **_correction(cell, alpha), **_companions(cell), **_models(cell)}


def _picked(record: object, names: Iterable[str]) -> dict[str, Any]:
    return {name: getattr(record, name) for name in names} if record is not None else {}


def _correction(cell: CellEvidence, alpha: float) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if cell.simultaneous:
        found |= {"simultaneous_low": cell.simultaneous[0], "simultaneous_high": cell.simultaneous[1]}
    if (correction := cell.corrected) and not isinstance(cell.test, Insufficient):
        step = first_step(correction.size, df=cell.test.df, alpha=alpha)
        found |= {"p_holm": correction.holm, "p_bh": correction.bh, "family": correction.family, "family_size": correction.size}
        found |= {"holm_needs_p": step.p, "holm_needs_t": step.t}
    return found


def _companions(cell: CellEvidence) -> dict[str, Any]:
    found = {**_picked(cell.companions, COMPANIONS), **_picked(cell.power, POWER)}
    if equal := cell.equivalence:
        found |= {"p_tost": equal.p, "tost_low": equal.low, "tost_high": equal.high}
        found |= _picked(equal, ("equivalent", "smallest_margin", "non_inferior"))
    return found


def _models(cell: CellEvidence) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if rows := cell.heterogeneity:
        found |= _picked(rows, ("mean_correlation", "q", "i_squared", "pooled"))
        found |= {"q_df": rows.df, "q_p": rows.p, "pooled_low": rows.low, "pooled_high": rows.high}
    for label, (low, high) in left_out_ranges(cell).items():
        found |= {f"without_a_{label}_low": low, f"without_a_{label}_high": high}
    if cell.left_out:
        found["left_out"] = json.dumps([vars(row) for row in cell.left_out])
    return found


def _frame(rows: Iterable[object], kind: type) -> pd.DataFrame:
    """Records of one kind, a column per field."""
    names = [field.name for field in fields(kind)]
    return pd.DataFrame([[getattr(row, name) for name in names] for row in rows], columns=names)


def evidence_frames(evidence: Evidence) -> Mapping[str, pd.DataFrame]:
    """The other parts of the evidence by the name of their file."""
    frames = {
        "changes": _frame(evidence.changes, ImageChange),
        "mcnemar": _frame(evidence.mcnemar, McNemar),
        "churn": _frame(evidence.churn, GroupChurn),
        "swaps": _frame(evidence.swaps, SwapTest),
        "nulls": _frame(evidence.nulls, ExtremeNull),
        "sensitivity": _frame(evidence.sensitivity, Sensitivity),
        "bands": _bands(evidence.bands),
        "noise": _noise(evidence),
    }
    frames["sensitivity"]["changed"] = [row.changed for row in evidence.sensitivity]
    frames["changes"] = frames["changes"].astype({"seed": "Int64"})
    return frames


def _bands(bands: Iterable[Band]) -> pd.DataFrame:
    """A row per entry of each band."""
    shared = ("model", "quantizer", "benchmark", "slice_", "subject", "k")
    own, last = ("name", "difference", "low", "high", "n_first", "n_second"), ("confidence", "critical", "draws", "seed")
    rows = [
        [*(getattr(band, name) for name in shared), *(getattr(entry, name) for name in own), *(getattr(band, name) for name in last)]
        for band in bands
        for entry in band.entries
    ]
    return pd.DataFrame(rows, columns=[*shared, *own, *last]).rename(columns={"slice_": "slice"})


def _noise(evidence: Evidence) -> pd.DataFrame:
    """A row per arm and metric, and one for the arm's churn."""
    rows = []
    for arm in evidence.noise:
        values = {"churn": arm.churn, **arm.change_by_metric}
        rows += [[arm.arm, len(arm.models), metric, value] for metric, value in values.items()]
    return pd.DataFrame(rows, columns=["arm", "models", "metric", "largest"])


def per_model_frame(comparison: Comparison) -> pd.DataFrame:
    """Every metric of every pair: baseline, candidate and difference; missing where a side did not measure it."""
    columns = ["model", "quantizer", "metric", "baseline", "candidate", "difference"]
    rows = [[getattr(change, column) for column in columns] for change in comparison.changes]
    return pd.DataFrame(rows, columns=columns)
