"""Every metric of a benchmark from its outcomes: a table of metrics by kind. The tables behind them are in group_tables.py.

To add a metric: a function in families.py (its arithmetic belongs in qbias/metrics), a row in METRICS, a golden value in the tests.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from qbias.families import Result, accuracies, disparities, recalls, skew_summaries, value_skews, worst_groups
from qbias.group_tables import class_table, group_table, recall_table
from qbias.measurable import Measurable
from qbias.metrics import macro_gap, max_disparity, min_disparity
from qbias.prepared import Prepared
from qbias.records import Harm, Insufficient, Kind, Measured, Outcomes


@dataclass(frozen=True)
class Metric:
    """A family of logged metrics: their names, which change of them hurts, and how they are computed.

    Attributes
    ----------
    pattern : the logged name, its variable parts in braces (protocol.md 8).
    kind : the kind of benchmark it belongs to.
    harm : see records.Harm.
    compute : the family's values from outcomes, whole or tallied, each under its full name.
    """

    pattern: str
    kind: Kind
    harm: Harm
    compute: Callable[[Measurable, str], Iterator[Result]]


METRICS: tuple[Metric, ...] = (
    Metric("{benchmark}/accuracy_at_{k}", "classification", "lower", accuracies),
    Metric(
        "{benchmark}/{pair}/min_disparity_at_{k}",
        "classification",
        "higher",
        disparities(lambda prepared, gaps: min_disparity(gaps, sign=prepared.facts["sign"])),
    ),
    Metric(
        "{benchmark}/{pair}/max_disparity_at_{k}",
        "classification",
        "higher",
        disparities(lambda prepared, gaps: max_disparity(gaps, sign=prepared.facts["sign"])),
    ),
    Metric(
        "{benchmark}/{pair}/min_absolute_disparity_at_{k}",
        "classification",
        "higher",
        disparities(lambda _, gaps: min_disparity(gaps, sign="absolute")),
    ),
    Metric(
        "{benchmark}/{pair}/max_absolute_disparity_at_{k}",
        "classification",
        "higher",
        disparities(lambda _, gaps: max_disparity(gaps, sign="absolute")),
    ),
    Metric(
        "{benchmark}/{pair}/min_signed_disparity_at_{k}",
        "classification",
        "none",
        disparities(lambda _, gaps: min_disparity(gaps, sign="signed")),
    ),
    Metric(
        "{benchmark}/{pair}/max_signed_disparity_at_{k}",
        "classification",
        "none",
        disparities(lambda _, gaps: max_disparity(gaps, sign="signed")),
    ),
    Metric("{benchmark}/{pair}/macro_gap_at_{k}", "classification", "none", disparities(lambda _, gaps: macro_gap(gaps))),
    Metric("{benchmark}/{attribute}/worst_group_accuracy_at_{k}", "classification", "lower", worst_groups),
    Metric("{benchmark}/image_retrieval_recall_at_{k}", "retrieval", "lower", recalls("captions", "images")),
    Metric("{benchmark}/text_retrieval_recall_at_{k}", "retrieval", "lower", recalls("images", "captions")),
    Metric("{benchmark}/{attribute}/min_skew_at_{k}", "skew", "none", skew_summaries(lambda found: float(found.min_P.mean()))),
    Metric("{benchmark}/{attribute}/max_skew_at_{k}", "skew", "higher", skew_summaries(lambda found: float(found.max_P.mean()))),
    Metric("{benchmark}/{attribute}/ndkl", "skew", "higher", skew_summaries(lambda found: float(found.ndkl_P.mean()))),
    Metric("{benchmark}/{attribute}/{value}/mean_skew_at_{k}", "skew", "none", value_skews),
)
PARTS = {
    "benchmark": r"[\w\-]+",
    "pair": r"[\w\-]+",
    "attribute": r"[\w\-]+",
    "value": r"[0-9a-z\-]+",
    "k": r"\d+",
}


def measure(outcomes: Outcomes) -> tuple[list[Measured], list[Insufficient]]:
    """Every metric of the benchmark's kind, and every one that could not be computed with its reason.

    Parameters
    ----------
    outcomes : one model's outcomes on one benchmark.

    Returns
    -------
    Measured values (all finite) and Insufficient records; each name stands in exactly one of the lists.

    Raises
    ------
    ValueError
        If two pairs, attributes or values would share a metric's name.
    """
    return measured(Prepared(outcomes), outcomes.kind)


def measured(source: Measurable, kind: Kind) -> tuple[list[Measured], list[Insufficient]]:
    """What `measure` gives, from anything that answers the families' questions, such as a Tally."""
    rows = (row for row in METRICS if row.kind == kind)
    results = [result for row in rows for result in row.compute(source, row.pattern)]
    shared = [name for name, times in Counter(result.name for result in results).items() if times > 1]
    if shared:
        raise ValueError(
            f"pairs, attributes or values share a metric name ({', '.join(shared[:3])}): rename them so that letters or digits differ"
        )
    found = [result for result in results if isinstance(result, Measured)]
    assert all(np.isfinite(result.value) for result in found)
    return found, [result for result in results if isinstance(result, Insufficient)]


def harm_of(metric_name: str) -> Harm:
    """Which direction of change of a logged metric hurts.

    Raises
    ------
    ValueError
        If no row of METRICS makes such a name.

    Examples
    --------
    >>> harm_of("facet/gender_mf/max_disparity_at_1"), harm_of("imagenet/accuracy_at_5")
    ('higher', 'lower')
    """
    for row in METRICS:
        if re.fullmatch(row.pattern.format(**PARTS), metric_name, flags=re.ASCII):
            return row.harm
    raise ValueError(f"unknown metric {metric_name!r}: names look like {', '.join(row.pattern for row in METRICS)}")


__all__ = ["METRICS", "Metric", "class_table", "group_table", "harm_of", "measure", "measured", "recall_table"]
