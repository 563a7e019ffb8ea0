"""A review is a run whose parameters cannot be changed, and nothing is recorded as approved that must not be."""

import json
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from registry.cards import VersionCard
from registry.evidence import evidence_of
from registry.policy import load_policy
from registry.review import review, reviews_of
from tests.conftest import Store, Toy
from tests.evidence_builder import artifact_file, complete, register

POLICY = load_policy()
GOOD = {"decision": "approve", "reviewer": "First Reviewer", "reason": "the gaps are within what was agreed"}


def reviewed(card: VersionCard, **changes: str) -> str:
    with mlflow.start_run():
        return review(card, policy=POLICY, **(GOOD | changes))


def version_tags(card: VersionCard) -> dict[str, str]:
    return dict(MlflowClient().get_model_version(card.name, card.version).tags)


def test_an_approval_is_recorded_whole(toy: Toy) -> None:
    candidate = toy.candidate
    run = MlflowClient().get_run(reviewed(candidate))
    assert run.data.params == {
        "review.model": "toy",
        "review.version": candidate.version,
        "review.weights_sha256": candidate.weights_sha256,
        "review.decision": "approve",
        "review.reviewer": GOOD["reviewer"],
        "review.reason": GOOD["reason"],
        "review.gate": "review",
        "review.evidence_digest": evidence_of(candidate, POLICY).digest,
        "review.policy_digest": POLICY.digest(),
    }
    assert (run.data.tags["qbias.kind"], run.data.tags["qbias.decision"]) == ("review", "approve")
    assert version_tags(candidate).items() >= {"qbias.gate": "review", "qbias.review": "approve"}.items()
    findings = json.loads(artifact_file(run.info.run_id, "findings.json").read_text(encoding="utf-8"))
    assert findings["verdict"] == "review"
    assert {"rule": "metrics", "verdict": "pass", "reason": "5 metrics, finite on both sides"} in findings["findings"]


def test_a_record_cannot_be_changed_afterwards(toy: Toy) -> None:
    candidate = toy.candidate
    run = reviewed(candidate, decision="reject")
    with pytest.raises(MlflowException, match="param"):
        MlflowClient().log_param(run, "review.decision", "approve")
    (record,) = reviews_of(candidate)
    assert (record.decision, record.finished) == ("reject", True)


def test_it_fits_beside_the_parameters_that_mlflow_run_logs(toy: Toy) -> None:
    candidate = toy.candidate
    with mlflow.start_run():
        mlflow.log_params({"model": "models:/toy@candidate", "decision": "approve", "reviewer": "R", "reason": "r"})
        review(candidate, policy=POLICY, **GOOD)
    assert len(reviews_of(candidate)) == 1


def test_a_block_can_be_rejected_and_not_approved(toy: Toy) -> None:
    candidate = toy.candidate
    runs = toy.runs
    artifact_file(runs["candidate"], "outcomes/facet/images.parquet").write_bytes(b"")
    with pytest.raises(ValueError, match="the gate blocks it") as error:
        reviewed(candidate)
    assert "images.parquet" in str(error.value)
    assert f"mlflow run . -e evaluate -P model=models:/toy/{candidate.version}" in str(error.value)
    assert reviews_of(candidate) == []
    assert "qbias.review" not in version_tags(candidate)
    reviewed(candidate, decision="reject")
    assert version_tags(candidate)["qbias.gate"] == "block"


BAD_INPUT: list[tuple[dict[str, str], str]] = [
    ({"decision": "aprove"}, "Did you mean 'approve'"),
    ({"decision": ""}, "approve, reject"),
    ({"reviewer": " "}, "reviewer is empty"),
    ({"reason": "\n"}, "reason is empty"),
    ({"reason": "x" * 6001}, "6001 characters"),
    ({"reviewer": "x" * 6001}, "6001 characters"),
    ({"reviewer": "a\0b"}, "no text"),
    ({"reason": "\udc80"}, "no text"),
]


def test_bad_input_records_nothing(toy: Toy) -> None:
    for changes, said in BAD_INPUT:
        with pytest.raises(ValueError, match=said):
            reviewed(toy.candidate, **changes)
    assert reviews_of(toy.candidate) == []
    assert "qbias.review" not in version_tags(toy.candidate)


def test_free_text_is_kept_as_it_is(toy: Toy) -> None:
    for text in ("x" * 6000, "<script>alert(1)</script>", "Zoë 测试 🙂", "a'b\"c; --", "two\nlines"):
        params = MlflowClient().get_run(reviewed(toy.candidate, reviewer=text, reason=text)).data.params
        assert (params["review.reviewer"], params["review.reason"]) == (text, text)
        assert all(text not in value for value in version_tags(toy.candidate).values())


def test_a_baseline_is_not_reviewed(store: Store) -> None:
    baseline, _ = register("toy")
    with pytest.raises(ValueError, match="is a baseline"):
        reviewed(baseline)


def test_without_a_run_nothing_is_written(toy: Toy) -> None:
    candidate = toy.candidate
    with pytest.raises(ValueError, match="active MLflow run"):
        review(candidate, policy=POLICY, **GOOD)
    assert mlflow.active_run() is None


def test_a_review_that_breaks_off_is_not_finished(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    candidate = toy.candidate

    def broken(*args: Any, **kwargs: Any) -> None:
        raise MlflowException("the server is gone")

    monkeypatch.setattr(MlflowClient, "set_model_version_tag", broken)
    with pytest.raises(MlflowException, match="the server is gone"):
        reviewed(candidate)
    assert [record.finished for record in reviews_of(candidate)] == [False]


def test_reviews_are_listed_newest_first_and_by_version(toy: Toy) -> None:
    candidate = toy.candidate
    other, _, _ = complete("other")
    runs = [reviewed(candidate), reviewed(candidate, decision="reject")]
    reviewed(other)
    assert [record.run_id for record in reviews_of(candidate)] == runs[::-1]
