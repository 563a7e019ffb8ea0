"""What every kind of record holds beside its own: evidence, findings and policy as they were, and how the signer is known."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from registry import anchor as anchors
from registry.chain import Record, chain_faults
from registry.evidence import Evidence, EvidenceRuns
from registry.gate import GateResult
from registry.identity import Identity
from registry.policy import Policy
from registry.production import POLICY_FILE

FINDINGS_FILE, EVIDENCE_FILE = "findings.json", "evidence.json"
NONE = "none"
"""What stands in a fact that has nothing to say; a run's parameter is never empty."""


def said(facts: Mapping[str, str], name: str) -> str:
    """A record's fact; "" where it is absent or says `none`."""
    value = facts.get(name, "")
    return "" if value == NONE else value


def runs_in(facts: Mapping[str, str]) -> EvidenceRuns:
    """The runs that a record rests on."""
    return EvidenceRuns(*(said(facts, f"{side}_run") for side in ("candidate", "baseline", "comparison")))


def check_anchor(model: str, records: list[Record], anchor: Path | None) -> None:
    """Refuse to go on with a chain that an anchor file contradicts.

    Raises
    ------
    ValueError
        If it does, or the file cannot be read.
    """
    known = anchors.of_model(anchors.read(anchor), model) if anchor and anchor.exists() else []
    if known and (faults := chain_faults(records, anchors=known)):
        raise ValueError(f"the records of {model!r} are not what anchor={str(anchor)!r} knows: {'; '.join(faults)}. Run the verb audit")


def unfinished(records: list[Record]) -> str:
    """The runs of earlier records that had not finished: an audit holds every other one to it."""
    return ",".join(record.run_id for record in records if not record.finished) or NONE


def evidence_facts(evidence: Evidence, result: GateResult, policy: Policy, who: Identity) -> dict[str, str]:
    """What every kind of record says about the evidence, the policy, and how the signer's identity was established."""
    facts, runs = evidence.facts["candidate version"], evidence.runs
    return {
        "weights_sha256": evidence.card.weights_sha256,
        "files_sha256": facts["files_sha256"] or NONE,
        "gate": result.verdict,
        "evidence_digest": evidence.digest,
        "policy": policy.name,
        "policy_digest": policy.digest(),
        "candidate_run": runs.candidate or NONE,
        "baseline_run": runs.baseline or NONE,
        "comparison_run": runs.comparison or NONE,
        "registered_by": evidence.card.registered_by or "not known",
        "identity": who.how,
    }


def evidence_files(evidence: Evidence, result: GateResult, policy: Policy) -> dict[str, bytes]:
    """Findings, evidence and policy as they are at this moment, as artifacts of a record."""
    findings = {"verdict": result.verdict, "findings": result.as_list(), "evidence_digest": evidence.digest}
    contents = {FINDINGS_FILE: _json(findings), EVIDENCE_FILE: _json(dict(evidence.facts))}
    return contents | policy_file(policy)


def policy_file(policy: Policy, path: str = POLICY_FILE) -> dict[str, bytes]:
    """A policy as it is at this moment, as an artifact of a record."""
    return {path: _json(policy.model_dump(mode="json"))}


def _json(content: Any) -> bytes:
    return json.dumps(_plain(content), indent=1, sort_keys=True, allow_nan=False).encode()


def _plain(value: Any) -> Any:
    """The same value, with numbers that JSON does not know as text."""
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return repr(value) if isinstance(value, float) and not math.isfinite(value) else value
