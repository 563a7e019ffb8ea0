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
from tests.synthetic import synthetic_evaluations, without_metric

EXPECTED = {
    "report.html", "report.md", "table1.csv", "table2.csv", "table1.html", "table2.html", "figure1.svg", "figure1.png", "tests.csv",
    "tests.parquet", "comparison.json", "per_model.csv", "churn.csv",
}  # fmt: skip


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    evaluations = synthetic_evaluations(4, 3)
    evaluations[1] = without_metric(evaluations[1], "facet/gender_mf/max_disparity_at_1")
    evaluations[2] = replace(evaluations[2], machine={"threads": "9"})
    return compare(evaluations)


@pytest.fixture(scope="module")
def files(comparison: Comparison, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_report(comparison, tmp_path_factory.mktemp("reports") / "new" / "report", title="Report", commands=("make demo",))


def test_every_file_is_written_and_nothing_beside(files: dict[str, Path]) -> None:
    assert set(files) == EXPECTED
    assert {path.name for path in files["report.html"].parent.iterdir()} == EXPECTED
    assert all(path.stat().st_size for path in files.values())


def test_the_same_comparison_gives_the_same_bytes(comparison: Comparison, files: dict[str, Path], tmp_path: Path) -> None:
    again = write_report(comparison, tmp_path, title="Report", commands=("make demo",))
    assert [name for name in EXPECTED if again[name].read_bytes() != files[name].read_bytes()] == []


def test_csv_and_parquet_hold_the_same_tests(comparison: Comparison, files: dict[str, Path]) -> None:
    sheet, stored = pd.read_csv(files["tests.csv"]), pd.read_parquet(files["tests.parquet"])
    assert len(sheet) == len(stored) == len(comparison.cells)
    assert sheet["p"].tolist() == pytest.approx(stored["p"].tolist(), nan_ok=True)
    assert sheet["p_holm"].isna().sum() == 1


def test_the_record_is_strict_json_with_everything(comparison: Comparison, files: dict[str, Path]) -> None:
    def refuse(value: str) -> None:
        raise AssertionError(value)

    record = json.loads(files["comparison.json"].read_text(encoding="utf-8"), parse_constant=refuse)
    assert len(record["pairs"]) == len(comparison.pairings)
    assert len(record["changes"]) == len(comparison.changes)
    assert len(record["cells"]) == len(comparison.cells)
    assert record["refusals"][0]["differences"][0][0].startswith("machine: ")
    (empty,) = [cell for cell in record["cells"] if cell["test"] is None]
    assert empty["insufficient"]["counts"] == {"pairs": 4, "pairs with both values": 3}
    tested = next(cell for cell in record["cells"] if cell["test"])
    assert set(tested["test"]["differences"]) == set(record["models"])
    assert tested["corrected"]["size"] == 44


def test_the_page_holds_the_figure_that_was_written(files: dict[str, Path]) -> None:
    drawn = re.findall(r'd="([^"]{40,})"', files["figure1.svg"].read_text())
    page = files["report.html"].read_text(encoding="utf-8")
    assert drawn
    assert all(path in page for path in drawn)


def test_no_file_claims_what_cannot_be_claimed(files: dict[str, Path]) -> None:
    for name in ("report.html", "report.md", "table1.html", "comparison.json"):
        assert not re.search(r"unbiased|debiased|fair model", files[name].read_text(encoding="utf-8"), re.IGNORECASE)


def test_a_spreadsheet_runs_nothing() -> None:
    text = csv_text(pd.DataFrame({"model": ["=1+1", "@x", "toy"], "n": [1, -2, 3]}))
    assert text == "model,n\n'=1+1,1\n'@x,-2\ntoy,3\n"


def test_an_empty_comparison_is_written_too(tmp_path: Path) -> None:
    files = write_report(compare([]), tmp_path, title="Report", commands=())
    assert pd.read_csv(files["tests.csv"]).empty
    assert set(files) == EXPECTED


def test_importing_the_report_imports_nothing_heavy() -> None:
    heavy = ("matplotlib", "statsmodels", "torch", "mlflow", "transformers", "scipy.stats")
    code = f"import sys, qbias.report, qbias.comparison; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
