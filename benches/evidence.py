"""The statistics of a comparison: one pair at FACET's full size, and a study of 40 versions at the demo's sizes, without a model."""

import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from benches import full_size
from benches.memory import rise
from benches.metrics import GIB, best
from benches.rows import Row
from qbias.comparison import compare
from qbias.evidence import evidence_of
from qbias.measure import measure
from qbias.outcomes import outcomes_of
from qbias.pairwise.classification import classification_changes
from qbias.protocol import Protocol
from qbias.records import Evaluation, Outcomes, Pairing
from qbias.report import write_report
from registry.policy import load_policy
from tests.synthetic import QUANTIZERS, synthetic_evaluations


def rows() -> list[Row]:
    """Best of three for the pair; the study once, with its memory."""
    plan = load_policy().analysis_plan()
    facet = full_size.persons()
    sides = [{"facet": outcomes_of(*full_size.moved(facet, seed=seed), Protocol())} for seed in (1, 2)]
    pair = Pairing(*(measured(row, side) for row, side in zip(synthetic_evaluations(1, 2), sides, strict=True)))
    changes = best(lambda: classification_changes(pair, "facet", replace(plan, draws=10_000)))
    versions, seconds = study(), []

    def report() -> None:
        started = time.perf_counter()
        comparison = compare(versions)
        with TemporaryDirectory() as folder:
            write_report(comparison, Path(folder), evidence=evidence_of(comparison, plan), title="Report", commands=())
        seconds.append(time.perf_counter() - started)

    memory = rise(report)
    return [
        Row("FACET, 21,000 persons, 10,000 resamples, all changes of one pair", changes, "s", 2),
        Row("comparison, statistics and report of 40 versions from stored outcomes", seconds[0], "s", 30),
        Row("  memory above the outcomes", memory / GIB, "GiB", 1),
    ]


def study() -> list[Evaluation]:
    """Eight models in five precisions on drawn data of the demo's sizes."""
    inputs = {
        "imagenet": full_size.imagenet(1092, 26, 7),
        "coco": full_size.coco(500, 1500),
        "facet": full_size.persons(2544, 26),
        "fairface": full_size.faces(2000, 240),
    }
    return [
        measured(row, {name: _version(own, place) for name, own in inputs.items()}) for place, row in enumerate(synthetic_evaluations())
    ]


def _version(inputs: full_size.Inputs, place: int) -> Outcomes:
    """A model's own embeddings, and a version's a little beside them."""
    own = full_size.moved(inputs, seed=100 * (place // len(QUANTIZERS) + 1), by=1.0)
    return outcomes_of(*full_size.moved(own, seed=1000 + place), Protocol())


def measured(row: Evaluation, outcomes: dict[str, Outcomes]) -> Evaluation:
    """The evaluation with these outcomes and what is measured of them."""
    return replace(row, outcomes=outcomes, metrics={each.name: each.value for found in outcomes.values() for each in measure(found)[0]})
