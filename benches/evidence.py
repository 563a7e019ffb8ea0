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
from tests.synthetic import MACHINE, NAMES, QUANTIZERS


def rows() -> list[Row]:
    """Best of three for the pair; the study once, with its memory."""
    plan = load_policy().analysis_plan()
    pair = Pairing(
        *(
            evaluation("full", str(seed), {"facet": outcomes_of(*full_size.moved(full_size.persons(), seed=seed), Protocol())})
            for seed in (1, 2)
        )
    )
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
    found = []
    for model, name in enumerate(NAMES[:8]):
        for version in range(1, len(QUANTIZERS) + 1):
            made = {benchmark: _version(row, model, version) for benchmark, row in inputs.items()}
            found.append(evaluation(name, str(version), made))
    return found


def _version(inputs: full_size.Inputs, model: int, version: int) -> Outcomes:
    """A model's own embeddings, and a version's a little beside them."""
    own = full_size.moved(inputs, seed=100 * (model + 1), by=1.0)
    return outcomes_of(*full_size.moved(own, seed=100 * (model + 1) + version), Protocol())


def evaluation(model: str, version: str, outcomes: dict[str, Outcomes]) -> Evaluation:
    """As it would be read from the store."""
    _, size, source = model.split("-", 2) if model.count("-") > 1 else ("", "s8", "other")
    return Evaluation(
        model=model, quantizer=QUANTIZERS[int(version) - 1], version=version, baseline_version="1", source=source, size=size,
        run_id=f"run-{model}-{version}", weights_sha256=version * 64, machine=MACHINE, outcomes=outcomes,
        metrics={row.name: row.value for found in outcomes.values() for row in measure(found)[0]},
    )  # fmt: skip
