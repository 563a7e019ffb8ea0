"""The LaTeX tables: the paper's layout, shades by p, everything from the data escaped; empty ones are a comment."""

import re
from dataclasses import replace

import pytest

from qbias.comparison import compare
from qbias.report.latex import latex_table, latex_text
from qbias.report.tables import cell_texts, table1, table2
from tests.synthetic import synthetic_evaluations, without_metric


def test_a_table_has_a_line_per_row_and_a_cell_per_column() -> None:
    table = table1(compare(synthetic_evaluations()))
    text = latex_table(table, note="Not corrected.")
    body = text[text.index("95\\,\\% CI \\\\\n") :].splitlines()[1:]
    rows = [line for line in body if line.endswith(r"\\")]
    assert len(rows) == len(table.rows) == 16
    assert all(line.count(" & ") == 9 for line in rows)
    assert body.count(r"\midrule") == 4
    assert text.count("{") == text.count("}")
    assert text.count(r"\begin") == text.count(r"\end") == 2
    found = cell_texts(table.rows[0].cells[0])
    assert found
    assert f"{latex_text(found[0])} & {latex_text(found[1])}" in re.sub(r"\\(cellcolor\{[^}]*\}|textbf)", "", rows[0]).replace(
        "{", ""
    ).replace("}", "")


def test_shades_follow_p() -> None:
    comparison = compare(synthetic_evaluations())
    cells = [cell.result.p for table in (table1(comparison), table2(comparison)) for cell in table.cells]  # type: ignore[union-attr]
    text = latex_table(table1(comparison), note="") + latex_table(table2(comparison), note="")
    assert text.count("green!25") == 2 * sum(p < 0.05 for p in cells) > 0
    assert text.count("yellow!40") == 2 * sum(0.05 <= p < 0.1 for p in cells) > 0


def test_a_cell_without_a_test_keeps_its_columns() -> None:
    evaluations = synthetic_evaluations(4, 2)
    evaluations[1] = without_metric(evaluations[1], "facet/gender_mf/max_disparity_at_1")
    assert latex_table(table1(compare(evaluations)), note="").count(r"\multicolumn{2}{c}{no test}") == 1


def test_an_empty_table_is_a_comment() -> None:
    text = latex_table(table2(compare([])), note="")
    assert all(line.startswith("%") for line in text.splitlines())
    assert "fairface was not measured" in text


@pytest.mark.parametrize("name", [r"\input{secret}", "a_b & 50 % of #1 {x} ~ ^ $y$", "two\nlines", "<script>"])
def test_names_are_escaped(name: str) -> None:
    rows = [replace(row, quantizer=name) if row.quantizer == "bnb-int8" else row for row in synthetic_evaluations(3, 2)]
    text = latex_table(table1(compare(rows)), note="")
    assert latex_text(name) in text
    assert not re.search(r"\\input|(?<!\\)[#~^](?!\\)", text)
    assert "\n" not in latex_text(name)
    rows_of_table = [line for line in text.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in rows_of_table} == {9}
