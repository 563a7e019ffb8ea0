"""Every metric of a benchmark from its outcomes: a table of metrics by kind, and the tables behind them.

To add a metric: a function in families.py (its arithmetic belongs in qbias/metrics), a row in METRICS, a golden value in the tests.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from qbias.families import Result, accuracies, disparities, recalls, skew_summaries, value_skews
from qbias.metrics import accuracy, intersection, macro_gap, max_disparity, members, min_disparity, values
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
    compute : the family's values from prepared outcomes, each under its full name.
    """

    pattern: str
    kind: Kind
    harm: Harm
    compute: Callable[[Prepared, str], Iterator[Result]]


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
    Metric("{benchmark}/image_retrieval_recall_at_{k}", "retrieval", "lower", recalls("captions", "images")),
    Metric("{benchmark}/text_retrieval_recall_at_{k}", "retrieval", "lower", recalls("images", "captions")),
    Metric("{benchmark}/{attribute}/min_skew_at_{k}", "skew", "lower", skew_summaries(lambda found: float(found.min_P.mean()))),
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
    """
    prepared = Prepared(outcomes)
    rows = (row for row in METRICS if row.kind == outcomes.kind)
    results = [result for row in rows for result in row.compute(prepared, row.pattern)]
    measured = [result for result in results if isinstance(result, Measured)]
    assert all(np.isfinite(result.value) for result in measured)
    return measured, [result for result in results if isinstance(result, Insufficient)]


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


CLASS_COLUMNS = (
    "class", "class_name", "pair", "k", "first", "second", "n_first", "n_second", "recall_first", "recall_second", "gap", "eligible",
)  # fmt: skip


def class_table(outcomes: Outcomes) -> pd.DataFrame:
    """Per class, pair and k: positives and recall in both groups, the gap, and whether the floor is met.

    Empty for benchmarks without pairs. Recalls and gaps are missing (NaN) where a group has no positive of the class.
    """
    if outcomes.kind != "classification":
        return pd.DataFrame(columns=list(CLASS_COLUMNS))
    prepared = Prepared(outcomes)
    ends = {pair.name: (pair.first, pair.second) for pair in prepared.pairs}
    parts = []
    for (pair, k), gaps in prepared.gaps.items():
        first, second = ends[pair]
        columns = (
            range(len(prepared.classes)), prepared.classes, pair, k, first, second, gaps.count_first_C, gaps.count_second_C,
            gaps.recall_first_C, gaps.recall_second_C, gaps.gap_C, gaps.eligible_C,
        )  # fmt: skip
        parts.append(pd.DataFrame(dict(zip(CLASS_COLUMNS, columns, strict=True))))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(CLASS_COLUMNS))


def group_table(outcomes: Outcomes) -> pd.DataFrame:
    """Accuracy by group and by intersection of two attributes (say gender & skin tone), with the floor on group size.

    One row per attribute (or two, joined by ` & `), group and k: images, accuracy, whether the group has `min_per_group` images, and
    whether it is the attribute's worst eligible group. Groups without images do not stand in it.
    """
    columns = ["attribute", "group", "k", "images", "accuracy", "eligible", "worst"]
    if outcomes.kind != "classification":
        return pd.DataFrame(columns=columns)
    prepared = Prepared(outcomes)
    images, floor = outcomes.frames["images"], int(prepared.facts["min_per_group"])
    rows: list[tuple[str, str, int, int, float, bool, bool]] = []
    for attribute, group_N in _attributes(prepared).items():
        for k in prepared.ks:
            hit = images[f"hit_at_{k}"].to_numpy(dtype=bool)
            found = [(group, hit[members(group_N, group)]) for group in values(group_N)]
            shares = [(group, len(some), accuracy(some)) for group, some in found]
            worst = min((share for _, count, share in shares if count >= floor), default=None)
            rows += [(attribute, name, k, n, share, n >= floor, n >= floor and share == worst) for name, n, share in shares]
    return pd.DataFrame(rows, columns=columns)


def _attributes(prepared: Prepared) -> dict[str, list[str]]:
    """The pairs' columns, and each two of them together."""
    single = {pair.column: [str(cell) for cell in prepared.column(pair.column)] for pair in prepared.pairs}
    both = {f"{one} & {two}": intersection(single[one], single[two]) for one, two in combinations(single, 2)}
    return single | both
