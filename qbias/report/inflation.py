"""The inflation curve: how often the paper's test rejects when nothing changed, by the correlation of the models' changes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qbias.report.cells import test_of
from qbias.report.drawing import BASE, INK, PAPER, Drawing, bare, settings, svg_of, tick_text
from qbias.report.labels import percent_text, short
from qbias.significance.dependence import inflation_curve
from qbias.significance.records import Evidence

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CORRELATIONS = tuple(place / 20 for place in range(19))
TITLE = "False alarms of the t-test when models share their images"
CAPTION = (
    "How often the paired t-test over models rejects at the nominal level although nothing changed, by the correlation between the changes "
    "of two models. Ticks at the bottom: mean correlations seen in this study, a tick per cell."
)


@dataclass(frozen=True)
class Inflation:
    """Rejection rates of the t-test over `n` models at level `alpha`, by correlation; (correlation, rate) from low to high."""

    n: int
    alpha: float
    points: Sequence[tuple[float, float]]


def inflation_of(evidence: Evidence) -> Inflation | None:
    """The curve for as many models as the largest test has; None where there is no test."""
    n = max((test.n for cell in evidence.cells if (test := test_of(cell))), default=0)
    return Inflation(n, evidence.plan.alpha, inflation_curve(n, alpha=evidence.plan.alpha, rhos=CORRELATIONS)) if n else None


def inflation_figure(curve: Inflation | None, evidence: Evidence) -> Drawing | None:
    """The figure; None without a curve."""
    if curve is None or not curve.points:
        return None
    seen = [cell.heterogeneity.mean_correlation for cell in evidence.cells if cell.heterogeneity]
    text = _text(curve, seen)
    with settings():
        return Drawing("inflation", TITLE, CAPTION, text, svg_of(_figure(curve, seen), title=TITLE, text=text))


def _figure(curve: Inflation, seen: Sequence[float]) -> "Figure":
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    figure = Figure(figsize=(6.4, 2.9), facecolor=PAPER)
    axis = figure.add_axes((0.1, 0.17, 0.87, 0.72))
    bare(axis, grid="y")
    axis.plot([x for x, _ in curve.points], [y for _, y in curve.points], color="#0072B2", linewidth=1.8, marker="o", markersize=3)
    axis.axhline(curve.alpha, color=BASE, linewidth=1, linestyle="--")
    axis.annotate(f"nominal {100 * curve.alpha:g} %", (1, curve.alpha), xycoords=axis.get_yaxis_transform(), xytext=(-2, 3),
                  textcoords="offset points", ha="right", fontsize=7.5, color=BASE)  # fmt: skip
    axis.plot(seen, [0.0] * len(seen), "|", color="#D55E00", markersize=8, markeredgewidth=0.7, alpha=0.35, clip_on=False)
    axis.set_ylim(0, max(y for _, y in curve.points) * 1.08)
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %"))
    axis.xaxis.set_major_formatter(FuncFormatter(tick_text))
    axis.tick_params(axis="y", labelsize=7.5, labelcolor=INK)
    axis.tick_params(axis="x", labelsize=7.5)
    axis.set_xlabel("correlation between the changes of two models", fontsize=8, color=INK)
    axis.set_title(f"Share of tests over {curve.n} models that reject, nothing changed", fontsize=9, loc="left", color=INK)
    return figure


def _text(curve: Inflation, seen: Sequence[float]) -> str:
    points = "; ".join(f"correlation {short(x, digits=2)}: {percent_text(y)}" for x, y in curve.points[::2])
    here = f" Mean correlations in this study: {short(min(seen), digits=2)} to {short(max(seen), digits=2)}." if seen else ""
    return f"Share of tests over {curve.n} models that reject at {percent_text(curve.alpha)} although nothing changed: {points}.{here}"
