"""The report as one HTML page, and each table as a small one. Every name from the data is escaped by the template engine."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from qbias.comparison import Change, Comparison, unmeasured
from qbias.records import Insufficient
from qbias.report import labels
from qbias.report.datasets import cut, dataset_rows, evaluations_of, is_long
from qbias.report.figures import figure1_text, figure_metrics
from qbias.report.summary import NO_EVIDENCE, UNCORRECTED, UNCORRECTED_OTHERS, Unusable, summarize
from qbias.report.tables import Table, cell_texts, first_step_of, other_tables, significance, table1, table2

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class MetricTable:
    """One metric by model: each row is a model, its baseline's value and one change (or None) per precision."""

    metric: str
    rows: tuple[tuple[str, float | None, tuple[Change | None, ...]], ...]


@dataclass(frozen=True)
class Group:
    """Insufficient cells that share reason and counts: `cells` are (precision, metric)."""

    reason: str
    counts: Mapping[str, int]
    cells: tuple[tuple[str, str], ...]


@lru_cache(maxsize=1)
def _environment() -> Environment:
    found = Environment(
        loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )  # fmt: skip
    found.filters |= {
        "short": labels.short,
        "change": labels.change_text,
        "percent": labels.percent_text,
        "metric": labels.metric_label,
        "benchmark": labels.benchmark_label,
        "cut": cut,
    }
    found.tests["long"] = is_long
    return found


def _render(template: str, context: Mapping[str, Any]) -> str:
    shared = {"style": Markup((FOLDER / "style.css").read_text(encoding="utf-8")), "texts": cell_texts, "significance": significance}  # noqa: S704
    return _environment().get_template(template).render({**shared, **context})


def table_page(table: Table) -> str:
    """One of the paper's tables as an HTML page of its own."""
    return _render("table.html", {"table": table, "uncorrected": UNCORRECTED})


def report_page(comparison: Comparison, *, title: str, commands: Sequence[str], figure_svg: str, problems: Sequence[Unusable] = ()) -> str:
    """The whole report as one self-contained page: no script, no network.

    Parameters
    ----------
    title : heading of the page. commands : how to reproduce it, a shell command each.
    figure_svg : Figure 1 as matplotlib wrote it. problems : versions without a usable evaluation.
    """
    headline = figure_metrics(comparison)
    step = first_step_of(comparison)
    context = {
        "comparison": comparison,
        "title": title,
        "commands": commands,
        "summary": summarize(comparison, problems=problems),
        "figure": inline_svg(figure_svg),
        "figure_text": figure1_text(comparison),
        "tables": (table1(comparison), table2(comparison)),
        "other_tables": other_tables(comparison),
        "uncorrected": UNCORRECTED,
        "uncorrected_others": UNCORRECTED_OTHERS,
        "no_evidence": NO_EVIDENCE,
        "first_step": step.note if step else "",
        "headline": [metric_table(comparison, name) for name in headline],
        "by_benchmark": [
            (name, [metric_table(comparison, metric) for metric in comparison.metrics if metric.startswith(f"{name}/")])
            for name in comparison.benchmarks
        ],
        "churn": churn_rows(comparison),
        "groups": insufficient_groups(comparison),
        "protocol": distinct(row.protocol for row in _sides_outcomes(comparison)),
        "own": [name for name in comparison.benchmarks if name not in labels.PAPERS],
        "datasets": dataset_rows(comparison),
        "machine": distinct(row.machine for row in evaluations_of(comparison)),
        "versions": evaluations_of(comparison),
        "problems": problems,
    }
    return _render("page.html", context)


def inline_svg(svg: str) -> Markup:
    """A drawn SVG as part of a page: without prolog and fixed size, hidden from screen readers, which get the text beside it."""
    body = svg[svg.index("<svg") :]
    head, rest = body.split(">", 1)
    head = re.sub(r'\s(width|height)="[^"]*"', "", head)
    # matplotlib escapes text that it writes into the file; everything else in it is its own.
    return Markup(f'{head} aria-hidden="true" focusable="false">{rest}')  # noqa: S704


def metric_table(comparison: Comparison, metric: str) -> MetricTable:
    """One metric of every model in every precision."""
    found = {(row.model, row.quantizer): row for row in comparison.changes if row.metric == metric}
    rows = []
    for model in comparison.models:
        changes = tuple(found.get((model, name)) for name in comparison.quantizers)
        baseline = next((row.baseline for row in changes if row and row.baseline is not None), None)
        rows.append((model, baseline, changes))
    return MetricTable(metric, tuple(rows))


def churn_rows(comparison: Comparison) -> list[tuple[str, str, list[float | None]]]:
    """(benchmark, model, share per precision)."""
    found = {(row.benchmark, row.model, row.quantizer): row.share for row in comparison.churn}
    pairs = dict.fromkeys((row.benchmark, row.model) for row in comparison.churn)
    ordered = sorted(pairs, key=lambda pair: comparison.benchmarks.index(pair[0]))
    return [(benchmark, model, [found.get((benchmark, model, name)) for name in comparison.quantizers]) for benchmark, model in ordered]


def insufficient_groups(comparison: Comparison) -> list[Group]:
    """Cells without a test, those with the same reason and counts together."""
    groups: dict[tuple[str, tuple[tuple[str, int], ...]], list[tuple[str, str]]] = {}
    for cell in unmeasured(comparison):
        assert isinstance(cell.result, Insufficient)
        groups.setdefault((cell.result.reason, tuple(cell.result.counts.items())), []).append((cell.quantizer, cell.metric))
    return [Group(reason, dict(counts), tuple(cells)) for (reason, counts), cells in groups.items()]


def _sides_outcomes(comparison: Comparison) -> Iterable[Any]:
    return (outcomes for row in evaluations_of(comparison) for outcomes in row.outcomes.values())


def distinct(records: Iterable[Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    """Each name with every value it has in any record, in order of appearance."""
    found: dict[str, dict[str, None]] = {}
    for record in records:
        for name, value in record.items():
            found.setdefault(name, {})[str(value)] = None
    return [(name, list(values)) for name, values in found.items()]
