"""The gate: evidence + policy -> `pass`, `review` or `block`, with one finding per rule. Pure: no MLflow, no files.

The rules here are about completeness: is everything on record that a decision needs, and does it belong together? None
of them weighs how large a change is, so complete evidence gives `review` (a person must look) and the machine alone
never says `pass`.

The gate fails closed: what is missing, altered, mismatched, not finite or not understood gives `block`.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from qbias.pairing import pair
from qbias.records import Evaluation, Outcomes
from registry.policy import Policy, RequiredBenchmark

if TYPE_CHECKING:
    from registry.evidence import Evidence

Verdict = Literal["pass", "review", "block"]
SEVERITY: tuple[str, ...] = get_args(Verdict)
"""From best to worst; the gate's verdict is the worst of its findings."""
LISTED = 5


@dataclass(frozen=True)
class Finding:
    """What one rule found."""

    rule: str
    verdict: Verdict
    reason: str


@dataclass(frozen=True)
class GateResult:
    """The gate's verdict and the findings that it follows from."""

    verdict: Verdict
    findings: tuple[Finding, ...]

    def as_list(self) -> list[dict[str, Any]]:
        """The findings as plain values, in the order in which they were made."""
        return [asdict(finding) for finding in self.findings]

    def reasons(self, verdict: Verdict) -> list[str]:
        """`rule: reason` of every finding with this verdict."""
        return [f"{finding.rule}: {finding.reason}" for finding in self.findings if finding.verdict == verdict]


def gate(evidence: "Evidence", policy: Policy) -> GateResult:
    """Whether the evidence on one candidate is complete under the policy.

    Every rule gives at least one finding, and the verdict is the worst of them (`pass` < `review` < `block`). All rules
    must hold together, so nothing is gained by adding rules and no correction for their number is due.

    A rule that cannot be worked out counts as `block`; so do no findings at all.

    Parameters
    ----------
    evidence : what registry/evidence.py found about the candidate.
    policy : what it is held to.

    Returns
    -------
    `block`, or `review` for complete evidence; never `pass`, because no rule here weighs the size of a change.
    """
    findings: list[Finding] = []
    for rule in RULES:
        try:
            findings += rule(evidence, policy)
        except Exception as error:
            name = rule.__name__.removeprefix("_")
            findings.append(Finding(name, "block", f"the rule could not be worked out: {type(error).__name__}: {error}"))
    return GateResult(worst(findings), tuple(findings))


def worst(findings: list[Finding]) -> Verdict:
    """The worst verdict among the findings; `block` where there is none or one that is not known.

    Examples
    --------
    >>> worst([Finding("a", "pass", ""), Finding("b", "review", "")])
    'review'
    >>> worst([])
    'block'
    """
    verdicts = {finding.verdict for finding in findings}
    if "block" in verdicts or not verdicts or not verdicts <= set(SEVERITY):
        return "block"
    return "review" if "review" in verdicts else "pass"


def _judged(rule: str, faults: list[str], good: str) -> list[Finding]:
    """One finding: `block` with the first faults, or `pass` with what is good."""
    if not faults:
        return [Finding(rule, "pass", good)]
    more = f"; and {len(faults) - LISTED} more" if len(faults) > LISTED else ""
    return [Finding(rule, "block", "; ".join(faults[:LISTED]) + more)]


def _sides(evidence: "Evidence") -> dict[str, Evaluation]:
    """The evaluations that exist, by side."""
    both = {"baseline": evidence.baseline, "candidate": evidence.candidate}
    return {side: evaluation for side, evaluation in both.items() if evaluation is not None}


def _on_record(evidence: "Evidence", policy: Policy) -> list[Finding]:
    """All parts of the evidence exist and could be read unaltered."""
    faults = [row.reason for row in evidence.missing if row.what != "comparison" or policy.comparison.required]
    if len(_sides(evidence)) < 2 and not faults:
        faults.append("an evaluation is missing")
    return _judged("on_record", faults, "every part exists and is as it was written")


def _same_policy(evidence: "Evidence", policy: Policy) -> list[Finding]:
    """The evidence was gathered under this very policy."""
    same = evidence.policy_digest == policy.digest()
    return _judged("same_policy", [] if same else ["the evidence was gathered under another policy"], f"policy {policy.name}")


def _same_weights(evidence: "Evidence", policy: Policy) -> list[Finding]:
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
    return _judged("same_weights", faults, "both evaluations are of the weights that are registered")


def _benchmarks(evidence: "Evidence", policy: Policy) -> list[Finding]:
    """Each required benchmark was evaluated on both sides under the required protocol; one finding each."""
    sides = _sides(evidence)
    found = []
    for required in policy.benchmarks:
        faults = [] if len(sides) == 2 else ["an evaluation is missing"]
        for side, evaluation in sides.items():
            faults += _benchmark_faults(side, evaluation, required)
        found += _judged(f"benchmark:{required.name}", faults, "evaluated on both sides under the required protocol")
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


def _pairing(evidence: "Evidence", policy: Policy) -> list[Finding]:
    """Both sides saw the same images and prompts under the same protocol and conditions."""
    sides = _sides(evidence)
    if len(sides) < 2:
        return _judged("pairing", ["an evaluation is missing"], "")
    pairings, refusals = pair(list(sides.values()))
    if any(row.candidate is sides["candidate"] and row.baseline is sides["baseline"] for row in pairings):
        return _judged("pairing", [], "same images, prompts, protocol and conditions")
    differing = [f"{fact}: baseline {base}, candidate {other}" for row in refusals for fact, base, other in row.differences]
    return _judged("pairing", differing or ["the two sides cannot be paired"], "")


def _metrics(evidence: "Evidence", policy: Policy) -> list[Finding]:
    """Whatever a required benchmark's metric is on the baseline, the candidate has it too, and both are finite."""
    sides = _sides(evidence)
    if len(sides) < 2:
        return _judged("metrics", ["an evaluation is missing"], "")
    prefixes = tuple(f"{required.name}/" for required in policy.benchmarks)
    names = sorted(name for name in sides["baseline"].metrics if name.startswith(prefixes))
    faults = [] if names else ["the baseline has no metric of the required benchmarks"]
    for side, evaluation in sides.items():
        faults += [f"the {side} lacks {name}" for name in names if name not in evaluation.metrics]
        for name, value in sorted(evaluation.metrics.items()):
            if name.startswith(prefixes) and not math.isfinite(value):
                faults.append(f"the {side}'s {name} is {value}")
    return _judged("metrics", faults, f"{len(names)} metrics, finite on both sides")


def _comparison(evidence: "Evidence", policy: Policy) -> list[Finding]:
    """A finished comparison holds exactly this pair of evaluations."""
    if not policy.comparison.required:
        return _judged("comparison", [], "not required by the policy")
    there = bool(evidence.comparison_run and evidence.comparison_digest)
    good = f"run {evidence.comparison_run} compared exactly these two evaluations"
    return _judged("comparison", [] if there else ["no finished comparison holds exactly these two evaluations"], good)


def _person(evidence: "Evidence", policy: Policy) -> list[Finding]:
    """No rule above weighs the size of a change, so a person has to."""
    return [
        Finding(
            "person",
            "review",
            "the policy has no rule that weighs the changes: read the comparison's report and decide",
        )
    ]


RULES: tuple[Callable[["Evidence", Policy], list[Finding]], ...] = (
    _on_record,
    _same_policy,
    _same_weights,
    _benchmarks,
    _pairing,
    _metrics,
    _comparison,
    _person,
)
