"""Slope charts: a line from baseline to candidate per model, side by side for the precisions, a panel per headline metric."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qbias.comparison import Change, Comparison
from qbias.report.cells import of_role
from qbias.report.drawing import BASE, FAINT, INK, PAPER, WIDTH, Drawing, bare, cut, settings, svg_of, tick_text
from qbias.report.figures import figure_metrics
from qbias.report.labels import change_text, metric_label
from qbias.significance.records import Evidence

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST, COLUMNS, PANEL, HEAD, GAP = 6, 2, 1.75, 0.45, 0.72
"""Panels at most, beside each other; inches: height of a panel, head of the figure, and between panels."""
UP, DOWN = "#8665B5", "#A87400"
"""Not the verdicts' colours: a value that rose is not better for it."""
STEP = 1.7
"""Distance between two precisions in a panel; a line is 1 wide."""
TITLE = "From baseline to candidate, model by model"
CAPTION = (
    "One line per model from its baseline (left end) to the candidate (right end), for each precision. Values that rose are solid, "
    "values that fell dashed; dotted ones did not change. Above each precision: how many models went up and down."
)


def headline_metrics(comparison: Comparison, evidence: Evidence) -> list[str]:
    """Primary endpoints, then Figure 1's metrics, as far as they were measured."""
    measured = {row.metric for row in comparison.changes if row.difference is not None}
    names = [*(cell.metric for cell in of_role(evidence, "primary")), *figure_metrics(comparison)]
    return [name for name in dict.fromkeys(names) if name in measured][:MOST]


def slopes(comparison: Comparison, evidence: Evidence) -> Drawing | None:
    """The figure; None where no headline metric was measured on both sides."""
    rows = {metric: _rows(comparison, metric) for metric in headline_metrics(comparison, evidence)}
    if not rows:
        return None
    text = " ".join(_text(metric, found, comparison.quantizers) for metric, found in rows.items())
    with settings():
        return Drawing("slopes", TITLE, CAPTION, text, svg_of(_figure(rows, comparison.quantizers), title=TITLE, text=text))


def _rows(comparison: Comparison, metric: str) -> list[Change]:
    return [row for row in comparison.changes if row.metric == metric and row.difference is not None]


def _figure(rows: dict[str, list[Change]], quantizers: Sequence[str]) -> "Figure":
    from matplotlib.figure import Figure

    deep = -(-len(rows) // COLUMNS)
    height = HEAD + deep * (PANEL + GAP) - 0.15
    figure = Figure(figsize=(WIDTH, height), facecolor=PAPER)
    wide = (WIDTH - 0.1) / COLUMNS
    for place, (metric, found) in enumerate(rows.items()):
        down, right = divmod(place, COLUMNS)
        left, bottom = 0.1 + right * wide + 0.45, height - HEAD - down * (PANEL + GAP) - PANEL
        axis = figure.add_axes((left / WIDTH, bottom / height, (wide - 0.55) / WIDTH, PANEL / height))
        _panel(axis, found, quantizers)
        axis.set_title(cut(metric_label(metric), 50), fontsize=9, loc="left", color=INK, pad=16, parse_math=False)
    return figure


def _panel(axis: "Axes", rows: Sequence[Change], quantizers: Sequence[str]) -> None:
    from matplotlib.collections import LineCollection
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    bare(axis, grid="y")
    for sign, colour, style in ((1, UP, "-"), (-1, DOWN, (0, (4, 2))), (0, BASE, ":")):
        lines = [
            [(STEP * quantizers.index(row.quantizer), row.baseline), (STEP * quantizers.index(row.quantizer) + 1, row.candidate)]
            for row in rows
            if _sign(row) == sign
        ]
        axis.add_collection(LineCollection(lines, colors=colour, linewidths=1.3, linestyles=[style]))  # type: ignore[arg-type]
        ends = [end for line in lines for end in line]
        axis.plot([x for x, _ in ends], [y for _, y in ends], "o", color=colour, markersize=2.6)  # type: ignore[arg-type]
    for place, name in enumerate(quantizers):
        signs = [_sign(row) for row in rows if row.quantizer == name]
        said = f"{signs.count(1)} up, {signs.count(-1)} down" if signs else "no value"
        axis.annotate(
            said, (STEP * place + 0.5, 1), xycoords=axis.get_xaxis_transform(), xytext=(0, 3), textcoords="offset points", ha="center",
            fontsize=6.5, color=BASE,
        )  # fmt: skip
    axis.set_xlim(-0.35, STEP * (len(quantizers) - 1) + 1.35)
    axis.set_xticks([STEP * place + 0.5 for place in range(len(quantizers))], [cut(name, 14) for name in quantizers], parse_math=False)
    axis.yaxis.set_major_locator(MaxNLocator(4))
    axis.yaxis.set_major_formatter(FuncFormatter(tick_text))
    axis.tick_params(axis="y", labelsize=7, labelcolor=INK)
    axis.tick_params(axis="x", length=0, labelsize=7)
    axis.margins(y=0.08)
    axis.autoscale_view(scalex=False)
    axis.spines["bottom"].set_color(FAINT)


def _sign(row: Change) -> int:
    assert row.difference is not None
    return (row.difference > 0) - (row.difference < 0)


def _text(metric: str, rows: Sequence[Change], quantizers: Sequence[str]) -> str:
    """One panel in words."""
    parts = []
    for name in quantizers:
        own = [row for row in rows if row.quantizer == name]
        if own:
            signs = [_sign(row) for row in own]
            far = max(own, key=lambda row: abs(row.difference or 0))
            largest = f", largest change {change_text(far.difference or 0.0)} ({far.model})" if any(signs) else ""
            parts.append(f"{name} {signs.count(1)} up, {signs.count(-1)} down{largest}")
    return f"{metric_label(metric)}: {'; '.join(parts)}."
