"""What a comparison's endpoints may name: a logged metric, or the largest change of mean skew over all groups of a skew benchmark.

The second is a composite: for each group its mean skew is compared over models, and the endpoint speaks for all groups at once
(qbias/significance/composite.py). It has no value of its own on one model, so no evaluation logs it.
"""

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

from qbias.measure import METRICS, harm_of
from qbias.records import Harm
from qbias.significance import AnalysisPlan, Margin

LARGEST = "largest_mean_skew_change"


def is_composite(metric: str) -> bool:
    """Whether an endpoint speaks for all groups of a skew benchmark."""
    return re.fullmatch(rf"[\w\-]+/{LARGEST}", metric, flags=re.ASCII) is not None


def members(metric: str, names: Iterable[str]) -> list[str]:
    """Of the logged names, those that a composite endpoint speaks for.

    Examples
    --------
    >>> members("fairface/largest_mean_skew_change", ["fairface/race/black/mean_skew_at_1000", "fairface/race/ndkl"])
    ['fairface/race/black/mean_skew_at_1000']
    """
    benchmark = metric.partition("/")[0]
    return [name for name in names if re.fullmatch(rf"{re.escape(benchmark)}/[^/]+/[^/]+/mean_skew_at_\d+", name)]


def endpoint_harm(metric: str) -> Harm:
    """Which direction of change of an endpoint hurts; a composite's is `none`.

    Raises
    ------
    ValueError
        If no metric has such a name.
    """
    try:
        return "none" if is_composite(metric) else harm_of(metric)
    except ValueError:
        known = ", ".join([*(row.pattern for row in METRICS), "{benchmark}/" + LARGEST])
        raise ValueError(f"unknown metric {metric!r}: names look like {known}") from None


def margin_of(metric: str, plan: AnalysisPlan) -> Margin | None:
    """The margin of a metric: its endpoint's, else that of the first pattern that matches; None where the plan has none."""
    for endpoint in plan.endpoints:
        if endpoint.metric == metric:
            return Margin(metric, endpoint.margin, endpoint.why)
    return next((row for row in plan.margins if fnmatchcase(metric, row.pattern)), None)
