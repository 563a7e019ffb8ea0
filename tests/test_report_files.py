"""write_report: every file is there, says the same as the comparison, comes out the same each time, and quickly."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from qbias.comparison import Comparison, compare
from qbias.report import write_report
from qbias.report.files import csv_text
from tests.evidence_records import evidence_of
from tests.synthetic import synthetic_evaluations, without_metric

EXPECTED = {
    "report.html", "report.md", "comparison.json", "tests.csv", "tests.parquet", "per_model.csv", "changes.csv", "mcnemar.csv", "churn.csv",
    "swaps.csv", "nulls.csv", "sensitivity.csv", "bands.csv", "noise.csv", "table1.csv", "table2.csv", "table1.html", "table2.html",
    "table1.tex", "table2.tex", "figure1.svg", "figure1.png",
}  # fmt: skip
DRAWN = {"forest.svg", "slopes.svg", "heatmap.svg", "bands.svg", "inflation.svg"}


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    evaluations = synthetic_evaluations(4, 3)
    evaluations[1] = without_metric(evaluations[1], "facet/gender_mf/max_disparity_at_1")
    evaluations[2] = replace(evaluations[2], machine={"threads": "9"})
    return compare(evaluations)


@pytest.fixture(scope="module")
def files(comparison: Comparison, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("reports") / "new" / "report"
    return written(comparison, folder)


def written(comparison: Comparison, folder: Path) -> dict[str, Path]:
    return write_report(comparison, folder, evidence=evidence_of(comparison), title="Report", commands=("make demo",))


def test_every_file_is_written_and_nothing_beside(files: dict[str, Path]) -> None:
    assert set(files) == EXPECTED | DRAWN
    assert {path.name for path in files["report.html"].parent.iterdir()} == EXPECTED | DRAWN
    assert all(path.stat().st_size for path in files.values())


def test_the_same_comparison_gives_the_same_bytes(comparison: Comparison, files: dict[str, Path], tmp_path: Path) -> None:
    again = written(comparison, tmp_path)
    assert [name for name in files if again[name].read_bytes() != files[name].read_bytes()] == []


def test_csv_and_parquet_hold_the_same_tests(comparison: Comparison, files: dict[str, Path]) -> None:
    sheet, stored = pd.read_csv(files["tests.csv"]), pd.read_parquet(files["tests.parquet"])
    assert len(sheet) == len(stored) == len(evidence_of(comparison).cells) > len(comparison.cells)
    assert sheet["p"].tolist() == pytest.approx(stored["p"].tolist(), nan_ok=True)
    assert sheet["p_holm"].isna().sum() == 3


def test_the_record_is_strict_json_with_everything(comparison: Comparison, files: dict[str, Path]) -> None:
    def refuse(value: str) -> None:
        raise AssertionError(value)

    record = json.loads(files["comparison.json"].read_text(encoding="utf-8"), parse_constant=refuse)
    evidence = evidence_of(comparison)
    assert len(record["pairs"]) == len(comparison.pairings)
    assert record["refusals"][0]["differences"][0][0].startswith("machine: ")
    for name in ("cells", "mcnemar", "churn", "bands", "swaps", "nulls", "noise", "sensitivity", "notes"):
        assert len(record[name]) == len(getattr(evidence, name)) > 0, name
    assert len(record["image_changes"]) == len(evidence.changes)
    assert len(record["changes"]) == len(comparison.changes)
    assert record["plan"]["endpoints"][0] == vars(evidence.plan.endpoints[0])
    empty = next(cell for cell in record["cells"] if cell["metric"] == "facet/gender_mf/max_disparity_at_1" and not cell["test"])
    assert empty["insufficient"]["counts"] == {"pairs": 4, "pairs with both values": 3}
    tested = next(cell for cell in record["cells"] if cell["test"])
    assert set(tested["test"]["differences"]) == set(record["models"])
    assert tested["corrected"]["size"] == sum(cell.role == "secondary" for cell in evidence.cells)
    assert tested["heterogeneity"]["covariance_MM"][0][0] > 0
    assert sum(record["verdicts"]["primary"].values()) == sum(cell.role == "primary" for cell in evidence.cells)


def test_the_page_holds_the_figure_that_was_written(files: dict[str, Path]) -> None:
    page = files["report.html"].read_text(encoding="utf-8")
    for name in ("figure1.svg", *DRAWN):
        drawn = re.findall(r'd="([^"]{40,})"', files[name].read_text())
        assert drawn, name
        assert all(path in page for path in drawn), name


def test_no_file_claims_what_cannot_be_claimed(files: dict[str, Path]) -> None:
    for name in ("report.html", "report.md", "table1.html", "comparison.json"):
        assert not re.search(r"unbiased|debiased|fair model", files[name].read_text(encoding="utf-8"), re.IGNORECASE)


def test_a_spreadsheet_runs_nothing() -> None:
    text = csv_text(pd.DataFrame({"model": ["=1+1", "@x", "toy"], "n": [1, -2, 3]}))
    assert text == "model,n\n'=1+1,1\n'@x,-2\ntoy,3\n"


def test_an_empty_comparison_is_written_too(tmp_path: Path) -> None:
    (tmp_path / "forest.svg").write_text("of an older report")
    files = written(compare([]), tmp_path)
    assert pd.read_csv(files["tests.csv"]).empty
    assert set(files) == EXPECTED
    assert {path.name for path in tmp_path.iterdir()} == EXPECTED, "a figure without data leaves no older one standing"


def test_importing_the_report_imports_nothing_heavy() -> None:
    heavy = ("matplotlib", "statsmodels", "torch", "mlflow", "transformers", "scipy.stats")
    code = f"import sys, qbias.report, qbias.comparison; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
