"""Tables 1 and 2 in the paper's layout, colours by p; texts of numbers."""

import pytest

from qbias.comparison import Cell, Comparison, compare
from qbias.records import Insufficient
from qbias.report.labels import change_text, interval_text, metric_label, p_text, percent_text, points_text, short
from qbias.report.tables import (
    cell_texts,
    significance,
    table1,
    table2,
    table_frame,
)
from qbias.significance import PairedTest, paired_t
from tests.synthetic import synthetic_evaluations

SIDES = {"a": 0.1, "b": 0.2, "c": 0.3}


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return compare(synthetic_evaluations())


def test_table_1_has_the_papers_layout(comparison: Comparison) -> None:
    table = table1(comparison)
    assert table.statistics == ("Min Disp@1", "Max Disp@1", "Min Disp@5", "Max Disp@5")
    assert [row.demographic for row in table.rows[:4]] == ["Gender (MF)", "Skin Tone (LD)", "Age (MY)", "Age (MO)"]
    assert [row.label for row in table.rows if row.span] == [
        "HuggingFace 8-bit",
        "HuggingFace 4-bit",
        "PyTorch 8-bit",
        "ONNX Runtime 8-bit",
    ]
    assert [row.span for row in table.rows] == [4, 0, 0, 0] * 4
    metrics = [cell.metric for cell in table.rows[1].cells]
    assert metrics == [f"facet/skin_ld/{name}_disparity_at_{k}" for k in (1, 5) for name in ("min", "max")]


def test_table_2_has_the_papers_layout(comparison: Comparison) -> None:
    table = table2(comparison)
    assert table.statistics == ("MinSkew@20", "MaxSkew@20")
    assert [(row.demographic, row.span) for row in table.rows[:4]] == [("Gender", 3), ("Race", 0), ("Age", 0), ("Gender", 3)]
    assert [cell.quantizer for row in table.rows for cell in row.cells] == [name for name in comparison.quantizers for _ in range(6)]


def test_both_tables_hold_every_declared_cell_once(comparison: Comparison) -> None:
    cells = [cell for table in (table1(comparison), table2(comparison)) for row in table.rows for cell in row.cells]
    assert len(cells) == len({(cell.quantizer, cell.metric) for cell in cells}) == 88


def test_a_table_is_empty_where_its_benchmark_was_not_measured() -> None:
    assert table1(compare([])).rows == ()
    assert table_frame(table2(compare([]))).empty


def test_the_csv_holds_each_cells_numbers(comparison: Comparison) -> None:
    frame, table = table_frame(table1(comparison)), table1(comparison)
    assert len(frame) == 16
    row = frame[(frame["quantizer"] == "torch-int8") & (frame["demographic"] == "Age (MY)")].iloc[0]
    test = table.rows[10].cells[3].result
    assert isinstance(test, PairedTest)
    assert [row[f"Max Disp@5 {name}"] for name in ("n", "p", "ci_low", "ci_high")] == [8, test.p, test.ci_low, test.ci_high]


@pytest.mark.parametrize(("p", "level"), [(0.049, "95"), (0.05, "90"), (0.099, "90"), (0.1, ""), (0.7, "")])
def test_colours_follow_p(p: float, level: str) -> None:
    test = paired_t(SIDES, {"a": 0.2, "b": 0.1, "c": 0.4}, name="x")
    assert isinstance(test, PairedTest)
    changed = PairedTest(**{**vars(test), "p": p})
    assert significance(Cell("q", "facet/m", "other metrics", changed)) == level


def test_a_cell_without_a_test_has_no_colour_and_no_numbers() -> None:
    cell = Cell("q", "facet/m", "other metrics", Insufficient("x", "why", {}))
    assert significance(cell) == ""
    assert cell_texts(cell) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (short(-0.0004), ".000"),
        (short(0.9996), "1.000"),
        (short(-1.25), "−1.250"),
        (p_text(0.0004), "<.001"),
        (p_text(0.99951), ">.999"),
        (change_text(0.0004), ".000"),
        (change_text(0.01), "+.010"),
        (change_text(-0.01), "−.010"),
        (points_text(-0.0004), "0.0"),
        (points_text(0.0149), "+1.5"),
        (percent_text(0.0001), "<0.1 %"),
        (percent_text(0.0), "0.0 %"),
        (interval_text(0.0002, 0.05), ".000, .050"),
        (interval_text(-1e-9, 0.5), "−.000, .500"),
        (metric_label("mine/some_metric_at_3"), "mine some metric@3"),
        (metric_label("fairface/age/ndkl"), "FairFace Age NDKL"),
        (metric_label("facet/age/worst_group_accuracy_at_5"), "FACET Age worst-group accuracy@5"),
        (
            metric_label("facet/gender-and-skin_majority/worst_group_accuracy_at_1"),
            "FACET Gender & Skin Tone (majority of votes) worst-group accuracy@1",
        ),
        (metric_label("my-set/hair_length/min_signed_disparity_at_1"), "my-set hair length min signed disparity@1"),
    ],
)
def test_numbers_and_names_read_as_meant(text: str, expected: str) -> None:
    assert text == expected
