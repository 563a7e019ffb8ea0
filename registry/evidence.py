"""What is on record about a version, read from MLflow: its evaluation, its baseline's, and the comparison of both.

Runs may lie in any experiment, so all active ones are searched. Everything that is read is checked against the digests
that were written with it; what does not agree is not used, and the reason is kept.
"""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow import MlflowClient, MlflowException
from mlflow.entities import Run

from qbias.digests import file_digest, json_digest, mapping_digest
from qbias.outcomes import read_outcomes
from qbias.records import Evaluation, Outcomes
from qbias.store import cache_root, whole_folder
from qbias.tables import split_names
from registry.cards import VersionCard, version_card
from registry.commands import compare_command, evaluate_command, register_command
from registry.comparisons import comparison_index, comparison_of
from registry.policy import Policy
from registry.runs import artifact, download, finished_comparison, finished_evaluation, local_artifact, runs_of_kind

KEY = "qbias.evaluation_key"


@dataclass(frozen=True)
class Problem:
    """A version whose evaluation cannot be used, and why. `run_id` is empty where there is no run at all."""

    model: str
    version: str
    run_id: str
    reason: str


@dataclass(frozen=True)
class Missing:
    """A part of the evidence that is not there or cannot be used: what, why, and the command that would supply it."""

    what: str
    reason: str
    remedy: str


@dataclass(frozen=True)
class Evidence:
    """All that is on record about one candidate under one policy.

    Attributes
    ----------
    card, baseline_card : the candidate's version and its baseline's (None where that version is gone).
    candidate, baseline : their latest finished evaluations (None where there is none, or it cannot be used).
    comparison_run, comparison_digest : the latest finished comparison of exactly these two evaluations, and its index's
        sha256; "" where there is none.
    outcomes_digests : by run id, the digest over all outcome files of that run.
    missing : what is not there; empty for complete evidence.
    policy_digest : the policy that the evidence is held to.
    digest : sha256 over weights, outcomes, metrics, conditions, comparison and policy: it changes when any of them
        does.
    """

    card: VersionCard
    baseline_card: VersionCard | None
    candidate: Evaluation | None
    baseline: Evaluation | None
    comparison_run: str
    comparison_digest: str
    outcomes_digests: Mapping[str, str]
    missing: tuple[Missing, ...]
    policy_digest: str
    digest: str


def evaluations(cards: Sequence[VersionCard], *, fresh: bool = False) -> tuple[list[Evaluation], list[Problem]]:
    """The latest finished evaluation of each version, with outcomes; and a problem for each version that has none.

    Parameters
    ----------
    cards : the versions, from registry/versions.py.
    fresh : download outcomes again from a remote store, instead of using a local copy whose digest is right.

    Returns
    -------
    Evaluations and problems, each in the order of `cards`; one entry per card in exactly one of the two lists.
    """
    runs: dict[tuple[str, str], list[Run]] = {}
    for run in runs_of_kind("evaluation"):
        runs.setdefault((run.data.tags.get("qbias.model", ""), run.data.tags.get("qbias.version", "")), []).append(run)
    found: list[Evaluation] = []
    problems: list[Problem] = []
    for card in cards:
        own = runs.get((card.name, card.version), [])
        try:
            if not own:
                raise ValueError("it has no finished evaluation")
            _check_alike(own)
            found.append(evaluation_of(own[0], card, fresh=fresh))
        except (ValueError, KeyError, TypeError, OSError, MlflowException) as error:
            reason = f"the tag {error} is missing" if isinstance(error, KeyError) else str(error)
            problems.append(Problem(card.name, card.version, own[0].info.run_id if own else "", reason))
    return found, problems


def _check_alike(runs: Sequence[Run]) -> None:
    """Refuse a version whose newest run has a twin of the same content, data, protocol and machine but with other outcomes."""
    tags = [run.data.tags for run in runs]
    key = tags[0].get(KEY)
    twins = {own.get("qbias.outcomes_digest"): f"run {run.info.run_id}" for run, own in zip(runs, tags, strict=True) if own.get(KEY) == key}
    if key and len(twins) > 1:
        raise ValueError(
            f"evaluated more than once under the same conditions with different outcomes: {', '.join(twins.values())}; "
            "find out why, and delete what is wrong with 'mlflow runs delete --run-id <run>'"
        )


def evaluation_of(run: Run, card: VersionCard, *, fresh: bool = False) -> Evaluation:
    """One run as the record that comparison and gate read.

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
        outcomes=_outcomes(run, fresh=fresh),
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


def _outcomes(run: Run, *, fresh: bool) -> dict[str, Outcomes]:
    """Every benchmark's outcomes of a run, read from files that are as they were written."""
    benchmarks = split_names(run.data.tags["qbias.benchmarks"])
    written = run.data.tags["qbias.outcomes_digest"]
    with _outcome_files(run, benchmarks, written, fresh=fresh) as folder:
        if _digest_of(folder, benchmarks) != written:
            raise ValueError(f"the outcome files of run {run.info.run_id} were altered (their digest is another): evaluate again")
        found = {name: read_outcomes(folder / name) for name in benchmarks}
    swapped = [name for name, outcomes in found.items() if outcomes.benchmark != name]
    if swapped:
        raise ValueError(f"run {run.info.run_id}: the outcomes stored as {', '.join(swapped)} are of another benchmark")
    return found


def _digest_of(folder: Path, benchmarks: Sequence[str]) -> str:
    """The digest over all benchmarks' outcomes.json, which hold the sha256 of the tables (`read_outcomes` checks them)."""
    files = {name: folder / name / "outcomes.json" for name in benchmarks}
    absent = [name for name, file in files.items() if not file.is_file()]
    if absent:
        raise ValueError(f"the outcomes of {', '.join(absent)} are missing: evaluate again")
    return mapping_digest({name: file_digest(file) for name, file in files.items()})


@contextmanager
def _outcome_files(run: Run, benchmarks: Sequence[str], written: str, *, fresh: bool) -> Iterator[Path]:
    """The folder `outcomes` of a run: in place for a local store, else a copy, kept by run id and digest or passing."""
    if fresh or local_artifact(run, "outcomes"):
        with artifact(run, "outcomes") as folder:
            yield folder
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
        whole = _digest_of(folder, benchmarks) == written
        return whole and all(bool(read_outcomes(folder / name)) for name in benchmarks)
    except (ValueError, OSError, KeyError):
        return False


def evidence_of(card: VersionCard, policy: Policy) -> Evidence:
    """Everything on record about a candidate, read anew, with one digest over it and a list of what is missing."""
    missing: list[Missing] = []
    base = _baseline_card(card, missing)
    found, problems = evaluations([row for row in (card, base) if row is not None], fresh=True)
    by_version = {row.version: row for row in found}
    for problem in problems:
        side = "candidate" if problem.version == card.version else "baseline"
        reason = f"the {side}, {problem.model} version {problem.version}: {problem.reason}"
        missing.append(Missing(f"{side} evaluation", reason, evaluate_command(problem.model, problem.version)))
    candidate, baseline = by_version.get(card.version), by_version.get(base.version) if base else None
    run_id, digest = comparison_of(candidate, baseline) if candidate and baseline else ("", "")
    if not run_id:
        reason = f"no finished comparison holds the latest evaluations of version {card.version} and its baseline"
        missing.append(Missing("comparison", reason, compare_command(card.name)))
    digests = _outcomes_digests([row for row in (candidate, baseline) if row is not None])
    facts: list[Any] = [_card_facts(card), base and _card_facts(base), _facts(candidate), _facts(baseline)]
    facts += [run_id, digest, digests, policy.digest(), [row.what for row in missing]]
    return Evidence(card, base, candidate, baseline, run_id, digest, digests, tuple(missing), policy.digest(), json_digest(facts))


def _baseline_card(card: VersionCard, missing: list[Missing]) -> VersionCard | None:
    """The baseline's version; where it cannot be read, None and an entry in `missing`."""
    try:
        return version_card(f"models:/{card.name}/{card.baseline_version}")
    except (ValueError, MlflowException) as error:
        reason = f"the baseline, {card.name} version {card.baseline_version}, cannot be read: {error}"
        missing.append(Missing("baseline version", reason, register_command(card.name)))
        return None


def _outcomes_digests(found: Sequence[Evaluation]) -> dict[str, str]:
    client = MlflowClient()
    return {row.run_id: client.get_run(row.run_id).data.tags["qbias.outcomes_digest"] for row in found}


def _card_facts(card: VersionCard) -> list[str]:
    return [card.name, card.version, card.quantizer, card.baseline_version, card.weights_sha256, card.content]


def _facts(found: Evaluation | None) -> list[Any]:
    """What of an evaluation goes into the evidence digest; metrics as text, because a NaN has no JSON."""
    if found is None:
        return []
    metrics = {name: repr(value) for name, value in found.metrics.items()}
    return [found.run_id, found.model, found.version, found.weights_sha256, dict(found.machine), metrics]


__all__ = [
    "Evidence", "Missing", "Problem", "comparison_index", "comparison_of", "evaluation_of", "evaluations", "evidence_of",
    "finished_comparison", "finished_evaluation",
]  # fmt: skip
