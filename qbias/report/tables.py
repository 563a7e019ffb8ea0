"""Tables 1 and 2 in the paper's layout, like ones for other benchmarks, and one metric by model. Pure functions of a Comparison."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from qbias.comparison import FACET_PAIRS, FACET_STATISTICS, FAIRFACE_ATTRIBUTES, OTHER, TABLES, Cell, Change, Comparison
from qbias.families import name_part
from qbias.records import Insufficient, Outcomes
from qbias.report.datasets import prompt_sentences
from qbias.report.labels import PAPERS, benchmark_label, interval_text, p_text, quantizer_label, slice_label, statistic_label

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


@dataclass(frozen=True)
class MetricTable:
    """One metric by model: each row is a model, its baseline's value and one change (or None) per precision."""

    metric: str
    rows: tuple[tuple[str, float | None, tuple[Change | None, ...]], ...]


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


def metric_table(comparison: Comparison, metric: str) -> MetricTable:
    """One metric of every model in every precision."""
    found = {(row.model, row.quantizer): row for row in comparison.changes if row.metric == metric}
    rows = []
    for model in comparison.models:
        changes = tuple(found.get((model, name)) for name in comparison.quantizers)
        baseline = next((row.baseline for row in changes if row and row.baseline is not None), None)
        rows.append((model, baseline, changes))
    return MetricTable(metric, tuple(rows))
