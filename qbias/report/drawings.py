"""All figures beside Figure 1, in the order of the page."""

from qbias.comparison import Comparison
from qbias.report.bands_figure import bands_figure
from qbias.report.drawing import Drawing
from qbias.report.forest import forest
from qbias.report.heatmap import heatmap
from qbias.report.inflation import inflation_figure, inflation_of
from qbias.report.slopes import slopes
from qbias.significance.records import Evidence

NAMES = ("forest", "slopes", "heatmap", "bands", "inflation")


def drawings(comparison: Comparison, evidence: Evidence) -> dict[str, Drawing]:
    """The figures that there is something to draw for, by their names."""
    found = (
        forest(comparison, evidence),
        slopes(comparison, evidence),
        heatmap(comparison, evidence),
        bands_figure(evidence, comparison.quantizers),
        inflation_figure(inflation_of(evidence), evidence),
    )
    return {row.name: row for row in found if row}
