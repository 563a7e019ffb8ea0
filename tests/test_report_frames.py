"""The rows for CSV and Parquet: every cell with its corrections and companions, every part of the evidence whole."""

import json

import pandas as pd
import pytest
from statsmodels.stats.multitest import multipletests

from qbias.comparison import Comparison, compare
from qbias.report.frames import evidence_frames, frame_of_tests, per_model_frame
from qbias.significance.records import Evidence
from tests.evidence_records import evidence_of, without_statistics
from tests.synthetic import synthetic_evaluations, without_metric


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return compare(synthetic_evaluations(4, 3))


@pytest.fixture(scope="module")
def evidence(comparison: Comparison) -> Evidence:
    return evidence_of(comparison)


def test_every_cell_is_a_row_with_its_corrections(comparison: Comparison, evidence: Evidence) -> None:
    frame = frame_of_tests(comparison, evidence)
    assert len(frame) == len(evidence.cells)
    for role, rows in frame.groupby("role"):
        made = rows[rows["p"].notna()]
        assert set(made["family_size"]) == {len(rows)}, role
        for column, method in (("p_holm", "holm"), ("p_bh", "fdr_bh")):
            p_values = rows["p"].fillna(1.0)
            expected = pd.Series(multipletests(p_values, method=method)[1], index=rows.index)[made.index]
            assert made[column].tolist() == pytest.approx(expected.tolist())
    differences = json.loads(frame["differences"][0])
    assert sum(differences.values()) / len(differences) == pytest.approx(frame["mean_difference"][0])
    assert frame["in_tables"].sum() == 44


def test_a_row_holds_what_stands_beside_the_test(comparison: Comparison, evidence: Evidence) -> None:
    cell = evidence.cells[0]
    row = frame_of_tests(comparison, evidence).iloc[0]
    assert cell.companions
    assert cell.equivalence
    assert cell.power
    assert cell.heterogeneity
    assert cell.simultaneous
    for name, value in {
        "verdict": cell.verdict.name, "margin": cell.margin, "noise": cell.noise, "sign_flip_p": cell.companions.sign_flip_p,
        "smallest_sign_flip_p": 0.125, "up": cell.companions.up, "p_tost": cell.equivalence.p, "tost_low": cell.equivalence.low,
        "smallest_detectable": cell.power.smallest_detectable, "models_needed": cell.power.models_needed, "q": 7.5, "q_df": 3, "q_p": 0.38,
        "i_squared": cell.heterogeneity.i_squared, "simultaneous_low": cell.simultaneous[0], "pooled_low": cell.heterogeneity.low,
        "without_a_source_low": min(cell.left_out[0].mean_difference, cell.left_out[1].mean_difference),
        "without_a_size_high": cell.left_out[2].mean_difference,
    }.items():  # fmt: skip
        assert row[name] == value, name
    assert [entry["value"] for entry in json.loads(row["left_out"])] == ["balanced", "tilt-a", "s8"]


def test_a_cell_without_a_test_keeps_its_row() -> None:
    metric = "facet/gender_mf/max_disparity_at_1"
    evaluations = synthetic_evaluations(4, 2)
    evaluations[1] = without_metric(evaluations[1], metric)
    comparison = compare(evaluations)
    frame = frame_of_tests(comparison, evidence_of(comparison)).set_index("metric")
    assert frame.loc[metric, "insufficient"] == "measured on one side only for toy-s16-balanced"
    assert json.loads(str(frame.loc[metric, "counts"])) == {"pairs": 4, "pairs with both values": 3}
    assert frame.loc[metric, ["p", "p_holm", "p_tost", "d_z", "equivalent"]].isna().all()
    assert frame.loc[metric, "verdict"] == "insufficient"


def test_each_part_of_the_evidence_is_whole(evidence: Evidence) -> None:
    frames = evidence_frames(evidence)
    for name in ("changes", "mcnemar", "churn", "swaps", "nulls", "sensitivity"):
        assert len(frames[name]) == len(getattr(evidence, name)) > 0, name
    assert len(frames["bands"]) == sum(len(band.entries) for band in evidence.bands)
    band, row = evidence.bands[0], frames["bands"].iloc[0]
    assert (row["slice"], row["name"], row["high"], row["critical"]) == (band.slice_, band.entries[0].name, band.entries[0].high, 3.1)
    assert frames["sensitivity"]["changed"].tolist() == [entry.changed for entry in evidence.sensitivity]
    arm = evidence.noise[0]
    noise = frames["noise"].set_index(["arm", "metric"])["largest"]
    assert noise[arm.arm, "churn"] == arm.churn
    assert len(noise) == sum(len(arm.change_by_metric) + 1 for arm in evidence.noise)


def test_nothing_computed_gives_headers_alone(comparison: Comparison) -> None:
    frames = evidence_frames(without_statistics())
    assert all(frame.empty and len(frame.columns) for frame in frames.values())
    assert frame_of_tests(comparison, without_statistics()).empty


def test_changes_of_every_model_hold_every_row(comparison: Comparison) -> None:
    frame = per_model_frame(comparison)
    assert len(frame) == len(comparison.changes)
    assert (frame["candidate"] - frame["baseline"]).tolist() == pytest.approx(frame["difference"].tolist())
