"""Changes of all classes (gaps) or groups (accuracy, mean skew) at once, with their simultaneous band: a panel per slice and precision."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qbias.report.drawing import BASE, FAINT, INK, PAPER, WIDTH, Drawing, cut, round_step, settings, svg_of, tick_text
from qbias.report.labels import benchmark_label, change_text, several, slice_label
from qbias.significance.records import Band, BandEntry, Evidence

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ENTRIES, MOST_SLICES, MOST_COLUMNS = 8, 10, 6
"""Classes or groups in a panel, slices and precisions in the figure; bands.csv has all."""
ROW, HEAD, GAP = 0.165, 0.42, 0.62
"""Inches: height of an entry, head of the figure, and between rows of panels."""
QUIET, LOUD = "#767676", "#D55E00"
TITLE = "Changes of every class and group at once"
CAPTION = (
    "For each slice and precision the model with the largest change of a single class's gap (or group's accuracy or mean skew), and its "
    "classes or groups with the largest changes. With {confidence} confidence all intervals of a model hold their true change together; "
    "those that exclude 0 are drawn with a filled diamond. bands.csv has every class and group of every model."
)

Key = tuple[str, str, str, int]


def chosen_bands(evidence: Evidence) -> dict[Key, dict[str, Band]]:
    """Per benchmark, slice, subject and lowest k, and per precision: the band of the model with the largest change; accuracies last."""
    lowest: dict[tuple[str, str, str], int] = {}
    for band in evidence.bands:
        slice_ = (band.benchmark, band.slice_, band.subject)
        lowest[slice_] = min(band.k, lowest.get(slice_, band.k))
    found: dict[Key, dict[str, Band]] = {}
    for band in evidence.bands:
        if band.entries and band.k == lowest[band.benchmark, band.slice_, band.subject]:
            row = found.setdefault((band.benchmark, band.slice_, band.subject, band.k), {})
            if band.quantizer not in row or _largest(band) > _largest(row[band.quantizer]):
                row[band.quantizer] = band
    # There are most of these: each attribute and each two of them.
    return dict(sorted(found.items(), key=lambda item: (item[0][2] == "accuracy", "-and-" in item[0][1])))


def _largest(band: Band) -> float:
    return max(abs(entry.difference) for entry in band.entries)


def bands_figure(evidence: Evidence, quantizers: Sequence[str]) -> Drawing | None:
    """The figure; None where there is no band."""
    chosen = dict(list(chosen_bands(evidence).items())[:MOST_SLICES])
    if not chosen:
        return None
    text = " ".join(_text(key, row, quantizers) for key, row in chosen.items())
    levels = sorted({band.confidence for row in chosen.values() for band in row.values()})
    confidence = " or ".join(f"{100 * level:.3g} %" for level in levels)
    with settings():
        return Drawing(
            "bands",
            TITLE,
            CAPTION.format(confidence=confidence),
            text,
            svg_of(_figure(chosen, quantizers[:MOST_COLUMNS]), title=TITLE, text=text),
        )


def shown(band: Band) -> list[BandEntry]:
    """The entries with the largest changes, largest first."""
    return sorted(band.entries, key=lambda entry: -abs(entry.difference))[:ENTRIES]


@dataclass(frozen=True)
class _Panel:
    """Where one panel stands, in inches from the figure's top left; `reach` is half the width of its scale."""

    left: float
    right: float
    top: float
    reach: float

    def x(self, value: float) -> float:
        return (self.left + self.right) / 2 + value / self.reach * (self.right - self.left) / 2

    def y(self, place: float) -> float:
        return self.top + ROW * (place + 0.5)


def _figure(chosen: dict[Key, dict[str, Band]], quantizers: Sequence[str]) -> "Figure":
    from matplotlib.figure import Figure

    deep = [ROW * max(len(shown(band)) for band in row.values()) for row in chosen.values()]
    height = HEAD + sum(deep) + GAP * len(deep)
    figure = Figure(figsize=(WIDTH, height), facecolor=PAPER)
    # One set of axes in inches for all panels: a set for each would take seconds.
    axis = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(height, 0))
    axis.set_axis_off()
    wide = (WIDTH - 0.1) / len(quantizers)
    letters = int(42 / len(quantizers) ** 0.8)
    names = 0.06 * min(letters, _longest(chosen)) + 0.12
    top = HEAD + 0.12
    for (key, row), tall in zip(chosen.items(), deep, strict=True):
        reach = 1.05 * max(abs(end) for band in row.values() for entry in shown(band) for end in (entry.low, entry.high)) or 0.01
        _write(axis, 0.12, top - 0.24, heading(key), size=9, weight="bold")
        for place, quantizer in enumerate(quantizers):
            left = 0.05 + place * wide
            panel = _Panel(left + names, left + wide - 0.12, top, reach)
            _draw(axis, panel, row.get(quantizer), letters, tall)
            said = f"{quantizer}: {row[quantizer].model}" if quantizer in row else f"{quantizer}: no band"
            _write(axis, panel.right, top - 0.06, cut(said, int(88 / len(quantizers)) + 14), colour=BASE, side="right")
        top += tall + GAP
    return figure


def _write(
    axis: "Axes", x: float, y: float, text: str, *, size: float = 7, colour: str = INK, side: str = "left", weight: str = "normal"
) -> None:
    axis.text(x, y, text, fontsize=size, color=colour, ha=side, va="center", fontweight=weight, parse_math=False)


def _longest(chosen: dict[Key, dict[str, Band]]) -> int:
    return max(len(entry.name) for row in chosen.values() for band in row.values() for entry in shown(band))


def heading(key: Key) -> str:
    """What a row of panels shows."""
    benchmark, slice_, subject, k = key
    what = f"gap of each class at {k}" if subject == "gap" else f"{subject} at {k} of each group"
    return f"{benchmark_label(benchmark)} {cut(slice_label(slice_), 40)}: change of the {what}"


def _draw(axis: "Axes", panel: _Panel, band: Band | None, letters: int, tall: float) -> None:
    """One panel: scale, zero line, and an interval per entry."""
    bottom = panel.top + tall
    axis.hlines([bottom], [panel.left], [panel.right], color=FAINT, linewidth=0.8)
    step = round_step(panel.reach)
    axis.vlines([panel.x(value) for value in (-step, step)], panel.top, bottom, color=FAINT, linewidth=0.5)
    axis.vlines([panel.x(0)], panel.top, bottom, color=BASE, linewidth=0.8)
    for value in (-step, 0, step):
        _write(axis, panel.x(value), bottom + 0.09, tick_text(value), side="center")
    if band is None:
        return
    entries, outside = shown(band), set(band.outside)
    for loud in (False, True):
        rows = [(panel.y(place), entry) for place, entry in enumerate(entries) if (entry in outside) == loud]
        places, colour = [y for y, _ in rows], LOUD if loud else QUIET
        axis.hlines(
            places, [panel.x(entry.low) for _, entry in rows], [panel.x(entry.high) for _, entry in rows], color=colour, linewidth=1.4
        )
        axis.plot([panel.x(entry.difference) for _, entry in rows], places, "D" if loud else "o", color=colour, markersize=3.6)
    for place, entry in enumerate(entries):
        _write(axis, panel.left - 0.06, panel.y(place), cut(entry.name, letters), side="right")


def _text(key: Key, row: dict[str, Band], quantizers: Sequence[str]) -> str:
    """One row of panels in words."""
    parts = []
    for name in quantizers:
        if band := row.get(name):
            first = shown(band)[0]
            span = f"{change_text(first.difference)} ({change_text(first.low)} to {change_text(first.high)})"
            several_out = several(len(band.outside), "interval excludes", "intervals exclude")
            parts.append(f"{name}, {band.model}: {first.name} {span}, {several_out} 0")
    return f"{heading(key)}: {'; '.join(parts)}."
