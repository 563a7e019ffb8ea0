"""The gate's checks of completeness: is everything on record that a decision needs, and does it belong together? Pure: no MLflow.

None of them weighs how large a change is. What is missing, altered, mismatched or not finite gives `block`.
"""

import math
from typing import TYPE_CHECKING

from qbias.pairing import pair
from qbias.records import Evaluation, Outcomes
from registry.findings import Finding
from registry.policy import Policy, RequiredBenchmark

if TYPE_CHECKING:
    from registry.evidence import Evidence

LISTED = 5
"""Faults that one finding tells; the rest is counted."""


def judged(rule: str, faults: list[str], good: str) -> list[Finding]:
    """One finding: `block` with the first faults, or `pass` with what is good."""
    if not faults:
        return [Finding(rule, "pass", good)]
    more = f"; and {len(faults) - LISTED} more" if len(faults) > LISTED else ""
    return [Finding(rule, "block", "; ".join(faults[:LISTED]) + more)]


def _sides(evidence: "Evidence") -> dict[str, Evaluation]:
    """The evaluations that exist, by side."""
    both = {"baseline": evidence.baseline, "candidate": evidence.candidate}
    return {side: evaluation for side, evaluation in both.items() if evaluation is not None}


def on_record(evidence: "Evidence", policy: Policy) -> list[Finding]:
    """All parts of the evidence exist and could be read unaltered."""
    faults = [row.reason for row in evidence.missing if row.what != "comparison" or policy.comparison.required]
    if len(_sides(evidence)) < 2 and not faults:
        faults.append("an evaluation is missing")
    return judged("on_record", faults, "every part exists and is as it was written")


def same_policy(evidence: "Evidence", policy: Policy) -> list[Finding]:
    """The evidence was gathered under this very policy."""
    same = evidence.policy_digest == policy.digest()
    return judged("same_policy", [] if same else ["the evidence was gathered under another policy"], f"policy {policy.name}")


def same_weights(evidence: "Evidence", policy: Policy) -> list[Finding]:
    """The evaluations are of exactly these two versions and weights, and the candidate is not its own baseline."""
    card, base = evidence.card, evidence.baseline_card
    faults = []
    if card.version == card.baseline_version:
        faults.append(f"version {card.version} is a baseline: it has nothing to be compared with")
    for side, expected in (("candidate", card), ("baseline", base)):
        run = _sides(evidence).get(side)
        if expected is None or run is None:
            faults.append(f"the {side} or its evaluation is missing")
        elif (run.model, run.version) != (expected.name, expected.version):
            faults.append(f"the {side}'s evaluation is of {run.model} {run.version}, not {expected.name} {expected.version}")
        elif not expected.weights_sha256 or run.weights_sha256 != expected.weights_sha256:
            faults.append(f"the {side}'s evaluation is of other weights than version {expected.version} now has")
    if base is not None and base.version != card.baseline_version:
        faults.append(f"the baseline is version {card.baseline_version}, the evidence is about version {base.version}")
    return judged("same_weights", faults, "both evaluations are of the weights that are registered")


def benchmarks(evidence: "Evidence", policy: Policy) -> list[Finding]:
    """Each required benchmark was evaluated on both sides under the required protocol; one finding each."""
    sides = _sides(evidence)
    found = []
    for required in policy.benchmarks:
        faults = [] if len(sides) == 2 else ["an evaluation is missing"]
        for side, evaluation in sides.items():
            faults += _benchmark_faults(side, evaluation, required)
        found += judged(f"benchmark:{required.name}", faults, "evaluated on both sides under the required protocol")
    return found


def _benchmark_faults(side: str, evaluation: Evaluation, required: RequiredBenchmark) -> list[str]:
    """What one side lacks for one required benchmark."""
    outcomes = evaluation.outcomes.get(required.name)
    if outcomes is None:
        return [f"the {side} was not evaluated on it"]
    if not any(name.startswith(f"{required.name}/") for name in evaluation.metrics):
        return [f"the {side}'s run has no metric of it"]
    return [f"the {side} {row}" for row in (*_protocol_faults(outcomes, required), *_left_out(outcomes))]


def _left_out(outcomes: Outcomes) -> list[str]:
    """Images that were skipped as undecodable: a benchmark that lost images is not the required one."""
    skipped = outcomes.facts.get("skipped_images", 0)
    return (
        [f"was evaluated without {skipped} image(s) that cannot be decoded: put whole files in place and evaluate again"] if skipped else []
    )


def _protocol_faults(outcomes: Outcomes, required: RequiredBenchmark) -> list[str]:
    return [
        f"was evaluated with {field}={outcomes.protocol.get(field, 'absent')}, the policy asks for {field}={value}"
        for field, value in required.protocol.items()
        if field not in outcomes.protocol or outcomes.protocol[field] != value
    ]


def pairing(evidence: "Evidence", policy: Policy) -> list[Finding]:
    """Both sides saw the same images and prompts under the same protocol and conditions."""
    sides = _sides(evidence)
    if len(sides) < 2:
        return judged("pairing", ["an evaluation is missing"], "")
    pairings, refusals = pair(list(sides.values()))
    if any(row.candidate is sides["candidate"] and row.baseline is sides["baseline"] for row in pairings):
        return judged("pairing", [], "same images, prompts, protocol and conditions")
    differing = [f"{fact}: baseline {base}, candidate {other}" for row in refusals for fact, base, other in row.differences]
    return judged("pairing", differing or ["the two sides cannot be paired"], "")


def metrics(evidence: "Evidence", policy: Policy) -> list[Finding]:
    """Whatever a required benchmark's metric is on the baseline, the candidate has it too, and both are finite."""
    sides = _sides(evidence)
    if len(sides) < 2:
        return judged("metrics", ["an evaluation is missing"], "")
    prefixes = tuple(f"{required.name}/" for required in policy.benchmarks)
    names = sorted(name for name in sides["baseline"].metrics if name.startswith(prefixes))
    faults = [] if names else ["the baseline has no metric of the required benchmarks"]
    for side, evaluation in sides.items():
        faults += [f"the {side} lacks {name}" for name in names if name not in evaluation.metrics]
        for name, value in sorted(evaluation.metrics.items()):
            if name.startswith(prefixes) and not math.isfinite(value):
                faults.append(f"the {side}'s {name} is {value}")
    return judged("metrics", faults, f"{len(names)} metrics, finite on both sides")


def comparison(evidence: "Evidence", policy: Policy) -> list[Finding]:
    """A finished comparison holds exactly this pair of evaluations."""
    if not policy.comparison.required:
        return judged("comparison", [], "not required by the policy")
    there = bool(evidence.comparison_run and evidence.comparison_digest)
    good = f"run {evidence.comparison_run} compared exactly these two evaluations"
    return judged("comparison", [] if there else ["no finished comparison holds exactly these two evaluations"], good)
