"""The gate: complete evidence asks for a person, anything else blocks, and nothing passes by itself."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qbias.protocol import Protocol
from qbias.records import Evaluation
from registry import gate as module
from registry.cards import VersionCard
from registry.evidence import Evidence, Missing
from registry.gate import Finding, gate, worst
from registry.policy import Policy, load_policy, policy_from
from registry.rules import CHECKS
from tests.evidence_builder import METRICS, all_outcomes, evaluation_of

POLICY = load_policy().model_copy(update={"rules": ()})
"""Without rules: this file is about completeness. What rules find is in test_weighing.py."""
Change = Callable[[Evidence], Evidence]


def card(version: str, quantizer: str) -> VersionCard:
    return VersionCard(
        name="toy", version=version, quantizer=quantizer, baseline_version="1", weights_sha256=version * 64, content=version * 64,
        uri=f"models:/toy/{version}", model_id=f"m-{version}", source="balanced", size="small",
    )  # fmt: skip


def whole(policy: Policy = POLICY) -> Evidence:
    """Complete evidence, without a store."""
    own, base = card("2", "bnb-nf4"), card("1", "fp32")
    return Evidence(
        card=own, baseline_card=base, candidate=evaluation_of(own, "run-2"), baseline=evaluation_of(base, "run-1"),
        comparison_run="run-3", comparison_digest="c" * 64, outcomes_digests={"run-1": "1" * 64, "run-2": "2" * 64}, missing=(),
        policy_digest=policy.digest(), digest="d" * 64,
    )  # fmt: skip


def side(name: str, **changes: Any) -> Change:
    """One side's evaluation with other fields."""

    def change(evidence: Evidence) -> Evidence:
        evaluation: Evaluation = getattr(evidence, name)
        return dataclasses.replace(evidence, **{name: dataclasses.replace(evaluation, **changes)})

    return change


def field(**changes: Any) -> Change:
    return lambda evidence: dataclasses.replace(evidence, **changes)


def outcome(name: str, benchmark: str, **changes: Any) -> Change:
    """One benchmark's outcomes of one side with other fields."""

    def change(evidence: Evidence) -> Evidence:
        outcomes = dict(getattr(evidence, name).outcomes)
        outcomes[benchmark] = dataclasses.replace(outcomes[benchmark], **changes)
        return side(name, outcomes=outcomes)(evidence)

    return change


def without(mapping: Any, key: str) -> dict[str, Any]:
    return {name: value for name, value in mapping.items() if name != key}


def other_ids(benchmark: str) -> Any:
    frames = dict(all_outcomes()[benchmark].frames)
    frames["images"] = frames["images"].assign(id=[f"other-{row}" for row in range(len(frames["images"]))])
    return frames


LIMITED = Protocol(limit=4)
FACET = "facet/gender_mf/max_disparity_at_1"
CASES: dict[str, tuple[str, Change]] = {
    "a part is missing": ("on_record", field(missing=(Missing("candidate evaluation", "it has no finished evaluation", "x"),))),
    "no candidate evaluation": ("on_record", field(candidate=None)),
    "no baseline evaluation": ("on_record", field(baseline=None)),
    "no evaluation at all": ("benchmark:facet", field(baseline=None, candidate=None)),
    "another policy": ("same_policy", field(policy_digest="0" * 64)),
    "no policy": ("same_policy", field(policy_digest="")),
    "candidate of other weights": ("same_weights", side("candidate", weights_sha256="0" * 64)),
    "baseline of other weights": ("same_weights", side("baseline", weights_sha256="0" * 64)),
    "candidate without weights": ("same_weights", lambda e: side("candidate", weights_sha256="")(
        field(card=dataclasses.replace(e.card, weights_sha256=""))(e))),
    "candidate of another version": ("same_weights", side("candidate", version="3")),
    "candidate of another model": ("same_weights", side("candidate", model="other")),
    "baseline of another version": ("same_weights", side("baseline", version="4")),
    "baseline version gone": ("same_weights", field(baseline_card=None)),
    "another baseline's card": ("same_weights", lambda e: field(card=dataclasses.replace(e.card, baseline_version="9"))(e)),
    "a baseline as candidate": ("same_weights", lambda e: field(card=e.baseline_card, candidate=e.baseline)(e)),
    **{
        f"{which} without {name}": (f"benchmark:{name}", side(which, outcomes=without(all_outcomes(), name)))
        for name in all_outcomes() for which in ("candidate", "baseline")
    },
    "candidate limited": ("benchmark:facet", side("candidate", outcomes=all_outcomes(protocol=LIMITED))),
    "both limited": ("benchmark:coco", lambda e: side("candidate", outcomes=all_outcomes(protocol=LIMITED))(
        side("baseline", outcomes=all_outcomes(protocol=LIMITED))(e))),
    "both without a bad image": ("benchmark:facet", lambda e: outcome("candidate", "facet", facts={"skipped_images": 1})(
        outcome("baseline", "facet", facts={"skipped_images": 1})(e))),
    "protocol without the field": ("benchmark:facet", outcome("candidate", "facet", protocol={})),
    "other images": ("pairing", outcome("candidate", "facet", frames=other_ids("facet"))),
    "other dataset": ("pairing", outcome("candidate", "coco", dataset_digest="0" * 64)),
    "other prompts": ("pairing", outcome("baseline", "fairface", prompts_sha256="0" * 64)),
    "other protocol digest": ("pairing", outcome("candidate", "imagenet", protocol_digest="0" * 64)),
    "candidate lacks a metric": ("metrics", side("candidate", metrics=without(METRICS, FACET))),
    "candidate has NaN": ("metrics", side("candidate", metrics=METRICS | {FACET: math.nan})),
    "candidate has infinity": ("metrics", side("candidate", metrics=METRICS | {FACET: math.inf})),
    "baseline has NaN": ("metrics", side("baseline", metrics=METRICS | {FACET: math.nan})),
    "baseline has minus infinity": ("metrics", side("baseline", metrics=METRICS | {FACET: -math.inf})),
    "a metric that only the candidate has is NaN": ("metrics", side("candidate", metrics=METRICS | {"facet/new": math.nan})),
    "no metric of a benchmark": ("benchmark:imagenet", side("candidate", metrics=without(METRICS, "imagenet/accuracy_at_1"))),
    "no metric at all": ("metrics", lambda e: side("candidate", metrics={})(side("baseline", metrics={})(e))),
    "a metric is no number": ("metrics", side("candidate", metrics=METRICS | {FACET: "much"})),
    "no comparison": ("comparison", field(comparison_run="", comparison_digest="")),
    "comparison without a digest": ("comparison", field(comparison_digest="")),
    "comparison without a run": ("comparison", field(comparison_run="")),
}  # fmt: skip


def test_complete_evidence_needs_a_person() -> None:
    result = gate(whole(), POLICY)
    assert result.verdict == "review"
    assert [row.rule for row in result.findings if row.verdict != "pass"] == ["person"]
    assert not result.reasons("block")


def test_the_default_policy_weighs_instead() -> None:
    policy = load_policy()
    result = gate(whole(policy), policy)
    assert result.verdict == "review", "eight images decide nothing"
    assert {row.rule for row in result.findings if row.kind} == {row.name for row in policy.rules}
    assert "person" not in {row.rule for row in result.findings}


def test_checks_have_names_that_no_rule_may_take() -> None:
    assert {row.rule for row in gate(whole(), POLICY).findings if not row.rule.startswith("benchmark:")} == set(CHECKS)


@pytest.mark.parametrize("case", CASES)
def test_incomplete_evidence_is_blocked_by_its_rule(case: str) -> None:
    rule, change = CASES[case]
    result = gate(change(whole()), POLICY)
    assert result.verdict == "block"
    assert rule in {row.rule for row in result.findings if row.verdict == "block"}
    assert all(row.reason for row in result.findings)


@given(st.lists(st.sampled_from(sorted(CASES)), min_size=1, max_size=3))
def test_no_combination_of_faults_gets_through(names: list[str]) -> None:
    evidence = whole()
    for name in names:
        try:
            evidence = CASES[name][1](evidence)
        except (AttributeError, KeyError, TypeError):  # the change needs a part that an earlier one took away
            continue
    assert gate(evidence, POLICY).verdict == "block"


def test_every_rule_speaks_once_and_benchmarks_once_each() -> None:
    rules = [row.rule for row in gate(whole(), POLICY).findings]
    assert len(rules) == len(set(rules))
    assert [rule for rule in rules if rule.startswith("benchmark:")] == [f"benchmark:{row.name}" for row in POLICY.benchmarks]


def test_a_metric_outside_the_required_benchmarks_does_not_count() -> None:
    assert gate(side("candidate", metrics=METRICS | {"custom/x": math.nan})(whole()), POLICY).verdict == "review"


def test_a_policy_may_do_without_a_comparison() -> None:
    raw = POLICY.model_dump(mode="json")
    raw["comparison"] = {"required": False, "why": "tried out alone"}
    policy = policy_from(raw)
    lacking = Missing("comparison", "there is none", "x")
    evidence = dataclasses.replace(whole(policy), comparison_run="", comparison_digest="", missing=(lacking,))
    assert gate(evidence, policy).verdict == "review"
    assert gate(dataclasses.replace(evidence, policy_digest=POLICY.digest()), POLICY).verdict == "block"


def test_a_rule_that_breaks_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(evidence: Evidence, policy: Policy) -> list[Finding]:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(module, "RULES", (*module.RULES, broken))
    result = gate(whole(), POLICY)
    assert result.verdict == "block"
    assert "broken: the rule could not be worked out: ZeroDivisionError" in result.reasons("block")[0]


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([], "block"),
        (["pass"], "pass"),
        (["pass", "review"], "review"),
        (["review", "block", "pass"], "block"),
        (["pass", "fine"], "block"),
        ([None], "block"),
    ],
)
def test_worst(verdicts: list[Any], expected: str) -> None:
    assert worst([Finding("rule", verdict, "reason") for verdict in verdicts]) == expected


def test_long_lists_of_faults_are_cut_and_counted() -> None:
    evidence = side("candidate", metrics={name: math.nan for name in METRICS} | {f"facet/m{row}": math.nan for row in range(9)})(whole())
    (reason,) = [row.reason for row in gate(evidence, POLICY).findings if row.rule == "metrics"]
    assert reason.endswith("; and 9 more")
