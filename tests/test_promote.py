"""An alias moves only with complete evidence and a valid approval, and every move is a sealed record."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient

from registry import anchor as anchors
from registry.cards import VersionCard, version_card
from registry.chain import Record, head, records_of
from registry.evidence import evidence_of
from registry.moves import PromotionRecord
from registry.policy import Policy
from registry.production import pin_of
from registry.promote import alias_target, promote
from registry.review import review
from tests.conftest import Store, Toy
from tests.evidence_builder import artifact_file, complete, log_comparison, log_evaluation, plain_policy, register, version_file

POLICY = plain_policy()


def approve(card: VersionCard, *, reviewer: str = "R. One", policy: Policy | None = POLICY, **options: Any) -> str:
    options = {"decision": "approve", "reason": "as agreed"} | options
    with mlflow.start_run():
        return review(card, reviewer=reviewer, policy=policy, **options).record.run_id


def promoted(card: VersionCard, *, policy: Policy | None = POLICY, **options: Any) -> PromotionRecord:
    with mlflow.start_run():
        return promote(card, policy=policy, **options)


def promotions(model: str = "toy") -> list[Record]:
    return [record for record in records_of(model) if record.kind == "promotion"]


def test_an_approved_candidate_becomes_champion(toy: Toy) -> None:
    review_run = approve(toy.candidate)
    told = promoted(toy.candidate, promoter="P. One")
    assert alias_target("toy-prod", "champion") == "1"
    assert alias_target("toy", "champion") == ""
    assert str(told) == "alias 'champion' of toy-prod moved to version 1 (toy version 2)"
    copy = MlflowClient().get_model_version("toy-prod", "1")
    assert copy.source == "models:/toy/2"
    assert version_card("models:/toy-prod@champion") == toy.candidate
    (record,) = promotions()
    assert (record.run_id, record.finished, record.faults, record.sequence) == (told.run_id, True, (), 2)
    evidence = evidence_of(toy.candidate, POLICY)
    assert record.facts == {
        "model": "toy",
        "version": "2",
        "production": "toy-prod",
        "production_mode": "prod",
        "alias": "champion",
        "from_version": "none",
        "to_version": "1",
        "promoter": "P. One",
        "reason": "none",
        "override": "false",
        "review_runs": review_run,
        "policy_next": POLICY.digest(),
        "weights_sha256": toy.candidate.weights_sha256,
        "files_sha256": evidence.facts["candidate version"]["files_sha256"],
        "gate": "review",
        "evidence_digest": evidence.digest,
        "policy": "plain",
        "policy_digest": POLICY.digest(),
        "candidate_run": toy.runs["candidate"],
        "baseline_run": toy.runs["baseline"],
        "comparison_run": toy.runs["comparison"],
        "registered_by": "Registrar",
        "identity": "not checked: policy 'plain' lists no promoters, so anyone may sign",
        "unfinished": "none",
    }


def test_head_and_policy_stand_on_the_production_model(toy: Toy) -> None:
    approve(toy.candidate)
    promoted(toy.candidate)
    pin = pin_of("toy-prod")
    assert pin is not None
    assert (pin.candidate, pin.policy, pin.policy_digest) == ("toy", "plain", POLICY.digest())
    assert (pin.length, pin.digest) == head(records_of("toy"))
    assert pin_of("toy") is None
    tags = MlflowClient().get_model_version("toy-prod", "1").tags
    assert (tags["qbias.gate"], tags["qbias.review"], tags["qbias.report_run"]) == ("review", "approve", toy.runs["comparison"])
    for name in ("toy", "toy-prod"):
        assert "promotion of champion" in MlflowClient().get_registered_model(name).description
    assert "**toy-prod** holds the promoted versions of **toy**" in MlflowClient().get_registered_model("toy-prod").description


def test_one_user_may_promote_within_the_model_and_the_record_says_so(toy: Toy) -> None:
    approve(toy.candidate)
    told = promoted(toy.candidate, production="same")
    assert str(told) == "alias 'champion' of toy moved to version 2"
    assert alias_target("toy", "champion") == "2"
    assert "may also move its aliases" in promotions()[0].facts["production_mode"]
    with pytest.raises(ValueError, match="is promoted to 'toy', where its policy stands"):
        promoted(toy.candidate)
    with pytest.raises(ValueError, match="unknown production 'other'"):
        promoted(toy.candidate, production="other")


def two_candidates() -> tuple[VersionCard, VersionCard]:
    """Two approved candidates of one baseline."""
    baseline, first, second = register("toy", quantizers=("fp32", "bnb-nf4", "bnb-int8"))
    base = log_evaluation(baseline)
    for card in (first, second):
        log_comparison((card, log_evaluation(card)), (baseline, base))
        approve(card)
    return first, second


def test_the_version_before_is_recorded_and_a_copy_is_made_once(store: Store) -> None:
    first, second = two_candidates()
    promoted(first)
    told = promoted(second)
    assert (told.from_version, told.to_version) == ("1", "2")
    assert str(told) == "alias 'champion' of toy-prod moved from version 1 to version 2 (toy version 3)"
    back = promoted(first)
    assert (back.recorded, back.to_version, alias_target("toy-prod", "champion")) == (True, "1", "1")


def test_a_copy_with_other_files_is_not_used(toy: Toy) -> None:
    client = MlflowClient()
    client.copy_model_version("models:/toy/2", "toy-prod")
    client.copy_model_version("models:/toy/1", "toy-prod")
    approve(toy.candidate)
    assert promoted(toy.candidate).to_version == "1", "an intact copy of the candidate, though not the newest version"


def test_again_with_the_same_approval_is_a_plain_no_op(toy: Toy) -> None:
    approve(toy.candidate)
    first = promoted(toy.candidate)
    again = promoted(toy.candidate)
    assert (again.recorded, again.run_id) == (False, first.run_id)
    assert str(again) == "nothing to do: alias 'champion' of toy-prod already points to version 1 (toy version 2) with this approval"
    assert len(promotions()) == 1
    approve(toy.candidate)
    assert "already pointed to" in str(promoted(toy.candidate))
    assert len(promotions()) == 2


def test_an_alias_moved_by_other_hands_is_moved_and_recorded(toy: Toy) -> None:
    approve(toy.candidate)
    promoted(toy.candidate)
    client = MlflowClient()
    other = client.copy_model_version("models:/toy/1", "toy-prod").version
    client.set_registered_model_alias("toy-prod", "champion", other)
    told = promoted(toy.candidate)
    assert (told.from_version, told.recorded, alias_target("toy-prod", "champion")) == ("2", True, "1")


def test_other_aliases(toy: Toy) -> None:
    approve(toy.candidate)
    for alias in ("shadow", "Prod-1", "a_b"):
        promoted(toy.candidate, alias=alias)
        assert alias_target("toy-prod", alias) == "1"
    assert alias_target("toy-prod", "champion") == ""


@pytest.mark.parametrize("alias", ["", "latest", "Latest", "v1", "V20", "a b", "a/b", "x@y", "a\n"])
def test_a_bad_alias_is_refused_before_anything_is_read(alias: str) -> None:
    card = VersionCard(
        name="m", version="2", quantizer="q", baseline_version="1", weights_sha256="", content="", uri="", model_id="", source="", size=""
    )
    with pytest.raises(ValueError, match="alias"):
        promote(card, alias=alias, policy=POLICY)


def refusal(card: VersionCard, *, policy: Policy | None = POLICY) -> str:
    """The message with which a promotion is refused; nothing has moved and no promotion is recorded."""
    with pytest.raises(ValueError, match=r"cannot become 'champion'|are not whole") as error:
        promoted(card, policy=policy)
    assert alias_target(f"{card.name}-prod", "champion") == ""
    assert promotions(card.name) == []
    return str(error.value)


def test_without_anything_the_whole_list_is_told(store: Store) -> None:
    _, candidate = register("my model")
    said = refusal(candidate)
    assert "mlflow run . -e evaluate -P model='models:/my model/2'" in said
    assert "mlflow run . -e evaluate -P model='models:/my model/1'" in said
    assert "mlflow run . -e compare -P models='my model'" in said
    assert "-e review -P model='models:/my model/2' -P decision=approve -P reviewer='<your name>' -P reason='<why>'" in said


def test_without_a_review(toy: Toy) -> None:
    said = refusal(toy.candidate)
    assert "is not approved: it has no finished review" in said
    assert said.count("mlflow run") == 1


def test_a_baseline_is_not_promoted(store: Store) -> None:
    baseline, _ = register("toy")
    with pytest.raises(ValueError, match="is a baseline"):
        promoted(baseline)


def reject_after(card: VersionCard, runs: dict[str, str]) -> None:
    approve(card, decision="reject")


def fail_review(card: VersionCard, runs: dict[str, str]) -> None:
    MlflowClient().set_terminated(records_of(card.name)[0].run_id, "FAILED")


def unfinished_rejection(card: VersionCard, runs: dict[str, str]) -> None:
    MlflowClient().set_terminated(approve(card, decision="reject"), "FAILED")


def edit_decision(card: VersionCard, runs: dict[str, str]) -> None:
    MlflowClient().set_tag(records_of(card.name)[0].run_id, "qbias.decision", "reject")


def delete_review(card: VersionCard, runs: dict[str, str]) -> None:
    MlflowClient().delete_run(records_of(card.name)[0].run_id)


def delete_the_first_of_two(card: VersionCard, runs: dict[str, str]) -> None:
    approve(card)
    delete_review(card, runs)


def evaluate_again(card: VersionCard, runs: dict[str, str]) -> None:
    log_comparison((card, log_evaluation(card)), (replace(card, version="1", quantizer="fp32"), runs["baseline"]))


def change_metric(card: VersionCard, runs: dict[str, str]) -> None:
    MlflowClient().log_metric(runs["candidate"], "facet/accuracy_at_1", 0.75)


def change_weights(card: VersionCard, runs: dict[str, str]) -> None:
    MlflowClient().set_model_version_tag(card.name, card.version, "qbias.weights_sha256", "0" * 64)


def change_weight_files(card: VersionCard, runs: dict[str, str]) -> None:
    version_file(card).write_bytes(b"other weights")


def change_outcomes(card: VersionCard, runs: dict[str, str]) -> None:
    artifact_file(runs["baseline"], "outcomes/coco/images.parquet").write_bytes(b"x")


def delete_comparison(card: VersionCard, runs: dict[str, str]) -> None:
    MlflowClient().delete_run(runs["comparison"])


def change_report(card: VersionCard, runs: dict[str, str]) -> None:
    artifact_file(runs["comparison"], "report/report.html").write_bytes(b"x")


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (reject_after, "the newest review rejects it"),
        (fail_review, "it has no finished review"),
        (unfinished_rejection, "the newest review rejects it"),
        (edit_decision, "tag qbias.decision is 'reject'"),
        (delete_review, "it has no finished review"),
        (delete_the_first_of_two, "record 1 gone"),
        (evaluate_again, "was given on other evidence"),
        (change_metric, "was given on other evidence"),
        (change_weights, "other weights than the version has"),
        (change_weight_files, "the weights of toy version 2 are not those that were registered"),
        (change_outcomes, "images.parquet"),
        (delete_comparison, "no finished comparison holds"),
        (change_report, "report/report.html altered"),
    ],
)
def test_an_approval_does_not_outlive_what_it_was_about(toy: Toy, edit: Callable[..., None], said: str) -> None:
    approve(toy.candidate)
    edit(toy.candidate, toy.runs)
    assert said in refusal(toy.candidate)


def test_another_policy_needs_another_approval(toy: Toy) -> None:
    approve(toy.candidate)
    assert "was given under another policy" in refusal(toy.candidate, policy=plain_policy(valid_days=10_000))


def test_several_people_are_several(toy: Toy) -> None:
    two = plain_policy(approvals=2)
    approve(toy.candidate, reviewer="Ada", policy=two)
    approve(toy.candidate, reviewer="  ADA ", policy=two)
    assert "1 of 2 people have approved it" in refusal(toy.candidate, policy=two)
    approve(toy.candidate, reviewer="Grace", policy=two)
    promoted(toy.candidate, policy=two)
    assert alias_target("toy-prod", "champion") == "1"


def test_another_versions_approval_does_not_count(toy: Toy) -> None:
    other, _, _ = complete("other")
    approve(other)
    assert "it has no finished review" in refusal(toy.candidate)


def test_a_block_needs_two_people_who_override_it(toy: Toy) -> None:
    approve(toy.candidate)
    artifact_file(toy.runs["comparison"], "report/table1.csv").write_bytes(b"x")
    approve(toy.candidate, reviewer="Ada", override=True)
    assert "the gate blocks it, and 1 of 2 people have overridden that" in refusal(toy.candidate)
    approve(toy.candidate, reviewer="ada", override=True)
    assert "1 of 2 people" in refusal(toy.candidate)
    approve(toy.candidate, reviewer="Lin", override=True)
    told = promoted(toy.candidate)
    assert told.override
    assert str(told).startswith("OVERRIDE of a gate that blocks: ")
    assert (promotions()[0].facts["override"], promotions()[0].facts["gate"]) == ("true", "block")
    assert MlflowClient().get_model_version("toy-prod", "1").tags["qbias.review"] == "approve (OVERRIDE)"
    assert "OVERRIDE" in MlflowClient().get_registered_model("toy-prod").description


def test_other_weights_cannot_be_overridden(toy: Toy) -> None:
    version_file(toy.candidate).write_bytes(b"other weights")
    for reviewer in ("Ada", "Lin"):
        approve(toy.candidate, reviewer=reviewer, override=True)
    assert "the weights of toy version 2 are not those that were registered" in refusal(toy.candidate)


def test_the_policy_of_the_production_model_rules(toy: Toy) -> None:
    approve(toy.candidate)
    promoted(toy.candidate)
    lax = plain_policy(name="lax", valid_days=10_000)
    for verb in (lambda: approve(toy.candidate, policy=lax), lambda: promoted(toy.candidate, policy=lax)):
        with pytest.raises(ValueError, match=r"policy 'lax' .* does not rule for 'toy'"):
            verb()
    # Neither the checkout nor the caller knows the policy: the records do.
    assert promoted(toy.candidate, policy=None).recorded is False
    approve(toy.candidate, policy=None)
    assert records_of("toy")[-1].facts["policy_digest"] == POLICY.digest()


def test_the_policy_changes_by_a_promotion_with_a_reason(toy: Toy) -> None:
    approve(toy.candidate)
    promoted(toy.candidate)
    strict = plain_policy(name="strict", valid_days=30)
    with pytest.raises(ValueError, match="reason is empty"):
        promoted(toy.candidate, policy=strict, repin=True)
    with pytest.raises(ValueError, match="name the new one with -P policy="):
        promoted(toy.candidate, policy=None, repin=True, reason="why")
    told = promoted(toy.candidate, policy=strict, repin=True, reason="decided in the board of March")
    assert (told.recorded, told.from_version, told.to_version) == (True, "1", "1")
    facts = promotions()[-1].facts
    assert (facts["policy_digest"], facts["policy_next"]) == (POLICY.digest(), strict.digest())
    assert facts["reason"] == "decided in the board of March"
    pin = pin_of("toy-prod")
    assert pin is not None
    assert (pin.policy, pin.policy_digest) == ("strict", strict.digest())
    # The policy is in no checkout, only in the record.
    with pytest.raises(ValueError, match="was given under another policy"):
        promoted(toy.candidate, policy=None)
    approve(toy.candidate, policy=None)
    assert promoted(toy.candidate, policy=None).recorded
    assert promotions()[-1].facts["policy_digest"] == strict.digest()


def test_a_change_of_policy_moves_nothing_that_is_not_approved(store: Store) -> None:
    first, second = two_candidates()
    promoted(first)
    approve(second, decision="reject")
    with pytest.raises(ValueError, match="the newest review rejects it"):
        promoted(second, policy=plain_policy(name="strict", valid_days=30), repin=True, reason="r")
    assert alias_target("toy-prod", "champion") == "1"


def test_a_policy_that_lists_people_keeps_the_records_from_before(toy: Toy) -> None:
    approve(toy.candidate)
    promoted(toy.candidate)
    client = MlflowClient()
    reviews, moves = client.create_experiment("reviews of Ada"), client.create_experiment("promotions of Lin")
    team = plain_policy(
        name="team",
        reviewers=[{"name": "Ada", "experiment_id": reviews}],
        promoters=[{"name": "Lin", "experiment_id": moves}],
    )
    promoted(toy.candidate, policy=team, repin=True, reason="a team now")
    pin = pin_of("toy-prod")
    assert pin is not None
    assert pin.experiments == {toy.store.experiment}
    with mlflow.start_run(experiment_id=reviews):
        review(toy.candidate, decision="approve", reviewer="Ada", reason="r")
    with pytest.raises(ValueError, match="is no promoter's"):
        promoted(toy.candidate, policy=None)
    with mlflow.start_run(experiment_id=moves):
        promote(toy.candidate)
    assert [record.sequence for record in records_of("toy")] == [1, 2, 3, 4, 5]
    assert promotions()[-1].facts["promoter"] == "Lin"


def test_a_model_that_serves_another_is_refused(toy: Toy) -> None:
    approve(toy.candidate)
    client = MlflowClient()
    client.create_registered_model("toy-prod", tags={"qbias.candidate": "other"})
    with pytest.raises(ValueError, match="'toy-prod' serves 'other', not 'toy'"):
        promoted(toy.candidate)
    client.delete_registered_model("toy-prod")
    register("toy-prod")
    with pytest.raises(ValueError, match="holds version 1, which is no copy"):
        promoted(toy.candidate)


def test_the_anchor_is_written_before_the_alias_moves(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    anchor = tmp_path / "anchor.jsonl"
    approve(toy.candidate, anchor=anchor)
    promoted(toy.candidate, anchor=anchor)
    assert (anchors.read(anchor)[-1].length, anchors.read(anchor)[-1].digest) == head(records_of("toy"))
    MlflowClient().delete_run(records_of("toy")[-1].run_id)
    with pytest.raises(ValueError, match="not what anchor="):
        promoted(toy.candidate, anchor=anchor)


def test_without_a_run_nothing_moves(toy: Toy) -> None:
    approve(toy.candidate)
    with pytest.raises(ValueError, match="active MLflow run"):
        promote(toy.candidate, policy=POLICY)
    assert alias_target("toy-prod", "champion") == ""
