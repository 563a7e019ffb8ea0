"""The figures of the calibration page: pure functions of the claims, the same bytes each time."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from benches.calibration.claims import Claim
from benches.calibration.models import ALPHA, MODELS
from qbias.report.drawing import BASE, COLOURS, INK, MARGIN, PAPER, SHAPES, Drawing, bare, settings, svg_of
from qbias.significance.dependence import inflation_curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Claims = Mapping[str, Sequence[Claim]]


def figures(claims: Claims) -> dict[str, list[Drawing]]:
    """By section: inflation, coverage of intervals, power; only what there are claims for."""
    found: dict[str, list[Drawing]] = {}
    for section, draw in (("Tests over models", _inflation), ("Intervals and bands over images", _coverage), ("A planted change", _power)):
        if section in claims:
            with settings():
                found[section] = [draw(claims)]
    return found


def _inflation(claims: Claims) -> Drawing:
    points = [row for row in claims["Tests over models"] if "correlation" in row.at]
    figure, axis = _axes(6.4, 3.0)
    curve = inflation_curve(len(MODELS), alpha=ALPHA, rhos=[place / 50 for place in range(41)])
    axis.plot([x for x, _ in curve], [100 * y for _, y in curve], color=COLOURS[0], linewidth=1.6, label="closed form")
    _with_errors(axis, [row.at["correlation"] for row in points], points, colour=COLOURS[1], shape="o", label="simulated, -+ 2 MC SE")
    axis.axhline(100 * ALPHA, color=BASE, linewidth=1, linestyle="--", label="nominal 5 %")
    axis.set_ylim(0)
    _labels(axis, "correlation between the changes of two models", "tests that reject, %")
    axis.legend(frameon=False, fontsize=7.5, labelcolor=INK, loc="lower right")
    text = "; ".join(f"correlation {row.at['correlation']:g}: {100 * row.estimate:.1f} %" for row in points)
    return _drawing(
        "inflation",
        "The paper's test where models are correlated",
        f"How often the paired t-test over {len(MODELS)} models rejects although nothing changed.",
        f"Simulated share of t-tests that reject although nothing changed: {text}.",
        figure,
    )


def _coverage(claims: Claims) -> Drawing:
    """One row of points per kind of interval; shaded where they should lie."""
    names = ("Intervals and bands over images", "Mean skew and extreme skews", "Models that share their images")
    kinds: dict[str, list[Claim]] = {}
    for row in (row for name in names for row in claims.get(name, ()) if row.what.startswith(("interval", "band"))):
        kinds.setdefault(row.what, []).append(row)
    figure, axis = _axes(8.0, 0.9 + 0.42 * len(kinds), left=0.36)
    for place, rows in enumerate(kinds.values()):
        least, most = 100 * (rows[0].least or 0), 100 * (1 if rows[0].most is None else rows[0].most)
        axis.fill_betweenx([place - 0.4, place + 0.4], least, most, color=MARGIN, linewidth=0)
        for number, row in enumerate(rows):
            height = place + 0.3 * (2 * (number + 0.5) / len(rows) - 1)
            colour = COLOURS[1] if row.verdict == "missed" else COLOURS[0]
            span = [100 * (row.estimate - 2 * row.error), 100 * min(1.0, row.estimate + 2 * row.error)]
            axis.plot(span, [height] * 2, color=colour, linewidth=0.8)
            axis.plot([100 * row.estimate], [height], SHAPES[2] if row.verdict == "missed" else "o", color=colour, markersize=3)
    axis.axvline(95, color=BASE, linewidth=0.8, linestyle="--")
    axis.set_yticks(range(len(kinds)), list(kinds), fontsize=7.5)
    axis.set_ylim(len(kinds) - 0.4, -0.6)
    _labels(axis, "data sets in which the truth is held, % (triangles: outside the bound)", "")
    text = "; ".join(
        f"{what}: {100 * min(row.estimate for row in rows):.1f} to {100 * max(row.estimate for row in rows):.1f} %"
        for what, rows in kinds.items()
    )
    caption = "Coverage of 95 % intervals and bands, a point per setting with -+ 2 MC SE; shaded: where it should lie."
    return _drawing("coverage", "Coverage", caption, f"Coverage by kind of interval. {text}.", figure)


def _power(claims: Claims) -> Drawing:
    points = [row for row in claims["A planted change"] if "share" in row.at]
    figure, axis = _axes(6.4, 3.2)
    words = []
    for number, size in enumerate(sorted({row.at["size"] for row in points})):
        rows = [row for row in points if row.at["size"] == size]
        shares = [100 * row.at["share"] for row in rows]
        axis.plot(shares, [100 * row.estimate for row in rows], color=COLOURS[number], linewidth=1.2)
        _with_errors(axis, shares, rows, colour=COLOURS[number], shape=SHAPES[number], label=f"{size:.0f} persons")
        found = (f"{share:.3g} % flipped {100 * row.estimate:.0f} %" for share, row in zip(shares, rows, strict=True))
        words.append(f"{size:.0f} persons: {', '.join(found)}")
    axis.set_ylim(-3, 103)
    axis.set_xlim(0)
    _labels(axis, "share of the group's predictions that were flipped, %", "planted changes found, %")
    axis.legend(frameon=False, fontsize=7.5, labelcolor=INK, title="size of the group in the class", title_fontsize=7.5)
    caption = "How often the simultaneous band over 20 classes points at the planted class with the right sign, -+ 2 MC SE."
    return _drawing("power", "Power of the band", caption, "Planted changes found. " + "; ".join(words) + ".", figure)


def _axes(width: float, height: float, *, left: float = 0.1) -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), facecolor=PAPER)
    axis = figure.add_axes((left, 0.48 / height, 0.97 - left, 1 - 0.6 / height))
    bare(axis, grid="x" if left > 0.2 else "y")
    return figure, axis


def _with_errors(axis: "Axes", x: Sequence[float], rows: Sequence[Claim], *, colour: str, shape: str, label: str) -> None:
    heights, errors = [100 * row.estimate for row in rows], [200 * row.error for row in rows]
    axis.errorbar(x, heights, yerr=errors, linestyle="", marker=shape, markersize=4, color=colour, elinewidth=0.9, label=label)


def _labels(axis: "Axes", x: str, y: str) -> None:
    axis.set_xlabel(x, fontsize=8, color=INK)
    axis.set_ylabel(y, fontsize=8, color=INK)
    axis.tick_params(labelsize=7.5, labelcolor=INK)


def _drawing(name: str, title: str, caption: str, text: str, figure: "Figure") -> Drawing:
    return Drawing(name, title, caption, text, svg_of(figure, title=title, text=text))
