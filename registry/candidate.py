"""A candidate as it is found right before a move: everything read again, and everything that speaks against it in one list."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from registry.approval import Approval, approval, overrides
from registry.cards import VersionCard, version_card
from registry.chain import Record, chain_faults, records_of
from registry.commands import evaluate_command
from registry.evidence import Evidence, Missing, evidence_of
from registry.gate import GateResult, gate
from registry.policy import Policy
from registry.production import Pin
from registry.record_facts import check_anchor
from registry.weights import VersionFiles


@dataclass(frozen=True)
class Candidate:
    """Version, evidence, the gate's result, the approvals that count, and the model's records, oldest first."""

    card: VersionCard
    evidence: Evidence
    result: GateResult
    approved: Approval
    records: tuple[Record, ...]

    @property
    def override(self) -> bool:
        """Whether the approvals override a gate that blocks."""
        return any(overrides(record) for record in self.approved.records)

    @property
    def files(self) -> VersionFiles:
        """The digests of the version's files, as they were just computed."""
        return VersionFiles(self.card.weights_sha256, str(self.evidence.facts["candidate version"]["files_sha256"]))


def candidate_of(card: VersionCard, policy: Policy, *, trusted: frozenset[str] | None, pin: Pin | None, anchor: Path | None) -> Candidate:
    """The candidate, read again.

    Parameters
    ----------
    card : which version. policy : what it is held to. trusted : experiments whose records count. pin : of the production model.
    anchor : a file with earlier heads of the chain, or None.

    Raises
    ------
    ValueError
        If the records are not whole, or the version is gone.
    """
    records = records_of(card.name, trusted=trusted)
    check_chain(card.name, records, pin, anchor)
    current = version_card(f"models:/{card.name}/{card.version}")
    evidence = evidence_of(current, policy)
    result = gate(evidence, policy)
    approved = approval(current, evidence, policy, records, verdict=result.verdict, now_ms=int(time.time() * 1000))
    return Candidate(current, evidence, result, approved, tuple(records))


def check_approved(found: Candidate, policy: Policy, alias: str) -> None:
    """Refuse a candidate that may not become `alias`.

    Raises
    ------
    ValueError
        If evidence or approval is missing: the message lists all of it, each with the command that helps.
    """
    weights = [row for row in found.evidence.missing if row.what == "candidate weights"]
    # An override is about what the gate says of these weights; other weights were never judged.
    faults = weights if found.approved.given else [*_evidence_faults(found.evidence, policy, found.result), *found.approved.missing]
    if faults:
        rows = [f"- {row.reason}\n    {row.remedy}" for row in faults]
        raise ValueError("\n".join([f"{found.card.name} version {found.card.version} cannot become {alias!r}:", *rows]))


def check_chain(name: str, records: Sequence[Record], pin: Pin | None, anchor: Path | None) -> None:
    """Refuse to go on with records that are not whole.

    Raises
    ------
    ValueError
        If they contradict themselves, the production model or the anchor file.
    """
    check_anchor(name, list(records), anchor)
    faults = chain_faults(records, pinned=(pin.length, pin.digest) if pin else None)
    if faults:
        raise ValueError(
            f"the records of {name!r} are not whole: {'; '.join(faults)}. 'mlflow run . -e audit' shows all of it; a deleted run comes "
            "back with 'mlflow runs restore --run-id <run>'"
        )


def _evidence_faults(evidence: Evidence, policy: Policy, result: GateResult) -> list[Missing]:
    """What the evidence lacks, or what the gate says against it."""
    if result.verdict != "block":
        return []
    known = [row for row in evidence.missing if row.what != "comparison" or policy.comparison.required]
    remedy = evaluate_command(evidence.card.name, evidence.card.version)
    return known or [Missing("evidence", reason, remedy) for reason in result.reasons("block")]
