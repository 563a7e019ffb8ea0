"""Tables 1 and 2 in the paper's layout, like ones for other benchmarks, every test as rows, every change of every model.

Pure functions of a Comparison.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from qbias.comparison import FACET_PAIRS, FACET_STATISTICS, FAIRFACE_ATTRIBUTES, OTHER, TABLES, Cell, Comparison, Family
from qbias.families import name_part
from qbias.records import Insufficient, Outcomes
from qbias.report.datasets import prompt_sentences
from qbias.report.labels import PAPERS, benchmark_label, interval_text, p_text, quantizer_label, slice_label, statistic_label
from qbias.significance import Corrected, FirstStep, PairedTest, corrected, first_step

GREEN, YELLOW = 0.05, 0.10
"""Below these p-values a cell is significant at 95 % and 90 %, without correction, as in the paper."""


@dataclass(frozen=True)
class TableRow:
    """One precision and demographic. `span`: rows of this precision, 0 on all but its first row."""

    quantizer: str
    label: str
    span: int
    demographic: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """A p-value and an interval per row and statistic, in the paper's layout. No rows: its benchmark was not measured.

    Attributes
    ----------
    subject : what is compared, `disparity` or `skew`. notes : what a reader has to know about the prompts.
    """

    number: int
    benchmark: str
    subject: str
    statistics: tuple[str, ...]
    rows: tuple[TableRow, ...]
    notes: tuple[str, ...]

    @property
    def caption(self) -> str:
        """What the table shows."""
        what = f"{benchmark_label(self.benchmark)} {self.subject}"
        return f"p-values and 95 % confidence intervals of paired t-tests on {what}: mean difference quantized − baseline."

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All its cells."""
        return tuple(cell for row in self.rows for cell in row.cells)


def table1(comparison: Comparison) -> Table:
    """FACET: smallest and largest disparity over classes, at 1 and 5."""
    return _table(comparison, 1, "facet", "disparity", FACET_PAIRS, FACET_STATISTICS)


def table2(comparison: Comparison) -> Table:
    """FairFace: smallest and largest skew of an attribute."""
    declared = [cell.metric for cell in comparison.cells if cell.family == TABLES and cell.metric.startswith("fairface/")]
    statistics = tuple(dict.fromkeys(name.rpartition("/")[2] for name in declared))
    return _table(comparison, 2, "fairface", "skew", FAIRFACE_ATTRIBUTES, statistics)


def other_tables(comparison: Comparison) -> tuple[Table, ...]:
    """The same for every other benchmark with groups to compare: Table 3 and on, whose cells belong to the other metrics."""
    found: list[Table] = []
    for name in (name for name in comparison.benchmarks if name not in PAPERS):
        outcomes = next(row.candidate.outcomes[name] for row in comparison.pairings if name in row.candidate.outcomes)
        subject, slices, statistics = _groups_of(outcomes)
        if slices:
            found.append(_table(comparison, 3 + len(found), name, subject, slices, statistics))
    return tuple(found)


def _groups_of(outcomes: Outcomes) -> tuple[str, list[str], list[str]]:
    """What is compared, in which pairs or attributes, and the statistics of each, as in the metrics' names."""
    facts = outcomes.facts
    if outcomes.kind == "skew":
        return "skew", [name_part(name) for name in facts["attributes"]], [f"{end}_skew_at_{facts['k']}" for end in ("min", "max")]
    pairs = facts.get("pairs", ()) if outcomes.kind == "classification" else ()
    return (
        "disparity",
        [name_part(pair["name"]) for pair in pairs],
        [f"{end}_disparity_at_{k}" for k in facts["ks"] for end in ("min", "max")],
    )


def _table(comparison: Comparison, number: int, benchmark: str, subject: str, slices: Sequence[str], statistics: Sequence[str]) -> Table:
    cells = {(cell.quantizer, cell.metric): cell for cell in comparison.cells}
    rows = [
        TableRow(
            quantizer=quantizer,
            label=quantizer_label(quantizer),
            span=0 if place else len(slices),
            demographic=slice_label(name),
            cells=tuple(
                cells.get((quantizer, metric)) or _empty(quantizer, metric)
                for metric in (f"{benchmark}/{name}/{statistic}" for statistic in statistics)
            ),
        )
        for quantizer in comparison.quantizers
        for place, name in enumerate(slices)
        if benchmark in comparison.benchmarks
    ]
    notes = prompt_sentences(comparison, benchmark)
    return Table(number, benchmark, subject, tuple(statistic_label(name) for name in statistics), tuple(rows), notes)


def _empty(quantizer: str, metric: str) -> Cell:
    """What stands where no model has the metric: outside Tables 1 and 2 the comparison has no cell for it."""
    return Cell(quantizer, metric, OTHER, Insufficient(f"{quantizer} {metric}", "measured for no model", {}))


def significance(cell: Cell) -> str:
    """`95` or `90` for a cell significant at that confidence without correction, else nothing."""
    if isinstance(cell.result, Insufficient):
        return ""
    return "95" if cell.result.p < GREEN else "90" if cell.result.p < YELLOW else ""


def cell_texts(cell: Cell) -> tuple[str, str] | None:
    """p-value and interval as printed; None where there is no test."""
    found = cell.result
    return None if isinstance(found, Insufficient) else (p_text(found.p), interval_text(found.ci_low, found.ci_high))


def table_frame(table: Table) -> pd.DataFrame:
    """A table as rows and columns for CSV, in full precision; empty cells where there is no test."""
    fields = ("n", "mean_difference", "p", "ci_low", "ci_high")
    columns = ["quantizer", "demographic", *(f"{name} {field}" for name in table.statistics for field in fields)]
    rows = [
        [row.quantizer, row.demographic, *(getattr(cell.result, field, None) for cell in row.cells for field in fields)]
        for row in table.rows
    ]
    return pd.DataFrame(rows, columns=columns)


TEST_COLUMNS = (
    "quantizer", "metric", "benchmark", "family", "family_size", "n", "mean_difference", "ci_low", "ci_high", "confidence", "spread",
    "t", "df", "p", "p_holm", "p_bh", "holm_needs_p", "holm_needs_t", "baseline", "candidate", "differences", "insufficient", "counts",
)  # fmt: skip


def frame_of_tests(comparison: Comparison) -> pd.DataFrame:
    """Every cell as one row: the test with its inputs (JSON by model), both corrected p-values and their family, or why there is none.

    `holm_needs_p` and `holm_needs_t` say what the smallest p-value of the family has to reach for Holm to reject at .05.
    """
    corrections = corrections_of(comparison)
    rows = [_test_row(cell, corrections.get(cell.result.name), comparison) for cell in comparison.cells]
    frame = pd.DataFrame(rows, columns=list(TEST_COLUMNS))
    return frame.astype({"n": "Int64", "df": "Int64", "family_size": "Int64"})


def _test_row(cell: Cell, correction: Corrected | None, comparison: Comparison) -> dict[str, Any]:
    size = family_size(comparison, cell.family)
    row: dict[str, Any] = {
        "quantizer": cell.quantizer,
        "metric": cell.metric,
        "benchmark": cell.metric.partition("/")[0],
        "family": cell.family,
        "family_size": size,
    }
    found = cell.result
    if isinstance(found, Insufficient):
        return {**row, "insufficient": found.reason, "counts": json.dumps(dict(found.counts))}
    assert correction is not None
    step = first_step(size, df=found.df)
    numbers = ("n", "mean_difference", "ci_low", "ci_high", "confidence", "spread", "t", "df", "p")
    by_model = {name: json.dumps(dict(getattr(found, name))) for name in ("baseline", "candidate", "differences")}
    corrections = {"p_holm": correction.holm, "p_bh": correction.bh, "holm_needs_p": step.p, "holm_needs_t": step.t}
    return {**row, **{name: getattr(found, name) for name in numbers}, **corrections, **by_model}


def made_tests(comparison: Comparison, family: Family) -> list[PairedTest]:
    """The tests of one family that could be made."""
    return [cell.result for cell in comparison.cells if cell.family == family and isinstance(cell.result, PairedTest)]


def family_size(comparison: Comparison, family: Family) -> int:
    """Cells declared in a family, those without a test too."""
    return sum(cell.family == family for cell in comparison.cells)


def corrections_of(comparison: Comparison) -> dict[str, Corrected]:
    """Corrected p-values by the tests' names, each within its own family."""
    found: dict[str, Corrected] = {}
    for family in (TABLES, OTHER):
        p_values = {test.name: test.p for test in made_tests(comparison, family)}
        found |= corrected(p_values, family=family, size=family_size(comparison, family))
    return found


def first_step_of(comparison: Comparison) -> FirstStep | None:
    """What Holm's first step asks of the tables' family with the most models that any of its tests has."""
    found = made_tests(comparison, TABLES)
    return first_step(family_size(comparison, TABLES), df=max(test.df for test in found)) if found else None


def per_model_frame(comparison: Comparison) -> pd.DataFrame:
    """Every metric of every pair: baseline, candidate and difference; missing where a side did not measure it."""
    columns = ["model", "quantizer", "metric", "baseline", "candidate", "difference"]
    rows = [[getattr(change, column) for column in columns] for change in comparison.changes]
    return pd.DataFrame(rows, columns=columns)


def churn_frame(comparison: Comparison) -> pd.DataFrame:
    """Share of images whose first prediction changed, per pair and classification benchmark."""
    columns = ["model", "quantizer", "benchmark", "changed", "images", "share"]
    return pd.DataFrame([[getattr(row, column) for column in columns] for row in comparison.churn], columns=columns)
