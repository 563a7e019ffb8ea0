"""An alias moves only with complete evidence and a valid approval, and every move is a run."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient

from registry import promote as module
from registry.cards import VersionCard
from registry.evidence import evidence_of
from registry.policy import Policy, load_policy, policy_from
from registry.promote import PromotionRecord, alias_target, promote
from registry.review import review
from registry.runs import runs_of_kind
from tests.conftest import Store, Toy
from tests.evidence_builder import artifact_file, complete, log_comparison, log_evaluation, register

POLICY = load_policy()


def approve(card: VersionCard, *, decision: str = "approve", reviewer: str = "R. One", policy: Policy = POLICY) -> str:
    with mlflow.start_run():
        return review(card, decision=decision, reviewer=reviewer, reason="as agreed", policy=policy)


def promoted(card: VersionCard, *, policy: Policy = POLICY, **options: str) -> PromotionRecord:
    with mlflow.start_run():
        return promote(card, policy=policy, **options)


def test_an_approved_candidate_becomes_champion(toy: Toy) -> None:
    candidate = toy.candidate
    review_run = approve(candidate)
    record = promoted(candidate)
    assert alias_target("toy", "champion") == candidate.version
    assert str(record) == f"alias 'champion' of toy moved to version {candidate.version}"
    run = MlflowClient().get_run(record.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["qbias.kind"] == "promotion"
    assert run.data.params == {
        "promotion.model": "toy",
        "promotion.alias": "champion",
        "promotion.from_version": "none",
        "promotion.to_version": candidate.version,
        "promotion.review_run": review_run,
        "promotion.evidence_digest": evidence_of(candidate, POLICY).digest,
        "promotion.policy_digest": POLICY.digest(),
    }


def test_the_version_before_is_recorded(store: Store) -> None:
    baseline, first, second = register("toy", quantizers=("fp32", "bnb-nf4", "bnb-int8"))
    base = log_evaluation(baseline)
    for card in (first, second):
        log_comparison((card, log_evaluation(card)), (baseline, base))
        approve(card)
    promoted(first)
    record = promoted(second)
    assert (record.from_version, record.to_version) == (first.version, second.version)
    assert str(record) == f"alias 'champion' of toy moved from version {first.version} to version {second.version}"
    back = promoted(first)
    assert (back.recorded, alias_target("toy", "champion")) == (True, first.version)


def test_again_with_the_same_approval_is_a_plain_no_op(toy: Toy) -> None:
    candidate = toy.candidate
    approve(candidate)
    first = promoted(candidate)
    again = promoted(candidate)
    assert (again.recorded, again.run_id) == (False, first.run_id)
    assert str(again) == f"nothing to do: alias 'champion' of toy already points to version {candidate.version} with this approval"
    assert len(list(runs_of_kind("promotion"))) == 1
    approve(candidate)
    assert "already pointed to" in str(promoted(candidate))
    assert len(list(runs_of_kind("promotion"))) == 2


def test_an_alias_moved_by_other_hands_is_moved_and_recorded(toy: Toy) -> None:
    candidate = toy.candidate
    baseline = toy.baseline
    approve(candidate)
    promoted(candidate)
    MlflowClient().set_registered_model_alias("toy", "champion", baseline.version)
    record = promoted(candidate)
    assert (record.from_version, record.recorded, alias_target("toy", "champion")) == (baseline.version, True, candidate.version)


def test_other_aliases(toy: Toy) -> None:
    approve(toy.candidate)
    for alias in ("shadow", "Prod-1", "a_b"):
        promoted(toy.candidate, alias=alias)
        assert alias_target("toy", alias) == toy.candidate.version
    assert alias_target("toy", "champion") == ""


@pytest.mark.parametrize("alias", ["", "latest", "Latest", "v1", "V20", "a b", "a/b", "x@y", "a\n"])
def test_a_bad_alias_is_refused_before_anything_is_read(alias: str) -> None:
    card = VersionCard(
        name="m", version="2", quantizer="q", baseline_version="1", weights_sha256="", content="", uri="", model_id="", source="", size=""
    )
    with pytest.raises(ValueError, match="alias"):
        promote(card, alias=alias, policy=POLICY)


def refusal(card: VersionCard, *, policy: Policy = POLICY) -> str:
    """The message with which a promotion is refused; nothing has moved and no promotion is recorded."""
    with pytest.raises(ValueError, match="cannot become 'champion'") as error:
        promoted(card, policy=policy)
    assert alias_target(card.name, "champion") == ""
    assert list(runs_of_kind("promotion")) == []
    return str(error.value)


def test_without_anything_the_whole_list_is_told(store: Store) -> None:
    _, candidate = register("my model")
    said = refusal(candidate)
    assert "mlflow run . -e evaluate -P model='models:/my model/2'" in said
    assert "mlflow run . -e evaluate -P model='models:/my model/1'" in said
    assert "mlflow run . -e compare -P models='my model'" in said
    assert "-e review -P model='models:/my model/2' -P decision=approve -P reviewer='<your name>' -P reason='<why>'" in said


def test_without_a_review(toy: Toy) -> None:
    candidate = toy.candidate
    said = refusal(candidate)
    assert "is not approved: it has no finished review" in said
    assert said.count("mlflow run") == 1


def test_a_baseline_is_not_promoted(store: Store) -> None:
    baseline, _ = register("toy")
    with pytest.raises(ValueError, match="is a baseline"):
        promoted(baseline)


def reject_after(card: VersionCard, runs: dict[str, str]) -> None:
    approve(card, decision="reject")


def fail_review(card: VersionCard, runs: dict[str, str]) -> None:
    (run,) = runs_of_kind("review")
    MlflowClient().set_terminated(run.info.run_id, "FAILED")


def unfinished_rejection(card: VersionCard, runs: dict[str, str]) -> None:
    MlflowClient().set_terminated(approve(card, decision="reject"), "FAILED")


def forge_decision(card: VersionCard, runs: dict[str, str]) -> None:
    with mlflow.start_run(tags={"qbias.kind": "review"}):
        mlflow.log_params({"review.model": card.name, "review.version": card.version, "review.decision": "APPROVE"})


def delete_review(card: VersionCard, runs: dict[str, str]) -> None:
    (run,) = runs_of_kind("review")
    MlflowClient().delete_run(run.info.run_id)


def evaluate_again(card: VersionCard, runs: dict[str, str]) -> None:
    log_comparison((card, log_evaluation(card)), (replace(card, version="1", quantizer="fp32"), runs["baseline"]))


def change_metric(card: VersionCard, runs: dict[str, str]) -> None:
    MlflowClient().log_metric(runs["candidate"], "facet/accuracy_at_1", 0.75)


def change_weights(card: VersionCard, runs: dict[str, str]) -> None:
    MlflowClient().set_model_version_tag(card.name, card.version, "qbias.weights_sha256", "0" * 64)


def change_outcomes(card: VersionCard, runs: dict[str, str]) -> None:
    artifact_file(runs["baseline"], "outcomes/coco/images.parquet").write_bytes(b"x")


def delete_comparison(card: VersionCard, runs: dict[str, str]) -> None:
    MlflowClient().delete_run(runs["comparison"])


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (reject_after, "the newest review rejects it"),
        (fail_review, "it has no finished review"),
        (unfinished_rejection, "the newest review rejects it"),
        (forge_decision, "the newest review rejects it"),
        (delete_review, "it has no finished review"),
        (evaluate_again, "was given on other evidence"),
        (change_metric, "was given on other evidence"),
        (change_weights, "other weights than the version has"),
        (change_outcomes, "images.parquet"),
        (delete_comparison, "no finished comparison holds"),
    ],
)
def test_an_approval_does_not_outlive_what_it_was_about(toy: Toy, edit: Callable[..., None], said: str) -> None:
    candidate = toy.candidate
    runs = toy.runs
    approve(candidate)
    edit(candidate, runs)
    assert said in refusal(candidate)


def changed_policy(**changes: Any) -> Policy:
    raw = POLICY.model_dump(mode="json")
    raw["sign_off"] |= changes
    return policy_from(raw)


def test_another_policy_needs_another_approval(toy: Toy) -> None:
    candidate = toy.candidate
    approve(candidate)
    assert "was given under another policy" in refusal(candidate, policy=changed_policy(valid_days=10_000))


def test_several_people_are_several(toy: Toy) -> None:
    two = changed_policy(approvals=2)
    candidate = toy.candidate
    approve(candidate, reviewer="Ada", policy=two)
    approve(candidate, reviewer="  ADA ", policy=two)
    assert "1 of 2 people have approved it" in refusal(candidate, policy=two)
    approve(candidate, reviewer="Grace", policy=two)
    promoted(candidate, policy=two)
    assert alias_target("toy", "champion") == candidate.version


def test_another_versions_approval_does_not_count(toy: Toy) -> None:
    candidate = toy.candidate
    other, _, _ = complete("other")
    approve(other)
    assert "it has no finished review" in refusal(candidate)


def test_two_at_once_the_loser_is_told(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    candidate = toy.candidate
    baseline = toy.baseline
    approve(candidate)
    plain = MlflowClient.set_registered_model_alias

    def overtaken(self: MlflowClient, name: str, alias: str, version: str) -> None:
        plain(self, name, alias, version)
        plain(self, name, alias, baseline.version)

    monkeypatch.setattr(MlflowClient, "set_registered_model_alias", overtaken)
    with pytest.raises(RuntimeError, match="someone else moved it"):
        promoted(candidate)
    assert list(runs_of_kind("promotion")) == [], "the record's run has failed, so it does not count"


def test_a_promotion_that_breaks_off_before_the_move_can_be_repeated(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    candidate = toy.candidate
    approve(candidate)
    with monkeypatch.context() as patch:
        patch.setattr(module, "_move", lambda record: (_ for _ in ()).throw(ConnectionError("gone")))
        with pytest.raises(ConnectionError):
            promoted(candidate)
    assert alias_target("toy", "champion") == ""
    assert promoted(candidate).recorded


def test_without_a_run_nothing_moves(toy: Toy) -> None:
    candidate = toy.candidate
    approve(candidate)
    with pytest.raises(ValueError, match="active MLflow run"):
        promote(candidate, policy=POLICY)
    assert alias_target("toy", "champion") == ""
