"""The gate: evidence + policy -> `pass`, `review` or `block`, with one finding per rule. Pure: no MLflow, no files.

First whether everything is on record that a decision needs, and belongs together (completeness.py); then the policy's rules on the changes
of this very pair (weighing.py). A `pass` says that the rules hold; promotion needs a person's approval beside it.

The gate fails closed: what is missing, altered, insufficient, mismatched, not finite or not understood gives `block`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from registry.completeness import benchmarks, comparison, metrics, on_record, pairing, same_policy, same_weights
from registry.findings import COLUMNS, SEVERITY, Finding, GateResult, Verdict, worst
from registry.policy import Policy
from registry.rules import CHECKS
from registry.weighing import rule_findings

if TYPE_CHECKING:
    from registry.evidence import Evidence


def gate(evidence: "Evidence", policy: Policy) -> GateResult:
    """What the evidence on one candidate says under the policy; the same evidence and policy give the same findings.

    Every rule gives at least one finding, and the verdict is the worst of them (`pass` < `review` < `block`). All rules must hold
    together: an intersection-union test. It passes wrongly only if the one rule that is truly broken passes, which each rule alone allows
    with at most its own error rate, so no correction for the number of rules, metrics, classes or groups is due; a rule more can only make
    the verdict worse. The bands over classes and groups are simultaneous for the other direction: so that `block` does not follow
    from the one of many classes that stands out by chance.

    A rule that cannot be worked out counts as `block`; so do no findings at all. Without rules a person has to weigh the changes.

    Parameters
    ----------
    evidence : what registry/evidence.py found about the candidate.
    policy : what it is held to.

    Returns
    -------
    GateResult: the verdict and the findings.

    References
    ----------
    Berger (1982), Multiparameter hypothesis testing and acceptance sampling, Technometrics 24.
    """
    findings: list[Finding] = []
    for rule in RULES:
        try:
            findings += rule(evidence, policy)
        except Exception as error:
            findings.append(
                Finding(rule.__name__.strip("_"), "block", f"the rule could not be worked out: {type(error).__name__}: {error}")
            )
    return GateResult(worst(findings), tuple(findings))


def _person(evidence: "Evidence", policy: Policy) -> list[Finding]:
    """Where no rule weighs the size of a change, a person has to."""
    reason = "the policy has no rule that weighs the changes: read the comparison's report and decide"
    return [] if policy.rules else [Finding("person", "review", reason)]


RULES: tuple[Callable[["Evidence", Policy], list[Finding]], ...] = (
    on_record,
    same_policy,
    same_weights,
    benchmarks,
    pairing,
    metrics,
    comparison,
    rule_findings,
    _person,
)

__all__ = ["CHECKS", "COLUMNS", "RULES", "SEVERITY", "Finding", "GateResult", "Verdict", "gate", "worst"]
