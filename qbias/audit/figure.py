"""The plot of an audit: signal-to-quantization-noise ratio per layer. matplotlib is imported only when it is drawn."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qbias.audit.table import TOWERS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from qbias.audit.record import Audit, LayerRow

# Okabe and Ito's colours, with a shape each, so that neither colour nor shape alone must be told apart.
KINDS = {
    "q_proj": ("#0072B2", "o", "query"),
    "k_proj": ("#56B4E9", "s", "key"),
    "v_proj": ("#009E73", "^", "value"),
    "out_proj": ("#CC79A7", "D", "attention output"),
    "fc1": ("#D55E00", "v", "MLP, first"),
    "fc2": ("#E69F00", "P", "MLP, second"),
    "projection": ("#1b1b1b", "X", "projection"),
}
INK, FAINT = "#1b1b1b", "#d4d4d4"
SIZE = (9.0, 3.6)
"""Inches."""


def place(layer: str, depth: int) -> tuple[int, str]:
    """Where a layer stands: number of its block (from 1; `depth` + 1 for a projection) and which of KINDS it is."""
    found = re.search(r"\.layers\.(\d+)\.", layer)
    return (int(found[1]) + 1, layer.rpartition(".")[2]) if found else (depth + 1, "projection")


def sqnr_figure(audit: "Audit", file: Path) -> None:
    """Draw a panel per tower, blocks from left to right, a point per quantized layer; write `file` as .svg and .png."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.hashsalt": "qbias", "svg.fonttype": "none"}):
        figure = Figure(figsize=SIZE, facecolor="white")
        axes = figure.subplots(1, 2, sharey=True)
        figure.subplots_adjust(left=0.075, right=0.8, top=0.85, bottom=0.15, wspace=0.06)
        for axis, tower in zip(axes, TOWERS, strict=True):
            _panel(axis, tower, [row for row in audit.layers if row.tower == tower])
        axes[0].set_ylabel("SQNR in dB (higher: less noise)", color=INK)
        _legend(axes[0], audit.layers)
        figure.suptitle(
            f"{audit.quantizer}: each layer's own quantization noise, fed with the baseline's activations", x=0.075, ha="left", fontsize=11
        )
        figure.savefig(file.with_suffix(".svg"), metadata={"Date": None})
        figure.savefig(file.with_suffix(".png"), dpi=100)


def _panel(axis: "Axes", tower: str, rows: "Sequence[LayerRow]") -> None:
    depth = max(place(row.layer, 0)[0] for row in rows)
    kept = sum(not row.quantized for row in rows)
    axis.set_title(f"{tower} tower, {len(rows) - kept} layers quantized, {kept} kept in float", loc="left", y=1.02, fontsize=9, color=INK)
    for kind, (colour, shape, _) in KINDS.items():
        points = [(place(row.layer, depth), row.sqnr) for row in rows if row.sqnr is not None]
        own = [(block, value) for (block, name), value in points if name == kind]
        if own:
            axis.plot(*zip(*own, strict=True), shape, color=colour, markersize=6, linestyle="-", linewidth=0.8)
    if all(row.sqnr is None for row in rows):
        reason = next((row.note for row in rows if row.quantized), "no layer of this tower is quantized")
        axis.text(0.5, 0.5, reason, transform=axis.transAxes, ha="center", va="center", fontsize=9, color=INK, wrap=True)
    step = 1 + depth // 13
    ticks = list(range(1, depth + 1, step))
    axis.set_xlim(0.5, depth + 1.5)
    axis.set_xticks([*ticks, depth + 1], [*map(str, ticks), "end"])
    axis.set_xlabel("block (end: the projection)", color=INK)
    axis.grid(axis="y", color=FAINT, linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)


def _legend(axis: "Axes", rows: "Sequence[LayerRow]") -> None:
    from matplotlib.lines import Line2D

    drawn = {place(row.layer, 0)[1] for row in rows if row.sqnr is not None}
    lines = [
        Line2D([], [], color=colour, marker=shape, label=says, markersize=6, linewidth=0.8)
        for kind, (colour, shape, says) in KINDS.items()
        if kind in drawn
    ]
    if lines:
        axis.figure.legend(handles=lines, loc="center left", bbox_to_anchor=(0.81, 0.5), frameon=False, fontsize=9)
