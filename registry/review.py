"""A named person's decision on a candidate's evidence, written as the active MLflow run.

What the decision rests on stands in the run's parameters, which MLflow does not let anyone change: model, version,
weights, decision, reviewer, reason, the gate's verdict, and the digests of evidence and policy. Names and reasons are
free text, and stay text: they go into parameters only, never into a description that a page would render.
"""

from dataclasses import dataclass

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run

from qbias.tables import pick
from registry.cards import VersionCard
from registry.evidence import Evidence, evidence_of
from registry.gate import GateResult, gate
from registry.policy import Policy
from registry.runs import runs_of_kind

DECISIONS = {"approve": "approve", "reject": "reject"}
PARAM_LENGTH = 6000
"""MLflow cuts a longer parameter short without an error, so it is refused here."""


@dataclass(frozen=True)
class ReviewRecord:
    """One decision. `started_ms`: when its run began, in milliseconds since 1970; `finished`: whether that run completed."""

    run_id: str
    model: str
    version: str
    decision: str
    reviewer: str
    reason: str
    evidence_digest: str
    policy_digest: str
    started_ms: int
    finished: bool


def review(card: VersionCard, *, decision: str, reviewer: str, reason: str, policy: Policy) -> str:
    """Record a decision on a candidate in the active run, with the evidence and the gate's findings as they are now.

    A `review` verdict can be approved; a `block` can only be rejected. Nothing is recorded when an error is raised.

    Parameters
    ----------
    card : the candidate's version.
    decision : `approve` or `reject`.
    reviewer, reason : who decides and why; free text of at most 6,000 characters.
    policy : what the evidence is held to.

    Returns
    -------
    The id of the run that is the record. It counts as an approval once that run has finished.

    Raises
    ------
    ValueError
        If the decision is unknown, reviewer or reason is empty or too long, the version is a baseline, no run is
        active, or a candidate that the gate blocks is to be approved.
    """
    pick(DECISIONS, decision, what="decision")
    for what, text in (("reviewer", reviewer), ("reason", reason)):
        check_text(what, text)
    refuse_baseline(card)
    run = active_run("review")
    evidence = evidence_of(card, policy)
    result = gate(evidence, policy)
    if decision == "approve" and result.verdict == "block":
        raise ValueError(_blocked(card, evidence, result))
    _write(card, evidence, result, decision=decision, reviewer=reviewer, reason=reason)
    return str(run.info.run_id)


def refuse_baseline(card: VersionCard) -> None:
    """Refuse a baseline: it is what candidates are compared with, so there is no comparison that anyone could judge.

    Raises
    ------
    ValueError
        If the version is its own baseline, or has none.
    """
    if not card.baseline_version:
        raise ValueError(f"{card.name} version {card.version} names no baseline, so nothing can be compared: register it with qbias")
    if card.version == card.baseline_version:
        raise ValueError(
            f"{card.name} version {card.version} is a baseline: candidates are compared with it, and it with "
            "nothing. Give one of the quantized versions"
        )


def check_text(what: str, text: str) -> None:
    """Refuse free text that a run's parameter cannot hold as it is.

    Raises
    ------
    ValueError
        If it is blank, longer than 6,000 characters, or holds characters that a database cannot store.
    """
    if not text.strip():
        raise ValueError(f"{what} is empty: a decision needs a {what}, pass -P {what}=...")
    if len(text) > PARAM_LENGTH:
        raise ValueError(f"{what} has {len(text)} characters, MLflow keeps {PARAM_LENGTH}: shorten it, and put details in a document")
    if any(sign == "\0" or "\ud800" <= sign <= "\udfff" for sign in text):
        raise ValueError(f"{what} holds bytes that are no text: type it again in UTF-8")


def active_run(verb: str) -> Run:
    """The run that the verb writes into.

    Raises
    ------
    ValueError
        If there is none.
    """
    run = mlflow.active_run()
    if run is None:
        raise ValueError(f"{verb} writes into the active MLflow run and there is none: call it inside 'with mlflow.start_run():'")
    return run


def _blocked(card: VersionCard, evidence: Evidence, result: GateResult) -> str:
    """Why a candidate cannot be approved, and the commands that would help."""
    rows = [f"- {reason}" for reason in result.reasons("block")]
    remedies = list(dict.fromkeys(row.remedy for row in evidence.missing))
    steps = ["First run:", *(f"  {remedy}" for remedy in remedies)] if remedies else []
    return "\n".join([f"{card.name} version {card.version} cannot be approved, the gate blocks it:", *rows, *steps])


def _write(card: VersionCard, evidence: Evidence, result: GateResult, *, decision: str, reviewer: str, reason: str) -> None:
    """Findings first and the kind last, so that a run that stops half way is not taken for a review."""
    mlflow.log_dict({"verdict": result.verdict, "findings": result.as_list(), "evidence_digest": evidence.digest}, "findings.json")
    mlflow.log_params(
        {
            "review.model": card.name,
            "review.version": card.version,
            "review.weights_sha256": card.weights_sha256,
            "review.decision": decision,
            "review.reviewer": reviewer,
            "review.reason": reason,
            "review.gate": result.verdict,
            "review.evidence_digest": evidence.digest,
            "review.policy_digest": evidence.policy_digest,
        }
    )
    mlflow.set_tags(
        {
            "qbias.model": card.name,
            "qbias.version": card.version,
            "qbias.decision": decision,
            "qbias.gate": result.verdict,
            "qbias.kind": "review",
        }
    )
    client = MlflowClient()
    client.set_model_version_tag(card.name, card.version, "qbias.gate", result.verdict)
    client.set_model_version_tag(card.name, card.version, "qbias.review", decision)


def reviews_of(card: VersionCard) -> list[ReviewRecord]:
    """Every recorded decision on a version, newest first, whether or not its run finished."""
    records = (_record(run) for run in runs_of_kind("review", finished=False))
    return [record for record in records if (record.model, record.version) == (card.name, card.version)]


def _record(run: Run) -> ReviewRecord:
    params = run.data.params
    return ReviewRecord(
        run_id=run.info.run_id,
        model=params.get("review.model", ""),
        version=params.get("review.version", ""),
        decision=params.get("review.decision", ""),
        reviewer=params.get("review.reviewer", ""),
        reason=params.get("review.reason", ""),
        evidence_digest=params.get("review.evidence_digest", ""),
        policy_digest=params.get("review.policy_digest", ""),
        started_ms=run.info.start_time,
        finished=run.info.status == "FINISHED",
    )
