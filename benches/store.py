"""How `compare` grows with the store: 500, 1,000 and 2,000 evaluation runs, each of a version of its own, from search to pairs.

Timed is all that `compare` does before the tests: reading versions and runs from the database, checking and reading every outcome file, and
pairing. The runs are tiny, so what is seen is the cost per run and not that of its images. The store is made with MLflow's own calls, but
all runs' outcome files are links to those of one model: the time to make it is not reported.
"""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlparse

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from benches.rows import Row
from qbias.digests import bytes_digest, file_digest, mapping_digest
from qbias.outcomes import write_outcomes
from qbias.pairing import pair
from registry.cards import VersionCard, card_of, version_cards
from registry.evidence import evaluations
from tests.evidence_builder import MACHINE, all_outcomes
from tests.synthetic import QUANTIZERS

SIZES = (500, 1000, 2000)
METRICS, PARAMS = 100, 40
"""As many as an evaluation of all four benchmarks logs."""


def rows() -> list[Row]:
    """Seconds at each size, and how much more the last doubling took than twice."""
    with tempfile.TemporaryDirectory(prefix="qbias-bench-") as folder, _store(Path(folder)) as experiment:
        outcomes = Path(folder) / "outcomes"
        digests = _written(outcomes)
        seconds: list[float] = []
        made = 0
        for size in SIZES:
            for number in range(made // len(QUANTIZERS), size // len(QUANTIZERS)):
                for card in _versions(f"model-{number:04d}"):
                    _log(card, experiment, outcomes, digests)
            made = size
            seconds.append(_compared(size))
    found = [Row(f"compare before its tests, {size:,} evaluation runs", value, "s") for size, value in zip(SIZES, seconds, strict=True)]
    most = Row(found[-1].what, found[-1].value, "s", 30)
    growth = Row(f"  {SIZES[-1]:,} runs / {SIZES[-2]:,} runs", seconds[-1] / seconds[-2], "times", 2.3)
    return [*found[:-1], most, growth]


def _compared(size: int) -> float:
    started = time.perf_counter()
    found, problems = evaluations(version_cards())
    pairings, refusals = pair(found)
    taken = time.perf_counter() - started
    if (len(found), len(pairings)) != (size, size - size // len(QUANTIZERS)) or problems or refusals:
        raise SystemExit(f"of {size} runs {len(found)} were read and {len(pairings)} paired: {[*problems, *refusals][:3]}")
    return taken


@contextmanager
def _store(folder: Path) -> Iterator[str]:
    """A new store as MLflow's current one; the id of its experiment."""
    before, uri = mlflow.get_tracking_uri(), f"sqlite:///{folder}/mlflow.db"
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    try:
        yield MlflowClient().create_experiment("bench", artifact_location=(folder / "artifacts").as_uri())
    finally:
        mlflow.set_tracking_uri(before)
        mlflow.set_registry_uri("")


def _written(folder: Path) -> dict[str, str]:
    """Outcome files of all benchmarks, and their digests as a run's tag wants them."""
    found = all_outcomes()
    for name, outcomes in found.items():
        write_outcomes(outcomes, folder / name)
    return {name: file_digest(folder / name / "outcomes.json") for name in found}


def _versions(model: str) -> Iterator[VersionCard]:
    """A registered model in all precisions; versions have tags and no files."""
    client = MlflowClient()
    client.create_registered_model(model)
    for number, quantizer in enumerate(QUANTIZERS, start=1):
        content = bytes_digest(f"{model} {quantizer}".encode())
        tags = {"qbias.quantizer": quantizer, "qbias.weights_sha256": content, "qbias.content": content}
        tags["qbias.baseline_version"] = "self" if number == 1 else "1"
        yield card_of(client.create_model_version(model, source=f"/nowhere/{content}", tags=tags))


def _log(card: VersionCard, experiment: str, outcomes: Path, digests: dict[str, str]) -> None:
    """An evaluation run as the evaluator writes it, in three calls."""
    client = MlflowClient()
    tags = {
        "qbias.kind": "evaluation", "qbias.model": card.name, "qbias.version": card.version, "qbias.weights_sha256": card.weights_sha256,
        "qbias.machine": json.dumps(MACHINE), "qbias.benchmarks": ",".join(digests), "qbias.outcomes_digest": mapping_digest(digests),
        "qbias.evaluation_key": card.content,
    }  # fmt: skip
    run = client.create_run(experiment, tags=tags)
    metrics = [Metric(f"facet/metric_{number}", number / METRICS, 0, 0) for number in range(METRICS)]
    params = [Param(f"param_{number}", str(number)) for number in range(PARAMS)]
    client.log_batch(run.info.run_id, metrics=metrics, params=params)
    place = Path(urlparse(run.info.artifact_uri).path)
    shutil.copytree(outcomes, place / "outcomes", copy_function=os.link)
    client.set_terminated(run.info.run_id)
