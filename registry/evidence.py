"""What is on record about a version, read anew from MLflow: its files, its evaluation, its baseline's, and the comparison of both.

Everything that is read is checked against the digests that were written with it; what does not agree is not used, and the reason is
kept. One digest covers all that was read, so that a record can say what exactly a person approved.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from mlflow import MlflowException
from mlflow.entities import Run

from qbias.digests import folder_digests, json_digest
from qbias.records import Evaluation
from registry.cards import VersionCard, version_card
from registry.commands import compare_command, evaluate_command, register_command
from registry.comparisons import INDEX, check_comparison, comparison_index, comparison_of
from registry.evaluations import KEY, UNREADABLE, Problem, evaluation_of, evaluation_runs, evaluations, newest_of, reason_of
from registry.policy import Policy
from registry.runs import finished_comparison, finished_evaluation, named_run, whole_run
from registry.weights import files_of

Newest = Mapping[tuple[str, str], Sequence[Run]]
"""Finished evaluation runs by model and version, newest first."""


@dataclass(frozen=True)
class Missing:
    """A part of the evidence that is not there or cannot be used: what, why, and the command that would supply it."""

    what: str
    reason: str
    remedy: str


@dataclass(frozen=True)
class EvidenceRuns:
    """The ids of the three runs that a decision rests on, as a record names them."""

    candidate: str
    baseline: str
    comparison: str


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
    digest : sha256 of `facts`.
    facts : all that was read, as plain values: both versions and their files, the three runs with parameters, `qbias.` tags, metrics
        and files, the policy's digest, and what is missing.
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
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def runs(self) -> EvidenceRuns:
        """The runs that were read; "" for one that is missing."""
        own, base = self.candidate, self.baseline
        return EvidenceRuns(own.run_id if own else "", base.run_id if base else "", self.comparison_run)


def evidence_of(card: VersionCard, policy: Policy, *, runs: EvidenceRuns | None = None) -> Evidence:
    """Everything on record about a candidate, read anew, with one digest over it and a list of what is missing.

    Parameters
    ----------
    card : the version. policy : what the evidence is held to.
    runs : read exactly these runs, as a record names them, so that an audit checks what was approved; None takes the newest ones.
    """
    missing: list[Missing] = []
    base = _baseline_card(card, missing)
    facts: dict[str, Any] = {"policy": policy.digest()}
    for side, version in (("candidate", card), ("baseline", base)):
        facts[f"{side} version"] = version and _version_facts(side, version, missing)
    newest = {} if runs else evaluation_runs()
    found = {
        side: _evaluation(side, version, runs or newest, missing, facts) for side, version in (("candidate", card), ("baseline", base))
    }
    candidate, baseline = found["candidate"], found["baseline"]
    run_id = _comparison(card, candidate, baseline, runs, missing, facts)
    facts["missing"] = [row.what for row in missing]
    digests = {row.run_id: facts[f"{side} run"]["tags"]["qbias.outcomes_digest"] for side, row in found.items() if row is not None}
    index = facts["comparison run"]["files"][INDEX] if run_id else ""
    return Evidence(
        card, base, candidate, baseline, run_id, index, digests, tuple(missing), policy.digest(), json_digest(facts), facts
    )  # fmt: skip


def _baseline_card(card: VersionCard, missing: list[Missing]) -> VersionCard | None:
    """The baseline's version; where it cannot be read, None and an entry in `missing`."""
    try:
        return version_card(f"models:/{card.name}/{card.baseline_version}")
    except (ValueError, MlflowException) as error:
        reason = f"the baseline, {card.name} version {card.baseline_version}, cannot be read: {error}"
        missing.append(Missing("baseline version", reason, register_command(card.name)))
        return None


def _version_facts(side: str, card: VersionCard, missing: list[Missing]) -> dict[str, Any]:
    """The version as its card says it, and the digest of its files as they are; files that are other weights go to `missing`."""
    facts: dict[str, Any] = asdict(card) | {"files_sha256": ""}
    try:
        files = files_of(card.name, card.version)
        if files.weights_sha256 != card.weights_sha256:
            raise ValueError(
                f"the weights of {card.name} version {card.version} are not those that were registered: their sha256 is another"
            )
        facts["files_sha256"] = files.files_sha256
    except ValueError as error:
        missing.append(Missing(f"{side} weights", f"the {side}: {error}", register_command(card.name)))
    return facts


def _evaluation(
    side: str, card: VersionCard | None, runs: EvidenceRuns | Newest, missing: list[Missing], facts: dict[str, Any]
) -> Evaluation | None:
    """One side's evaluation, with its run's facts; where it cannot be used, None and an entry in `missing`."""
    facts[f"{side} run"] = None
    if card is None:
        return None
    try:
        if isinstance(runs, EvidenceRuns):
            run = named_run(getattr(runs, side), "evaluation")
        else:
            run = newest_of(runs.get((card.name, card.version), []))
        if (run.data.tags.get("qbias.model"), run.data.tags.get("qbias.version")) != (card.name, card.version):
            raise ValueError(f"run {run.info.run_id} is the evaluation of another version")
        with whole_run(run) as folder:
            found = evaluation_of(run, card, folder=folder)
            facts[f"{side} run"] = _run_facts(run, folder_digests(folder))
    except UNREADABLE as error:
        reason = f"the {side}, {card.name} version {card.version}: {reason_of(error)}"
        missing.append(Missing(f"{side} evaluation", reason, evaluate_command(card.name, card.version)))
        return None
    return found


def _comparison(
    card: VersionCard,
    candidate: Evaluation | None,
    baseline: Evaluation | None,
    runs: EvidenceRuns | None,
    missing: list[Missing],
    facts: dict[str, Any],
) -> str:
    """Run id of the comparison of exactly this pair, with its run's facts; where it cannot be used, "" and an entry in `missing`."""
    facts["comparison run"] = None
    try:
        run = _comparison_run(card, candidate, baseline, runs)
        assert candidate is not None
        assert baseline is not None
        with whole_run(run) as folder:
            check_comparison(run, folder, candidate, baseline)
            facts["comparison run"] = _run_facts(run, folder_digests(folder))
    except UNREADABLE as error:
        missing.append(Missing("comparison", reason_of(error), compare_command(card.name)))
        return ""
    return str(run.info.run_id)


def _comparison_run(card: VersionCard, candidate: Evaluation | None, baseline: Evaluation | None, runs: EvidenceRuns | None) -> Run:
    found = None
    if candidate and baseline:
        found = named_run(runs.comparison, "comparison") if runs else comparison_of(candidate, baseline)
    if found is None:
        raise ValueError(f"no finished comparison holds the latest evaluations of version {card.version} and its baseline")
    return found


def _run_facts(run: Run, files: Mapping[str, str]) -> dict[str, Any]:
    """What of a run goes into the evidence digest; metrics as text, because a NaN has no JSON."""
    data = run.data
    return {
        "run": run.info.run_id,
        "params": dict(data.params),
        "tags": {name: value for name, value in data.tags.items() if name.startswith("qbias.")},
        "metrics": {name: repr(value) for name, value in data.metrics.items()},
        "files": dict(files),
    }


__all__ = [
    "KEY", "Evidence", "EvidenceRuns", "Missing", "Problem", "comparison_index", "comparison_of", "evaluation_of", "evaluations",
    "evidence_of", "finished_comparison", "finished_evaluation",
]  # fmt: skip
