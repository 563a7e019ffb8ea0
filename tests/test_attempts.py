"""Repeated candidates against the same policy are counted, and what that means is said."""

import dataclasses

import mlflow
import pytest
from mlflow import MlflowClient

from registry.attempts import Attempts, attempts_of, attempts_text, luck
from registry.cards import VersionCard
from registry.policy import Policy, load_policy
from registry.review import review, show_gate
from registry.rules import Rule
from tests.conftest import Store, Toy
from tests.evidence_builder import log_evaluation, register

POLICY = load_policy()


def with_levels(*levels: float) -> Policy:
    rules = tuple(
        Rule(name=f"rule {place}", kind="equivalence", metric="imagenet/accuracy_at_1", margin=0.01, level=level, why="a test")
        for place, level in enumerate(levels)
    )
    return POLICY.model_copy(update={"rules": rules})


def judged(card: VersionCard, policy: Policy = POLICY) -> None:
    """A decision on a candidate, as far as it is counted."""
    facts = {"model": card.name, "weights_sha256": card.weights_sha256, "policy_digest": policy.digest()}
    with mlflow.start_run():
        mlflow.log_params({f"review.{name}": value for name, value in facts.items()})
        mlflow.set_tag("qbias.kind", "review")


def shown(card: VersionCard, policy: Policy = POLICY) -> None:
    """The gate's verdict shown to someone who decided nothing."""
    tags = {"model": card.name, "version": card.version, "policy_digest": policy.digest(), "kind": "gate"}
    with mlflow.start_run():
        mlflow.set_tags({f"qbias.{name}": value for name, value in tags.items()})


def test_candidates_are_counted_by_weights_and_baselines_are_not(store: Store) -> None:
    baseline, first, second, other = register("toy", quantizers=("fp32", "bnb-nf4", "bnb-int8", "bnb-fp4"))
    assert attempts_of(first, POLICY) == Attempts("toy", baseline.version, "bnb-nf4", 0, 0, 0)
    for card in (baseline, first, first, second):
        log_evaluation(card)
    log_evaluation(other, status="FAILED")
    found = attempts_of(first, POLICY)
    assert (found.evaluated, found.alike, found.judged) == (2, 1, 0)
    # The same weights under another version are no new attempt; other weights in the same precision are.
    log_evaluation(dataclasses.replace(first, version="8"))
    log_evaluation(dataclasses.replace(first, version="9", weights_sha256="f" * 64))
    found = attempts_of(first, POLICY)
    assert (found.evaluated, found.alike) == (3, 2)


def test_other_models_and_other_baselines_do_not_count(store: Store) -> None:
    _, first = register("toy")
    _, elsewhere = register("other")
    log_evaluation(first)
    log_evaluation(elsewhere)
    late = dataclasses.replace(first, version="7", baseline_version="6", weights_sha256="e" * 64)
    log_evaluation(late)
    for card in (elsewhere, late):
        judged(card)
    assert attempts_of(first, POLICY) == Attempts("toy", "1", "bnb-nf4", 1, 1, 0)


def test_verdicts_count_under_this_policy_whether_decided_on_or_only_seen(store: Store) -> None:
    _, first, second, third = register("toy", quantizers=("fp32", "bnb-nf4", "bnb-int8", "bnb-fp4"))
    for card in (first, second, third):
        log_evaluation(card)
    judged(first)
    shown(first)
    shown(second)
    judged(third, policy=with_levels(0.95))
    shown(third, policy=with_levels(0.95))
    assert attempts_of(first, POLICY).judged == 2
    assert attempts_of(first, with_levels(0.95)).judged == 1


def test_what_the_verb_writes_is_counted(toy: Toy) -> None:
    # Through the verb's own functions, so that a renamed tag or parameter shows here.
    with mlflow.start_run():
        show_gate(toy.candidate, POLICY)
    assert attempts_of(toy.candidate, POLICY).judged == 1
    other = with_levels(0.9)
    with mlflow.start_run():
        review(toy.candidate, decision="reject", reviewer="R. One", reason="a test", policy=other)
    assert (attempts_of(toy.candidate, other).evaluated, attempts_of(toy.candidate, other).judged) == (1, 1)


def test_a_version_that_is_gone_still_counts(store: Store) -> None:
    _, first, second = register("toy", quantizers=("fp32", "bnb-nf4", "bnb-int8"))
    for card in (first, second):
        log_evaluation(card)
        judged(card)
    MlflowClient().delete_model_version("toy", second.version)
    found = attempts_of(first, POLICY)
    assert (found.evaluated, found.judged) == (2, 2)


def test_luck_is_that_of_the_laxest_rule() -> None:
    assert luck(with_levels()) is None
    assert luck(with_levels(0.95, 0.8, 0.99)) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("tries", "said"), [(2, "up to 5 %"), (7, "up to 17.5 %"), (90, "up to 100 %")]
)  # fmt: skip
def test_the_text_says_what_many_tries_mean(tries: int, said: str) -> None:
    text = attempts_text(Attempts("toy", "1", "bnb-nf4", tries, 1, 1), with_levels(0.95))
    assert f"{tries} candidates of toy evaluated beside baseline version 1 (distinct weights), 1 in bnb-nf4; 1 judged under" in text
    assert "at most 2.5 % of cases" in text
    assert said in text


@pytest.mark.parametrize("policy", [with_levels(0.95), with_levels()])
def test_a_first_try_needs_no_warning(policy: Policy) -> None:
    text = attempts_text(Attempts("toy", "1", "bnb-nf4", 1, 1, 1), policy)
    assert "1 candidate of toy" in text
    assert "luck" not in text


def test_more_verdicts_than_evaluations_count_as_tries() -> None:
    assert "of 4 such candidates" in attempts_text(Attempts("toy", "1", "bnb-nf4", 1, 1, 4), with_levels(0.95))
