"""Heat map of the verdicts: precision and slice down, statistic across; as a figure and as a table of words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qbias.comparison import Comparison
from qbias.report.cells import ORDER, verdict_counts
from qbias.report.drawing import BASE, FAINT, INK, MARKS, PAPER, SHADES, WIDTH, Drawing, cut, settings, svg_of, verdict_key
from qbias.report.labels import VERDICTS, benchmark_label, slice_label, statistic_label
from qbias.significance.records import CellEvidence, Evidence

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROW, COLUMN, LEFT, NAMES, GAP, FOOT = 0.2, 0.58, 2.7, 0.95, 0.22, 0.4
"""Inches: a cell's height and most of its width, room for names on the left, for statistics above a block, between blocks, below."""
WHOLE = "overall"
"""Slice of a metric that has none."""
TITLE = "Verdicts by precision, slice and statistic"
CAPTION = (
    "One cell per precision, slice and statistic, with the shape and shade of its verdict. An empty place is a metric that was not defined "
    "there. The table below says the same in words."
)


@dataclass(frozen=True)
class Block:
    """The verdicts of slices of one benchmark: a row per slice and precision, a column per statistic."""

    benchmark: str
    statistics: tuple[str, ...]
    rows: tuple[tuple[str, str], ...]
    cells: Mapping[tuple[str, str, str], CellEvidence]

    def row(self, slice_: str, quantizer: str) -> list[CellEvidence | None]:
        """The cells of one row; None where there is none."""
        return [self.cells.get((slice_, quantizer, statistic)) for statistic in self.statistics]


def blocks(comparison: Comparison, evidence: Evidence) -> list[Block]:
    """A block for the slices of a benchmark that have the same statistics; single values of an attribute are left to the list of cells."""
    found = []
    places = {metric: place for place, metric in enumerate(comparison.metrics)}
    ordered = sorted(evidence.cells, key=lambda cell: places.get(cell.metric, -1))
    for benchmark in dict.fromkeys([*comparison.benchmarks, *(cell.metric.partition("/")[0] for cell in evidence.cells)]):
        own = [cell for cell in ordered if cell.metric.startswith(f"{benchmark}/") and cell.metric.count("/") <= 2]
        cells = {(slice_, cell.quantizer, statistic): cell for cell in own for slice_, statistic in [_parts(cell.metric)]}
        measured: dict[str, set[str]] = {}
        for slice_, _, statistic in cells:
            measured.setdefault(slice_, set()).add(statistic)
        for known in dict.fromkeys(map(frozenset, measured.values())):
            slices = [name for name, held in measured.items() if held == known]
            statistics = tuple(dict.fromkeys(statistic for slice_, _, statistic in cells if slice_ in slices))
            rows = tuple((slice_, name) for slice_ in slices for name in comparison.quantizers)
            found.append(Block(benchmark, statistics, rows, {key: cell for key, cell in cells.items() if key[0] in slices}))
    return found


def _parts(metric: str) -> tuple[str, str]:
    """Slice and statistic of a metric."""
    _, *slices, statistic = metric.split("/")
    return "/".join(slices), statistic


def slice_name(slice_: str) -> str:
    """A slice for readers."""
    return slice_label(slice_) if slice_ else WHOLE


def heatmap(comparison: Comparison, evidence: Evidence) -> Drawing | None:
    """The figure; None where there is no cell."""
    found = blocks(comparison, evidence)
    if not found:
        return None
    cells = [cell for block in found for cell in block.cells.values()]
    counts = verdict_counts(cells)
    text = f"Verdicts on {len(cells)} cells: " + ", ".join(f"{count} {VERDICTS[name]}" for name, count in counts.items() if count) + "."
    with settings():
        return Drawing("heatmap", TITLE, CAPTION, text, svg_of(_figure(found), title=TITLE, text=text))


def _figure(found: list[Block]) -> "Figure":
    from matplotlib.figure import Figure

    height = sum(NAMES + ROW * len(block.rows) + GAP for block in found) + FOOT
    figure = Figure(figsize=(WIDTH, height), facecolor=PAPER)
    top = height
    for block in found:
        top -= NAMES
        _draw(figure, block, top, height)
        top -= ROW * len(block.rows) + GAP
    verdict_key(figure, ORDER, [VERDICTS[name] for name in ORDER], y=0.16 / height)
    return figure


def _draw(figure: "Figure", block: Block, top: float, height: float) -> None:
    """One block: shaded cells, a mark in each, names beside and above."""
    count, deep = len(block.statistics), ROW * len(block.rows)
    wide = min(COLUMN, (WIDTH - LEFT - 1.05) / count)
    axis = figure.add_axes((LEFT / WIDTH, (top - deep) / height, wide * count / WIDTH, deep / height))
    axis.set(xlim=(0, count), ylim=(len(block.rows), 0), xticks=[], yticks=[])
    axis.set_frame_on(False)
    places = [(x, y, cell.verdict.name) for y, row in enumerate(block.rows) for x, cell in enumerate(block.row(*row)) if cell is not None]
    for name in ORDER:
        own = [(x, y) for x, y, found in places if found == name]
        if own:
            axis.bar([x + 0.5 for x, _ in own], 0.9, width=0.94, bottom=[y + 0.05 for _, y in own], color=SHADES[name])
            axis.plot([x + 0.5 for x, _ in own], [y + 0.5 for _, y in own], MARKS[name][0], color=INK, markersize=4.5, markeredgewidth=0.8)
    starts = [y for y, (slice_, _) in enumerate(block.rows) if y and slice_ != block.rows[y - 1][0]]
    axis.hlines(starts, 0, count, color=FAINT, linewidth=0.8)
    for x, statistic in enumerate(block.statistics):
        axis.annotate(
            cut(statistic_label(statistic), 26), (x + 0.5, 0), xytext=(0, 3), textcoords="offset points", annotation_clip=False,
            rotation=36, ha="left", va="bottom", fontsize=7, color=INK, parse_math=False, rotation_mode="anchor",
        )  # fmt: skip
    _row_names(figure, block, top, height)
    figure.text(
        0.012, (top + 0.12) / height, cut(benchmark_label(block.benchmark), 26), fontsize=9, fontweight="bold", color=INK, parse_math=False
    )


def _row_names(figure: "Figure", block: Block, top: float, height: float) -> None:
    """Each row's precision, and its slice where a new one begins."""
    shared = {"va": "center", "fontsize": 7, "parse_math": False}
    before = None
    for y, (slice_, quantizer) in enumerate(block.rows):
        at = (top - ROW * (y + 0.5)) / height
        if slice_ != before:
            figure.text(0.012, at, cut(slice_name(slice_), 30), color=INK, **shared)  # type: ignore[arg-type]
        figure.text((LEFT - 0.08) / WIDTH, at, cut(quantizer, 20), ha="right", color=BASE, **shared)  # type: ignore[arg-type]
        before = slice_
