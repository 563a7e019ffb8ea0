"""The report as one HTML page, and each table as a small one. Every name from the data is escaped by the template engine."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from qbias.comparison import Comparison
from qbias.records import Insufficient
from qbias.report import labels
from qbias.report.cells import ORDER, ROLES, by_key, family_of, of_role, test_of
from qbias.report.datasets import cut, dataset_rows, evaluations_of, is_long
from qbias.report.drawing import Drawing, inline_svg
from qbias.report.evidence_tables import (
    COMPANIONS,
    MAIN,
    Line,
    anchors_of,
    cell_lines,
    choices,
    churn_rows,
    companion_texts,
    group_text,
    mcnemar_rows,
    noise_rows,
    null_rows,
    swap_rows,
)
from qbias.report.figures import figure1_text, figure_metrics
from qbias.report.heatmap import blocks, slice_name
from qbias.report.published import Beside
from qbias.report.slopes import headline_metrics
from qbias.report.summary import NO_EVIDENCE, UNCORRECTED, UNCORRECTED_OTHERS, Unusable, summarize
from qbias.report.tables import Table, cell_texts, metric_table, other_tables, significance, table1, table2
from qbias.significance import first_step
from qbias.significance.records import CellEvidence, Evidence

FOLDER = Path(__file__).parent


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
        "p": labels.p_text,
        "interval": lambda ends: labels.interval_text(*ends),
        "metric": labels.metric_label,
        "benchmark": labels.benchmark_label,
        "statistic": labels.statistic_label,
        "slice": slice_name,
        "group": lambda row: group_text(row.attribute, row.group),
        "verdict": lambda found: labels.verdict_label(found.name, shifted=found.shifted, brief=True),
        "companions": companion_texts,
        "cut": cut,
    }
    found.tests["long"] = is_long
    return found


def _render(template: str, context: Mapping[str, Any]) -> str:
    shared = {"style": Markup((FOLDER / "style.css").read_text(encoding="utf-8")), "texts": cell_texts, "significance": significance}  # noqa: S704
    return _environment().get_template(template).render({**shared, "run_links": {}, **context})


def table_page(table: Table, evidence: Evidence) -> str:
    """One of the paper's tables as an HTML page of its own."""
    return _render("table.html", {"table": table, "uncorrected": UNCORRECTED, "cells": by_key(evidence)})


def report_page(
    comparison: Comparison,
    evidence: Evidence,
    *,
    title: str,
    commands: Sequence[str],
    figure_svg: str,
    figures: Mapping[str, Drawing],
    problems: Sequence[Unusable] = (),
    published: Sequence[Beside] = (),
    run_links: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """The whole report as one self-contained page: no network; its only script sorts tables, and it reads the same without.

    Parameters
    ----------
    title : heading of the page. commands : how to reproduce it, a shell command each.
    figure_svg : Figure 1 as matplotlib wrote it. figures : the others, by name.
    problems : versions without a usable evaluation. published : a published study's cells beside ours.
    run_links : addresses of runs by their ids; those that are no web address are left out.
    """
    context = {
        "comparison": comparison,
        "evidence": evidence,
        "title": title,
        "commands": commands,
        "problems": problems,
        "published": published,
        "figure": inline_svg(figure_svg, prefix="figure1-"),
        "figure_text": figure1_text(comparison),
        "figures": figures,
        "inline": lambda svg, name: inline_svg(svg, prefix=f"{name}-"),
        "run_links": {run: address for run, address in run_links.items() if re.match(r"https?://", address)},
        "summary": summarize(comparison, evidence, problems=problems),
        "words": labels.VERDICTS,
        "order": ORDER,
        "main": MAIN,
        "companion_names": COMPANIONS,
        **_cells(evidence),
        **_tables(comparison),
        **_by_model(comparison, evidence),
        **_background(comparison, evidence),
    }
    return _render("page.html", context)


def _cells(evidence: Evidence) -> dict[str, Any]:
    """Every cell as a line, and what its family asks for."""
    lines = cell_lines(evidence)
    secondary: dict[str, list[Line]] = {}
    for line in lines["secondary"]:
        secondary.setdefault(line.cell.metric.partition("/")[0], []).append(line)
    return {
        "cells": by_key(evidence),
        "anchors": anchors_of(evidence),
        "lines": lines,
        "secondary": secondary,
        "families": {role: _family(of_role(evidence, role)) for role in ROLES},
        "steps": {role: _first_step(of_role(evidence, role), evidence.plan.alpha) for role in ROLES},
    }


def _family(cells: Sequence[CellEvidence]) -> str:
    name, size = family_of(cells)
    return f"{name}, {labels.several(size, 'test')}" if size else ""


def _first_step(cells: Sequence[CellEvidence], alpha: float) -> str:
    """What Holm's first step asks of a family, with the most models that any of its tests has."""
    _, size = family_of(cells)
    tests = [test for cell in cells if (test := test_of(cell))]
    return first_step(size, df=max(test.df for test in tests), alpha=alpha).note if size and tests else ""


def _tables(comparison: Comparison) -> dict[str, Any]:
    return {
        "tables": (table1(comparison), table2(comparison)),
        "other_tables": other_tables(comparison),
        "uncorrected": UNCORRECTED,
        "uncorrected_others": UNCORRECTED_OTHERS,
        "no_evidence": NO_EVIDENCE,
    }


def _by_model(comparison: Comparison, evidence: Evidence) -> dict[str, Any]:
    """What is said of each model, and of each pair's images."""
    headline = dict.fromkeys([*figure_metrics(comparison), *headline_metrics(comparison, evidence)])
    names, nulls = null_rows(evidence)
    tables = {cell.metric for table in (table1(comparison), table2(comparison), *other_tables(comparison)) for cell in table.cells}
    return {
        "headline": [metric_table(comparison, name) for name in headline],
        "intervals": {
            (
                row.model,
                row.quantizer,
                row.metric,
            ): f"[{labels.interval_text(row.low, row.high)}]"
            for row in evidence.changes
        },
        "by_benchmark": [
            (name, [metric_table(comparison, metric) for metric in comparison.metrics if metric.startswith(f"{name}/")])
            for name in comparison.benchmarks
        ],
        "blocks": blocks(comparison, evidence),
        "churn": churn_rows(evidence, comparison.quantizers),
        "mcnemar": mcnemar_rows(evidence, comparison.quantizers),
        "swaps": _labelled(swap_rows(evidence, comparison.quantizers), tables),
        "null_names": names,
        "nulls": _labelled(nulls, tables),
        "noise": noise_rows(evidence),
        "choices": choices(evidence),
    }


def _labelled(rows: Sequence[tuple[str, Any]], tables: Collection[str]) -> list[tuple[str, Any]]:
    """The rows of the tables' metrics, or all where there is none of these; the files have all."""
    chosen = [row for row in rows if row[0] in tables] or rows
    return [(labels.metric_label(metric), cells) for metric, cells in chosen]


def _background(comparison: Comparison, evidence: Evidence) -> dict[str, Any]:
    """What the numbers were measured on and with, and what has none."""
    return {
        "groups": insufficient_groups(evidence),
        "protocol": distinct(row.protocol for row in _sides_outcomes(comparison)),
        "own": [name for name in comparison.benchmarks if name not in labels.PAPERS],
        "datasets": dataset_rows(comparison),
        "machine": distinct(row.machine for row in evaluations_of(comparison)),
        "versions": evaluations_of(comparison),
    }


def insufficient_groups(evidence: Evidence) -> list[Group]:
    """Cells without a test, those with the same reason and counts together."""
    groups: dict[tuple[str, tuple[tuple[str, int], ...]], list[tuple[str, str]]] = {}
    for cell in evidence.cells:
        if isinstance(cell.test, Insufficient):
            groups.setdefault((cell.test.reason, tuple(cell.test.counts.items())), []).append((cell.quantizer, cell.metric))
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
