"""What the figures share: colours, settings that make the same bytes each time, files, and how a drawing stands in the page.

matplotlib is imported only when a figure is drawn.
"""

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart in every common colour blindness and on white; each precision also has its own row and shape.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
SHAPES = ("o", "s", "^", "D", "v", "P")
INK, FAINT, BASE = "#1b1b1b", "#d4d4d4", "#555555"
PAPER, MARGIN, NOISE = "#ffffff", "#e4eaf1", "#b9c6d6"
"""The page itself, and the shades of a margin and of a noise floor."""
WIDTH = 10.0
"""Inches: width of a figure."""
MARKS = {
    "worse": ("X", "#D55E00"), "better": ("P", "#0072B2"), "changed": ("D", "#A8457F"), "equivalent": ("s", "#009E73"),
    "inconclusive": ("o", "#767676"), "insufficient": ("_", "#969696"),
}  # fmt: skip
"""Shape and colour of each verdict: the shape says it where the colour is not seen."""
SHADES = {
    "worse": "#fbdcc8", "better": "#cfe4f5", "changed": "#efd5e6", "equivalent": "#d3eddf", "inconclusive": "#f0f0f1",
    "insufficient": "#fcfcfd",
}  # fmt: skip
"""Pale background of each verdict in a heat map."""
THEME = {
    INK: "--ink", FAINT: "--line", BASE: "--soft", PAPER: "--page", MARGIN: "--margin", NOISE: "--noise",
    **{shade: f"--v-{name}" for name, shade in SHADES.items()},
}  # fmt: skip
"""Colours that follow the page's light or dark style once a drawing stands in it."""


@dataclass(frozen=True)
class Drawing:
    """A finished figure: name of its file, heading, what it shows, the same in words with its numbers, and the SVG."""

    name: str
    title: str
    caption: str
    text: str
    svg: str


@contextmanager
def settings() -> Iterator[None]:
    """Drawing that depends on nothing but the data: fixed ids, one font, letters as outlines."""
    import matplotlib

    with matplotlib.rc_context(
        {"svg.hashsalt": "qbias", "svg.fonttype": "path", "font.family": ["DejaVu Sans"], "axes.unicode_minus": True}
    ):
        yield


def svg_of(figure: "Figure", *, title: str = "", text: str = "") -> str:
    """A figure as SVG; `title` and `text` stand in it for whoever cannot see it."""
    words = {"Title": title, "Description": text} if title else {}
    beside = StringIO()
    figure.savefig(beside, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None, **words})
    return beside.getvalue()


def inline_svg(svg: str, *, prefix: str = "") -> Markup:
    """A drawn SVG as part of a page: without prolog, comments and fixed size, in the page's colours, hidden from screen readers.

    Those get the text beside it. `prefix` keeps the ids of several drawings apart.
    """
    body = re.sub(r"<!--.*?-->\s*|<metadata>.*?</metadata>\s*|<title>.*?</title>\s*", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    body = re.sub(r'(\sid="|href="#|url\(#)', rf"\g<1>{prefix}", body)
    for colour, variable in THEME.items():
        body = body.replace(f": {colour}", f": var({variable})")
    head, rest = body.split(">", 1)
    head = re.sub(r'\s(width|height)="[^"]*"', "", head)
    # matplotlib escapes text that it writes into the file; everything else in it is its own.
    return Markup(f'{head} aria-hidden="true" focusable="false">{rest}')  # noqa: S704


def cut(name: str, most: int = 60) -> str:
    """A name short enough for its place."""
    return name if len(name) <= most else name[: most - 1] + "…"


def bare(axis: "Axes", *, grid: str = "x") -> None:
    """Take away what says nothing: frame, tick marks; keep a faint grid."""
    if grid:
        axis.grid(axis="x" if grid == "x" else "y", color=FAINT, linewidth=0.5)
    axis.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    axis.spines["bottom"].set_color(FAINT)
    axis.tick_params(axis="y", length=0, pad=4)
    axis.tick_params(axis="x", labelsize=7, color=FAINT, labelcolor=INK)


def round_step(reach: float) -> float:
    """The largest round number that has room on both sides of a scale from -reach to reach.

    Examples
    --------
    >>> round_step(0.13), round_step(1.0)
    (0.1, 0.5)
    """
    power = 10.0 ** math.floor(math.log10(reach * 0.8))
    return max(factor * power for factor in (1, 2, 5) if factor * power <= reach * 0.8)


def tick_text(value: float, _place: int | None = None) -> str:
    """A tick's number as the tables write numbers."""
    text = f"{value:.4f}".rstrip("0").rstrip(".").replace("-", "−").replace("0.", ".")
    return "0" if text in ("", "−0", "−") else text


def verdict_key(figure: "Figure", names: Sequence[str], words: Sequence[str], *, y: float, x: float = 0.01) -> None:
    """A row that says which shape and colour is which verdict."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], linestyle="", marker=MARKS[name][0], color=MARKS[name][1], markersize=6, label=word)
        for name, word in zip(names, words, strict=True)
    ]
    figure.legend(
        handles=handles, loc="center left", bbox_to_anchor=(x, y), ncols=len(handles), frameon=False, fontsize=7.5, labelcolor=INK,
        handletextpad=0.2, columnspacing=1.1, borderaxespad=0,
    )  # fmt: skip
