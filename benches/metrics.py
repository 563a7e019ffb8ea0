"""Speed and memory of everything after the encoder, at the full benchmarks' sizes, all in one process: no files, no model.

From embeddings to outcomes for ImageNet and COCO (scores, top classes, ranks), from outcomes to metrics for FairFace and FACET, and the
report. Memory is what the process held at its highest above the embeddings or outcomes it started from.
"""

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benches import full_size
from benches.memory import rise
from benches.rows import Row
from qbias.comparison import compare
from qbias.measure import measure
from qbias.outcomes import outcomes_of
from qbias.protocol import Protocol
from qbias.records import Outcomes
from qbias.report import write_report
from tests.evidence_records import evidence_of
from tests.golden.skew_reference import reference_skews
from tests.synthetic import synthetic_evaluations

GIB = 1 << 30


def rows() -> list[Row]:
    """Best of three; the pandas reference and the report once."""
    facet = full_size.facet()
    return [
        *_skews(),
        *_outcomes("COCO ranks both ways, 25,010 captions x 5,000 images x 512", full_size.coco(), seconds=12, gib=1),
        *_outcomes("ImageNet top-5, 50,000 images x 1,000 classes x 80 templates x 512", full_size.imagenet(), seconds=12, gib=0.5),
        Row("FACET, 21,000 persons, 4 pairs x 2 ks, every metric", best(lambda: measure(facet)), "s", 0.2),
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


def _outcomes(what: str, inputs: full_size.Inputs, *, seconds: float, gib: float) -> list[Row]:
    """From embeddings to outcomes; memory in the first run, before the libraries have buffers of their own."""

    def work() -> object:
        return outcomes_of(*inputs, Protocol())

    memory = rise(work)
    return [Row(what, best(work), "s", seconds), Row("  memory above the embeddings", memory / GIB, "GiB", gib)]


def _skews() -> list[Row]:
    """Ours and the pandas reference on the same scores; a ratio is only given where both find the same numbers."""
    outcomes = full_size.fairface()
    started = time.perf_counter()
    theirs = _reference(outcomes)
    slow = time.perf_counter() - started
    found = {row.name: row.value for row in measure(outcomes)[0]}
    if wrong := [name for name, value in theirs.items() if not np.isclose(found[name], value, rtol=0, atol=1e-9)]:
        raise SystemExit(f"the pandas reference finds other values of {', '.join(wrong)}")
    fast = best(lambda: measure(outcomes))
    return [
        Row("FairFace, 10,954 images x 319 prompts x 3 attributes, every metric", fast, "s", 1.5),
        Row("  pandas reference, the same values, once", slow, "s"),
        Row("  pandas reference / ours", slow / fast, "times", least=30),
    ]


def _reference(outcomes: Outcomes) -> dict[str, float]:
    """MinSkew, MaxSkew and NDKL of each attribute by the pandas reference, named as ours."""
    images, k = outcomes.frames["images"], outcomes.facts["k"]
    score_NP = images.filter(regex=r"^score_\d+$").to_numpy()
    means: dict[str, float] = {}
    for name in outcomes.facts["attributes"]:
        found = reference_skews(images[name].tolist(), score_NP, k=k, desired=outcomes.facts["desired"])
        logged = {"min_P": f"min_skew_at_{k}", "max_P": f"max_skew_at_{k}", "ndkl_P": "ndkl"}
        means |= {f"fairface/{name}/{metric}": float(np.mean(found[key])) for key, metric in logged.items()}
    return means


def report() -> None:
    """Comparison, tables, figures and page of eight models in five precisions; the statistics are in benches/evidence.py."""
    comparison = compare(synthetic_evaluations())
    with TemporaryDirectory() as folder:
        write_report(comparison, Path(folder), evidence=evidence_of(comparison), title="Report", commands=())
