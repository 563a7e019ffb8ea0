"""Figure 1: zero-shot accuracy and text-to-image recall by model and precision. matplotlib is imported only when a figure is drawn."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qbias.comparison import Comparison
from qbias.report.drawing import BASE, COLOURS, FAINT, INK, SHAPES, WIDTH, bare, cut, settings, svg_of
from qbias.report.labels import benchmark_label, metric_label, points_text, statistic_label
from qbias.store import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW, HEAD, FOOT = 0.205, 0.55, 0.6
"""Inches: height of a row, of the panels' titles and of the axis below."""
PANELS = {"imagenet": ("accuracy", (1,)), "coco": ("image_retrieval_recall", (5, 1))}
"""A panel per statistic: the paper's benchmark of it, and its preferred ranks."""
LONGEST_NAMES = (60, 20)
"""Characters of a benchmark's name above one panel, and above each of two."""
AXIS_NOTE = (
    "In percent, higher is better; axes do not start at 0. The line through a block is its baseline, whose value stands at the top; "
    "the other numbers are changes in points."
)
TITLE = "Figure 1: accuracy and recall by model and precision"
NOTHING = "Neither accuracy nor retrieval recall was measured."


@dataclass(frozen=True)
class Mark:
    """One drawn row: a precision's value in one model. `baseline` is the value of the model's baseline."""

    model: str
    quantizer: str
    value: float | None
    baseline: float | None


def figure_metrics(comparison: Comparison) -> list[str]:
    """The metrics of Figure 1: accuracy@1 and text-to-image recall@5 of ImageNet and COCO, else of the first benchmark that has them.

    A benchmark that was measured at neither is shown at its lowest rank.
    """
    found: list[str] = []
    for preferred, (statistic, ks) in PANELS.items():
        names = [name for name in comparison.metrics if re.fullmatch(rf"[^/]+/{statistic}_at_\d+", name)]
        benchmarks = [preferred, *comparison.benchmarks]
        ranked = [(benchmarks.index(name.partition("/")[0]), *_rank(name, ks), name) for name in names]
        found += [row[-1] for row in sorted(ranked)[:1]]
    return found


def _rank(name: str, preferred: Sequence[int]) -> tuple[int, int]:
    """Preferred ranks first, then the lowest."""
    k = int(name.rpartition("_at_")[2])
    return (preferred.index(k) if k in preferred else len(preferred)), k


def marks(comparison: Comparison, metric: str) -> list[Mark]:
    """The drawn rows of one panel: per model its baseline, then each precision."""
    values = {(row.model, row.quantizer): row for row in comparison.changes if row.metric == metric}
    baseline = _baseline_name(comparison)
    found: list[Mark] = []
    for model in comparison.models:
        own = [values[model, name].baseline for name in comparison.quantizers if (model, name) in values]
        before = next((value for value in own if value is not None), None)
        found.append(Mark(model, baseline, before, before))
        for name in comparison.quantizers:
            change = values.get((model, name))
            found.append(Mark(model, name, change.candidate if change else None, change.baseline if change else None))
    return found


def _baseline_name(comparison: Comparison) -> str:
    return next((row.baseline.quantizer for row in comparison.pairings), "baseline")


def figure1(comparison: Comparison) -> "Figure":
    """A dot per model and precision, a panel per metric; the line through a model's dots is its baseline."""
    from matplotlib.figure import Figure

    metrics = figure_metrics(comparison)
    if not metrics:
        figure = Figure(figsize=(WIDTH, HEAD), facecolor="white")
        figure.text(0.5, 0.5, NOTHING, ha="center", va="center", color=INK, fontsize=11)
        return figure
    block = len(comparison.quantizers) + 2
    height = HEAD + FOOT + ROW * max(block * len(comparison.models), 4)
    figure = Figure(figsize=(WIDTH, height), facecolor="white")
    axes = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    longest = max(map(len, (_baseline_name(comparison), *comparison.quantizers)))
    left = min(0.3, max(0.95, 0.3 + 0.065 * longest) / WIDTH)
    figure.subplots_adjust(left=left, right=0.985, top=1 - HEAD / height, bottom=FOOT / height, wspace=0.06)
    for place, (axis, metric) in enumerate(zip(axes, metrics, strict=True)):
        _panel(axis, marks(comparison, metric), named=place == 0)
        axis.set_ylim(block * len(comparison.models) - 0.3, -0.75)
    _titles(axes, metrics)
    figure.text(0.985, 0.2 / height, AXIS_NOTE, ha="right", va="center", fontsize=8, color=BASE)
    return figure


def _titles(axes: Sequence["Axes"], metrics: Sequence[str]) -> None:
    """What each panel shows, in one size that leaves room for all."""
    parts = [name.partition("/") for name in metrics]
    longest = LONGEST_NAMES[len(metrics) - 1]
    titles = [f"{cut(benchmark_label(benchmark), longest)} {statistic_label(statistic)} ↑" for benchmark, _, statistic in parts]
    size = 11 if max(map(len, titles)) <= 40 else 9
    for axis, title in zip(axes, titles, strict=True):
        axis.set_title(title, fontsize=size, loc="left", color=INK, pad=8, parse_math=False)


def _panel(axis: "Axes", rows: Sequence[Mark], *, named: bool) -> None:
    """Draw one metric: rows from the top, a headed block per model."""
    heights = list(_heights(rows))
    known = [row.value for row in rows if row.value is not None]
    low, high = min(known, default=0.0), max(known, default=1.0)
    room = max(high - low, 0.02)
    axis.set_xlim(100 * (low - 0.06 * room), 100 * (high + 0.2 * room))
    order = list(dict.fromkeys(row.quantizer for row in rows))
    for row, y in zip(rows, heights, strict=True):
        _draw(axis, row, y, order.index(row.quantizer))
        if row.quantizer == order[0]:
            if named:
                _name(axis, row.model, y - 1)
            _baseline_line(axis, row, y, y + len(order) - 1)
    axis.set_yticks(heights, [row.quantizer for row in rows], fontsize=8, color=INK, parse_math=False)
    bare(axis)
    axis.tick_params(axis="y", labelleft=named)


def _heights(rows: Sequence[Mark]) -> Iterator[float]:
    """Each row's place from the top; a model's first row leaves room for its name above."""
    place, model = -1.0, None
    for row in rows:
        place += 2.0 if row.model != model else 1.0
        if model is None:
            place = 0.85
        model = row.model
        yield place


def _name(axis: "Axes", model: str, y: float) -> None:
    """A block's heading: from the figure's left edge along a row of its own, so that long names have room."""
    outward = WIDTH * axis.get_position().x0 - 0.1
    axis.annotate(
        cut(model), (0, y), xycoords=axis.get_yaxis_transform(), xytext=(-72 * outward, 0), textcoords="offset points",
        annotation_clip=False, va="center", fontsize=9, fontweight="bold", color=INK, parse_math=False,
    )  # fmt: skip


def _baseline_line(axis: "Axes", row: Mark, top: float, bottom: float) -> None:
    if row.value is not None:
        axis.plot([100 * row.value] * 2, [top, bottom + 0.35], color=BASE, linewidth=1, zorder=1)


def _draw(axis: "Axes", row: Mark, y: float, place: int) -> None:
    """One dot with its value (baseline) or its change; words where there is nothing to draw."""
    text: dict[str, Any] = {"va": "center", "fontsize": 7.5, "color": INK, "parse_math": False}
    if row.value is None:
        axis.text(0.02, y, "no value", transform=axis.get_yaxis_transform(), **(text | {"color": BASE}))
        return
    if row.baseline is not None:
        axis.plot([100 * row.baseline, 100 * row.value], [y, y], color=FAINT, linewidth=2.5, solid_capstyle="butt", zorder=2)
    colour, shape = (BASE, "|") if place == 0 else (COLOURS[(place - 1) % len(COLOURS)], SHAPES[(place - 1) % len(SHAPES)])
    axis.plot(
        [100 * row.value], [y], shape, color=colour, markersize=9 if place == 0 else 6, markeredgewidth=1.6 if place == 0 else 0.5, zorder=3
    )
    label = f"{100 * row.value:.1f}" if place == 0 else _change(row)
    # To the right of the dot and of the baseline's line, so that neither runs through the number.
    right = max(row.value, row.baseline if row.baseline is not None else row.value)
    axis.annotate(label, (100 * right, y), xytext=(8, 0), textcoords="offset points", **text)


def _change(row: Mark) -> str:
    assert row.value is not None
    return f"{100 * row.value:.1f}" if row.baseline is None else points_text(row.value - row.baseline)


def save_figure1(comparison: Comparison, svg: Path, png: Path) -> None:
    """Write Figure 1 twice; the same comparison gives the same bytes with the same matplotlib."""
    with settings():
        figure = figure1(comparison)
        with whole_file(svg) as beside:
            beside.write_text(svg_of(figure, title=TITLE, text=figure1_text(comparison)), encoding="utf-8")
        with whole_file(png) as beside:
            figure.savefig(beside, format="png", dpi=150, metadata={"Software": None})


def figure1_text(comparison: Comparison) -> str:
    """Figure 1 in words: per metric and precision the mean over models, and the range."""
    parts = []
    for metric in figure_metrics(comparison):
        rows = marks(comparison, metric)
        sides = []
        for name in dict.fromkeys(row.quantizer for row in rows):
            values = [100 * row.value for row in rows if row.quantizer == name and row.value is not None]
            if values:
                sides.append(f"{name} {sum(values) / len(values):.1f} ({min(values):.1f} to {max(values):.1f})")
        parts.append(f"{metric_label(metric)} in percent, mean over models (smallest to largest): {'; '.join(sides)}.")
    return " ".join(parts) or NOTHING
