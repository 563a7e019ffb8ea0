"""The published tables: read strictly, checked against themselves, and laid beside our own tests."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qbias.report.published import COLUMNS, STUDY, PublishedCell, audit_text, beside_published, possible, read_published
from qbias.significance import PairedTest, paired_t

CELLS = read_published(STUDY)
FAR = {
    "Table 1 PyTorch 8-Bit Skin Tone (LD) Max Disp@1",
    "Table 1 PyTorch 8-Bit Age (MO) Max Disp@1",
    "Table 1 PyTorch 8-Bit Age (MO) Max Disp@5",
    "Table 2 HuggingFace 4-Bit Gender MaxSkew",
}


def test_the_study_has_66_cells_of_which_13_and_4_are_impossible() -> None:
    assert len({cell.name for cell in CELLS}) == len(CELLS) == 66
    assert len([cell for cell in CELLS if not possible(cell)]) == 13
    assert {cell.name for cell in CELLS if not possible(cell, units=1)} == FAR


def test_its_known_facts() -> None:
    p = [cell.p.value for cell in CELLS]
    assert (sum(value < 0.05 for value in p), sum(value < 0.10 for value in p)) == (3, 10)
    by_table = [(cell.quantizer, cell.table) for cell in CELLS]
    assert {pair: by_table.count(pair) for pair in by_table} == {
        (quantizer, table): count
        for quantizer in ("bnb-nf4", "bnb-int8", "torch-int8")
        for table, count in (("Table 1", 16), ("Table 2", 6))
    }
    assert {cell.n for cell in CELLS} == {8}
    assert {cell.metric for cell in CELLS if cell.table == "Table 2"} == {
        f"fairface/{attribute}/{side}_skew_at_1000" for attribute in ("gender", "race", "age") for side in ("min", "max")
    }


def our_test(difference_M: np.ndarray) -> PairedTest:
    names = [f"model {number}" for number in range(len(difference_M))]
    found = paired_t(dict.fromkeys(names, 0.0), dict(zip(names, difference_M.tolist(), strict=True)), name="any")
    assert isinstance(found, PairedTest)
    return found


def printed(folder: Path, rows: list[str], header: str = ",".join(COLUMNS)) -> Path:
    file = folder / "table.csv"
    file.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return file


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(3, 20), decimals=st.integers(1, 4), spread=st.sampled_from([0.002, 0.02, 0.2]))
def test_what_a_test_gives_is_possible_however_it_is_rounded(
    tmp_path_factory: pytest.TempPathFactory, seed: int, n: int, decimals: int, spread: float
) -> None:
    test = our_test(np.random.default_rng(seed).normal(spread / 2, spread, n))
    ends = f"{test.ci_low:.{decimals}f},{test.ci_high:.{decimals}f}"
    (cell,) = read_published(printed(tmp_path_factory.getbasetemp(), [f",,,,,,,{n},{test.p:.3f},{ends}"]))
    assert possible(cell)
    assert possible(cell, units=1)


@pytest.mark.parametrize(
    ("p", "low", "high", "fits"),
    [
        # p = .05 exactly puts one end at 0.
        (".050", ".00", ".10", True),
        (".050", "-.10", ".00", True),
        (".050", "-.05", ".10", False),
        (".050", ".02", ".10", False),
        # p = 1 puts 0 in the middle.
        ("1.000", "-.05", ".05", True),
        ("1.000", "-.05", ".07", False),
        # An interval of one printed number is narrow, at most a unit: far from 0 its p is small.
        ("0.00000", ".03", ".03", True),
        (".001", ".03", ".03", False),
        (".900", ".03", ".03", False),
        (".900", ".00", ".00", True),
        ("0", "-1", "1", True),
        (".000", "-.10", ".10", False),
        (".000", ".01", ".06", False),
        (".000", ".04", ".06", True),
    ],
)
def test_possible_by_hand(tmp_path: Path, p: str, low: str, high: str, fits: bool) -> None:
    (cell,) = read_published(printed(tmp_path, [f",,,,,,,8,{p},{low},{high}"]))
    assert possible(cell) is fits


def test_n_is_the_cells_own(tmp_path: Path) -> None:
    first, second = read_published(printed(tmp_path, [",,,,,,a,8,.010,.013,.067", ",,,,,,b,80,.010,.013,.067"]))
    assert (possible(first), possible(second)) == (True, False)


def test_the_audit_names_every_cell_and_both_counts() -> None:
    text = audit_text(CELLS)
    lines = text.splitlines()
    assert len(lines) == 1 + 66 + 1
    assert {line.split("  ")[0] for line in lines if "with a unit of slack too" in line} == FAR
    assert lines[-1].startswith("66 cells. 13 are impossible")
    assert "4 of these" in lines[-1]
    assert re.search(r"Skin Tone \(LD\) Max Disp@1 +\.035 +\.01, \.10 +8$", text, re.MULTILINE), "as printed, with its last zero"


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (",,,,,,,8,<.001,0,1", "line 2, column 'p': '<.001' is not a number"),
        (",,,,,,,8,,0,1", "line 2, column 'p': '' is not a number"),
        (",,,,,,,8,nan,0,1", "'nan' is not a number"),
        (",,,,,,,8,٠.٥,0,1", "is not a number"),
        (",,,,,,,8,.5,0,1e400", "line 2, column 'ci_high': '1e400'"),
        (f",,,,,,,8,.5,0,{'9' * 5000}", "column 'ci_high'"),
        (",,,,,,,8,.5,−.01,.01", "line 2, column 'ci_low': '−.01'"),
        (",,,,,,,8,1.5,0,1", "line 2, column 'p': 1.5 is outside 0 to 1"),
        (",,,,,,,8,-.5,0,1", "-.5 is outside 0 to 1"),
        (",,,,,,,8,.5,1,0", "line 2: the interval begins at 1 and ends at 0"),
        (",,,,,,,1,.5,0,1", "line 2, column 'n': '1'"),
        (",,,,,,,eight,.5,0,1", "'eight': n counts models"),
        (",,,,,,,8,.5,0", "line 2: 10 cells where the header has 11"),
    ],
)
def test_a_bad_row_is_refused_with_its_place(tmp_path: Path, row: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)) as caught:
        read_published(printed(tmp_path, [row]))
    assert "What to do:" in str(caught.value)


def test_all_bad_rows_are_told_at_once(tmp_path: Path) -> None:
    rows = ["s,t,m,q,d,s,m,8,.5,0,1", ",,,,,,,8,x,y,1", "s,t,m,q,d,s,m,8,.6,0,1", ",,,,,,b,0,.5,0,1"]
    with pytest.raises(ValueError, match="4 problem") as caught:
        read_published(printed(tmp_path, rows))
    said = str(caught.value)
    assert "line 4: the same cell as line 2" in said
    assert all(f"line {line}, column" in said for line in (3, 5))


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="column 'n' is missing"):
        read_published(printed(tmp_path, ["1"], header=",".join(name for name in COLUMNS if name != "n")))


def test_columns_may_stand_in_any_order(tmp_path: Path) -> None:
    (cell,) = read_published(
        printed(
            tmp_path, ["1,.5,0,8,x,,,,,,,"], header="ci_high,p,ci_low,n,note,source,table,method,quantizer,demographic,statistic,metric"
        )
    )
    assert (cell.p.value, cell.low.value, cell.high.value, cell.n, cell.name) == (0.5, 0.0, 1.0, 8, "line 2")


def ours(cell: PublishedCell, low: float, high: float) -> PairedTest:
    return replace(our_test(np.array([0.1, 0.2, 0.4])), name=cell.name, ci_low=low, ci_high=high)


def test_cells_stand_beside_our_test_of_the_same_precision_and_metric() -> None:
    first, second, third, *_ = CELLS
    tests = {
        (first.quantizer, first.metric): ours(first, 0.01, 0.02),
        (second.quantizer, second.metric): ours(second, 0.001, 0.02),
        ("ort-int8", third.metric): ours(third, -1, 1),
    }
    found = beside_published(CELLS, tests)
    assert [(row.cell, row.overlap) for row in found] == [(first, True), (second, False)], "-.01 to .01 touches, -.02 to .00 does not"
    assert [row.published for row in found] == pytest.approx([0.0, -0.01])
    assert found[1].ours.ci_low == 0.001
    assert beside_published(CELLS, {}) == ()
