"""Evaluations, read from MLflow: the newest finished run of each version, checked against the digests that were written with it.

Runs may lie in any experiment, so all active ones are searched. What does not agree with its digest is not used, and the reason is kept.
"""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowException
from mlflow.entities import Run

from qbias.digests import file_digest, mapping_digest
from qbias.outcomes import read_outcomes
from qbias.records import Evaluation, Outcomes
from qbias.store import cache_root, whole_folder
from qbias.tables import split_names
from registry.cards import VersionCard
from registry.runs import download, local_artifact, runs_of_kind

KEY = "qbias.evaluation_key"
UNREADABLE = (ValueError, KeyError, TypeError, OSError, MlflowException)
"""What reading a run may raise where something of it is missing or is not as it was written."""


@dataclass(frozen=True)
class Problem:
    """A version whose evaluation cannot be used, and why. `run_id` is empty where there is no run at all."""

    model: str
    version: str
    run_id: str
    reason: str


def evaluations(cards: Sequence[VersionCard]) -> tuple[list[Evaluation], list[Problem]]:
    """The latest finished evaluation of each version, with outcomes; and a problem for each version that has none.

    Parameters
    ----------
    cards : the versions, from registry/cards.py.

    Returns
    -------
    Evaluations and problems, each in the order of `cards`; one entry per card in exactly one of the two lists.
    """
    runs = evaluation_runs()
    found: list[Evaluation] = []
    problems: list[Problem] = []
    for card in cards:
        own = runs.get((card.name, card.version), [])
        try:
            found.append(evaluation_of(newest_of(own), card))
        except UNREADABLE as error:
            problems.append(Problem(card.name, card.version, own[0].info.run_id if own else "", reason_of(error)))
    return found, problems


def evaluation_runs() -> dict[tuple[str, str], list[Run]]:
    """Finished evaluation runs by model and version, newest first."""
    runs: dict[tuple[str, str], list[Run]] = {}
    for run in runs_of_kind("evaluation"):
        runs.setdefault((run.data.tags.get("qbias.model", ""), run.data.tags.get("qbias.version", "")), []).append(run)
    return runs


def newest_of(runs: Sequence[Run]) -> Run:
    """The newest of a version's finished evaluations.

    Raises
    ------
    ValueError
        If there is none, or it has a twin of the same content, data, protocol and machine but with other outcomes.
    """
    if not runs:
        raise ValueError("it has no finished evaluation")
    tags = [run.data.tags for run in runs]
    key = tags[0].get(KEY)
    twins = {own.get("qbias.outcomes_digest"): f"run {run.info.run_id}" for run, own in zip(runs, tags, strict=True) if own.get(KEY) == key}
    if key and len(twins) > 1:
        raise ValueError(
            f"evaluated more than once under the same conditions with different outcomes: {', '.join(twins.values())}; "
            "find out why, and delete what is wrong with 'mlflow runs delete --run-id <run>'"
        )
    return runs[0]


def reason_of(error: Exception) -> str:
    """Why a run could not be read, in words."""
    return f"the tag {error} is missing" if isinstance(error, KeyError) else str(error)


def evaluation_of(run: Run, card: VersionCard, *, folder: Path | None = None) -> Evaluation:
    """One run as the record that comparison and gate read.

    Parameters
    ----------
    run : the evaluation. card : the version that it is about.
    folder : the run's artifacts where they were read just now; None reads its outcomes in place or from a kept copy.

    Raises
    ------
    KeyError, ValueError, TypeError, OSError, MlflowException
        If a tag is missing, the weights are not the version's, or the outcome files are not there as they were written.
    """
    tags = run.data.tags
    if tags["qbias.weights_sha256"] != card.weights_sha256:
        raise ValueError(f"run {run.info.run_id} evaluated other weights than the version has: evaluate it again")
    return Evaluation(
        model=card.name,
        quantizer=card.quantizer,
        version=card.version,
        baseline_version=card.baseline_version,
        source=card.source,
        size=card.size,
        run_id=run.info.run_id,
        weights_sha256=card.weights_sha256,
        machine=_machine(tags["qbias.machine"]),
        outcomes=_outcomes(run, folder),
        metrics=dict(run.data.metrics),
    )


def _machine(text: str) -> dict[str, str]:
    try:
        facts = json.loads(text)
    except RecursionError:
        facts = None
    if not isinstance(facts, dict):
        raise ValueError(f"the tag qbias.machine is no mapping but {text[:60]!r}: evaluate again")
    return {name: str(value) for name, value in facts.items()}


def _outcomes(run: Run, folder: Path | None) -> dict[str, Outcomes]:
    """Every benchmark's outcomes of a run, read from files that are as they were written."""
    benchmarks = split_names(run.data.tags["qbias.benchmarks"])
    written = run.data.tags["qbias.outcomes_digest"]
    with _outcome_files(run, benchmarks, written, folder) as place:
        if outcomes_digest(place, benchmarks) != written:
            raise ValueError(f"the outcome files of run {run.info.run_id} were altered (their digest is another): evaluate again")
        found = {name: read_outcomes(place / name) for name in benchmarks}
    swapped = [name for name, outcomes in found.items() if outcomes.benchmark != name]
    if swapped:
        raise ValueError(f"run {run.info.run_id}: the outcomes stored as {', '.join(swapped)} are of another benchmark")
    return found


def outcomes_digest(folder: Path, benchmarks: Sequence[str]) -> str:
    """The digest over all benchmarks' outcomes.json, which hold the sha256 of the tables (`read_outcomes` checks them).

    Raises
    ------
    ValueError
        If one of the files is missing.
    """
    files = {name: folder / name / "outcomes.json" for name in benchmarks}
    absent = [name for name, file in files.items() if not file.is_file()]
    if absent:
        raise ValueError(f"the outcomes of {', '.join(absent)} are missing: evaluate again")
    return mapping_digest({name: file_digest(file) for name, file in files.items()})


@contextmanager
def _outcome_files(run: Run, benchmarks: Sequence[str], written: str, folder: Path | None) -> Iterator[Path]:
    """The folder `outcomes` of a run: as read just now, in place for a local store, else a copy kept by run id and digest."""
    here = folder / "outcomes" if folder else local_artifact(run, "outcomes")
    if here is not None:
        yield here
        return
    kept = cache_root() / "outcomes" / f"{run.info.run_id}-{written[:16]}"
    if not _intact(kept / "outcomes", benchmarks, written):
        shutil.rmtree(kept, ignore_errors=True)
        with whole_folder(kept) as beside:
            download(run, "outcomes", beside)
    yield kept / "outcomes"


def _intact(folder: Path, benchmarks: Sequence[str], written: str) -> bool:
    """Whether a kept copy is whole: right digest, and every table as outcomes.json says."""
    try:
        whole = outcomes_digest(folder, benchmarks) == written
        return whole and all(bool(read_outcomes(folder / name)) for name in benchmarks)
    except (ValueError, OSError, KeyError):
        return False
