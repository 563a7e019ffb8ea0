"""Forest plots: mean differences over models with their intervals, margins and noise floors, a row of panels per benchmark."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qbias.comparison import Comparison
from qbias.report.cells import ORDER, by_key, shown_metrics, test_of
from qbias.report.drawing import (
    BASE,
    FAINT,
    INK,
    MARGIN,
    MARKS,
    NOISE,
    PAPER,
    WIDTH,
    Drawing,
    bare,
    cut,
    round_step,
    settings,
    svg_of,
    tick_text,
    verdict_key,
)
from qbias.report.labels import VERDICTS, benchmark_label, change_text, metric_label, several, verdict_label
from qbias.significance.records import CellEvidence, Evidence

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW, HEAD, GAP, FOOT, LEFT, RIGHT = 0.19, 0.5, 0.62, 0.55, 2.35, 0.12
"""Inches: height of a row, of the figure's head, between benchmarks, and below; room for names on the left, and on the right."""
MOST_ROWS = 40
"""Metrics shown of one benchmark."""
TITLE = "Mean differences with their margins"
CAPTION = (
    "Mean difference candidate − baseline over models with its 95 % interval; a row per metric, a column per precision. The pale bar is "
    "the margin within which a change does not matter, the darker one the noise floor: the largest change between two runs of the same "
    "model. Names of primary endpoints are bold. The panels of a benchmark share one scale."
)


def forest(comparison: Comparison, evidence: Evidence) -> Drawing | None:
    """The figure; None where no cell has a test."""
    blocks = {name: _metrics(comparison, evidence, name) for name in comparison.benchmarks}
    blocks = {name: metrics for name, metrics in blocks.items() if metrics}
    if not blocks:
        return None
    text = _text(evidence)
    with settings():
        return Drawing("forest", TITLE, CAPTION, text, svg_of(_figure(comparison, evidence, blocks), title=TITLE, text=text))


def _metrics(comparison: Comparison, evidence: Evidence, benchmark: str) -> list[str]:
    """What is shown of a benchmark: metrics with a test in at least one precision."""
    tested = {cell.metric for cell in evidence.cells if test_of(cell)}
    return [name for name in shown_metrics(comparison, evidence, benchmark) if name in tested][:MOST_ROWS]


def _figure(comparison: Comparison, evidence: Evidence, blocks: dict[str, list[str]]) -> "Figure":
    from matplotlib.figure import Figure

    cells, primary = by_key(evidence), {row.metric for row in evidence.plan.endpoints}
    heights = [ROW * len(metrics) for metrics in blocks.values()]
    height = HEAD + sum(heights) + GAP * len(heights) + FOOT - GAP / 2
    figure = Figure(figsize=(WIDTH, height), facecolor=PAPER)
    width = (WIDTH - LEFT - RIGHT) / len(comparison.quantizers)
    top = height - HEAD
    for (benchmark, metrics), tall in zip(blocks.items(), heights, strict=True):
        rows = {name: [cells.get((name, metric)) for metric in metrics] for name in comparison.quantizers}
        reach = _reach([cell for column in rows.values() for cell in column])
        for place, (quantizer, column) in enumerate(rows.items()):
            box = (LEFT + place * width) / WIDTH, (top - tall) / height, 0.94 * width / WIDTH, tall / height
            axis = figure.add_axes(box, xlim=(-reach, reach), ylim=(len(metrics) - 0.5, -0.5))
            _panel(axis, column)
            axis.set_title(cut(quantizer, 22), fontsize=7.5, color=BASE, loc="center", pad=3, parse_math=False)
            axis.set_yticks([])
        _names(figure, metrics, primary, top / height, tall / height)
        figure.text(
            0.012, (top + 0.1) / height, cut(benchmark_label(benchmark), 30), fontsize=9, fontweight="bold", color=INK, parse_math=False
        )
        top -= tall + GAP
    verdict_key(figure, ORDER[:-1], [VERDICTS[name] for name in ORDER[:-1]], y=0.14 / height)
    return figure


def _names(figure: "Figure", metrics: Sequence[str], primary: set[str], top: float, tall: float) -> None:
    """The rows' names, right-aligned beside the first panel."""
    for place, metric in enumerate(metrics):
        name = metric_label(metric).removeprefix(benchmark_label(metric.partition("/")[0])).strip()
        figure.text(
            (LEFT - 0.1) / WIDTH, top - tall * (place + 0.5) / len(metrics), cut(name, 36), ha="right", va="center", fontsize=7.5,
            color=INK, fontweight="bold" if metric in primary else "normal", parse_math=False,
        )  # fmt: skip


def _reach(cells: Sequence[CellEvidence | None]) -> float:
    """Half the width of the panels' common scale: holds every interval; margins far beyond it are cut."""
    tests = [test for cell in cells if cell and (test := test_of(cell))]
    ends = [abs(end) for test in tests for end in (test.ci_low, test.ci_high)]
    margins = [cell.margin for cell in cells if cell and cell.margin is not None]
    largest = max(ends, default=0.0)
    return 1.08 * max(largest, min(min(margins, default=0.0), 3 * largest or 1.0)) or 0.01


def _panel(axis: "Axes", column: Sequence[CellEvidence | None]) -> None:
    """One precision: margin and noise as bars, interval and mean on top, shape and colour by verdict."""
    bare(axis)
    step = round_step(axis.get_xlim()[1])
    axis.set_xticks([-step, 0, step], [tick_text(value) for value in (-step, 0, step)])
    for half, colour, tall in ((_halves(column, "margin"), MARGIN, 0.82), (_halves(column, "noise"), NOISE, 0.36)):
        axis.barh(list(half), [2 * value for value in half.values()], height=tall, left=[-value for value in half.values()], color=colour)
    axis.axvline(0, color=BASE, linewidth=0.8)
    for name in ORDER:
        rows = [(place, test) for place, cell in enumerate(column) if cell and cell.verdict.name == name and (test := test_of(cell))]
        if rows:
            shape, colour = MARKS[name]
            places = [place for place, _ in rows]
            axis.hlines(places, [test.ci_low for _, test in rows], [test.ci_high for _, test in rows], color=colour, linewidth=1.5)
            axis.plot([test.mean_difference for _, test in rows], places, shape, color=colour, markersize=4.5, markeredgewidth=0.4)
    for place, cell in enumerate(column):
        if cell is None or test_of(cell) is None:
            axis.annotate("no test", (0.02, place), xycoords=axis.get_yaxis_transform(), va="center", fontsize=6.5, color=BASE)
    axis.spines["bottom"].set_color(FAINT)


def _halves(column: Sequence[CellEvidence | None], name: str) -> dict[int, float]:
    """Margin or noise floor by row, where there is one."""
    return {place: float(value) for place, cell in enumerate(column) if cell and (value := getattr(cell, name)) is not None}


def _text(evidence: Evidence) -> str:
    """The figure in words: counts of verdicts, and each primary cell that did not stay within its margin."""
    tested = [cell for cell in evidence.cells if test_of(cell)]
    loud = [cell for cell in tested if cell.role == "primary" and cell.verdict.name in ("worse", "better", "changed")]
    parts = [
        f"{metric_label(cell.metric)} in {cell.quantizer} {verdict_label(cell.verdict.name)}: {change_text(test.mean_difference)}, "
        f"95 % interval {change_text(test.ci_low)} to {change_text(test.ci_high)}"
        for cell in loud[:12]
        if (test := test_of(cell))
    ]
    listed = "; ".join(parts) or "no primary endpoint was shown to have changed"
    more = f"; and {len(loud) - 12} more" if len(loud) > 12 else ""
    return f"Mean differences of {several(len(tested), 'cell')} with a test. {listed}{more}. The tables give every number."
