"""Metrics and report from outcomes, without a model: the sizes of the full FairFace and FACET sets, and forty versions."""

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benches.rows import Row
from qbias.comparison import compare
from qbias.metrics import members, recall_gaps, skews, top_images
from qbias.report import write_report
from tests.synthetic import synthetic_evaluations


def rows() -> list[Row]:
    """Best of three for the metrics; the report once."""
    return [
        Row("skew and NDKL, 10,954 x 319 x 3 attributes", best(skew), "s", 1.5),
        Row("FACET disparities, 21,000 persons, 4 pairs x 2 ks", best(disparities), "s", 0.2),
        Row("report for 40 versions from finished evaluations", best(report, times=1), "s", 30),
    ]


def best(work: Callable[[], object], *, times: int = 3) -> float:
    """The shortest of several runs, in seconds."""
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def skew() -> None:
    """Every prompt's top list once, then three attributes."""
    score_NP = np.random.default_rng(0).standard_normal((10_954, 319)).astype(np.float32)
    groups = (np.arange(10_954) % 7).astype(str).astype(object)
    top_PK = top_images(score_NP, k=1000)
    for _ in range(3):
        skews(groups, score_NP, k=1000, top_PK=top_PK)


def disparities() -> None:
    """Recall gaps of 52 classes for each pair and k."""
    rng = np.random.default_rng(0)
    label, hit, group = rng.integers(0, 52, 21_000), rng.random(21_000) < 0.6, rng.choice(["a", "b", ""], 21_000).astype(object)
    first, second = members(group, "a"), members(group, "b")
    for _ in range(8):
        recall_gaps(label, hit, first, second, classes=52)


def report() -> None:
    """Comparison, tests, tables, figure and page of eight models in five precisions."""
    with TemporaryDirectory() as folder:
        write_report(compare(synthetic_evaluations()), Path(folder), title="Report", commands=())
