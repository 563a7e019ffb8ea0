"""A review is a record whose parameters cannot be changed, and nothing is recorded as approved that must not be."""

import json
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from registry import anchor as anchors
from registry.approval import reviews_of
from registry.cards import VersionCard, version_card
from registry.chain import Record, records_of
from registry.evidence import evidence_of
from registry.policy import Policy, policy_from
from registry.review import Decision, review, show_gate
from registry.runs import runs_of_kind
from tests.conftest import Store, Toy
from tests.evidence_builder import artifact_file, complete, plain_policy, register
from tests.records_builder import new_key

POLICY = plain_policy()
GOOD = {"decision": "approve", "reviewer": "First Reviewer", "reason": "the gaps are within what was agreed"}


def decided(card: VersionCard, *, policy: Policy = POLICY, experiment: str | None = None, **changes: Any) -> Decision:
    with mlflow.start_run(experiment_id=experiment):
        return review(card, policy=policy, **(GOOD | changes))


def reviews(model: str = "toy") -> list[Record]:
    return [record for record in records_of(model) if record.kind == "review"]


def version_tags(card: VersionCard) -> dict[str, str]:
    return dict(MlflowClient().get_model_version(card.name, card.version).tags)


def test_an_approval_is_recorded_whole(toy: Toy) -> None:
    decision = decided(toy.candidate)
    evidence = evidence_of(toy.candidate, POLICY)
    (record,) = reviews()
    assert record.run_id == decision.record.run_id
    assert (record.sequence, record.finished, record.faults) == (1, True, ())
    assert record.facts == {
        "model": "toy",
        "version": toy.candidate.version,
        "decision": "approve",
        "reviewer": GOOD["reviewer"],
        "reason": GOOD["reason"],
        "override": "false",
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
        "identity": "not checked: policy 'plain' lists no reviewers, so anyone may sign",
        "unfinished": "none",
    }
    run = MlflowClient().get_run(record.run_id)
    assert run.data.params["review.reviewer"] == GOOD["reviewer"]
    assert run.data.tags["qbias.kind"] == "review"
    files = {path: json.loads(artifact_file(record.run_id, path).read_bytes()) for path in record.files}
    assert files.keys() == {"findings.json", "evidence.json", "policy.json"}
    assert files["findings.json"]["verdict"] == "review"
    assert any(row["rule"] == "metrics" and row["verdict"] == "pass" for row in files["findings.json"]["findings"])
    assert policy_from(files["policy.json"]) == POLICY
    assert files["evidence.json"] == evidence.facts


def test_the_pages_show_it(toy: Toy) -> None:
    decided(toy.candidate, reviewer="<script>alert(1)</script>")
    assert version_tags(toy.candidate).items() >= {
        "qbias.gate": "review", "qbias.review": "approve", "qbias.report_run": toy.runs["comparison"],
    }.items()  # fmt: skip
    client = MlflowClient()
    pages = client.get_model_version("toy", toy.candidate.version).description, client.get_registered_model("toy").description
    for page in pages:
        assert "approved" in page
        assert "&lt;script&gt;" in page
        assert "<script>" not in page


def test_without_the_right_to_edit_the_pages_the_record_stands(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.protos.databricks_pb2 import PERMISSION_DENIED

    def denied(*args: Any, **kwargs: Any) -> None:
        raise MlflowException("Permission denied", error_code=PERMISSION_DENIED)

    for name in ("set_model_version_tag", "update_model_version", "update_registered_model"):
        monkeypatch.setattr(MlflowClient, name, denied)
    notes = decided(toy.candidate).notes
    assert [note.split(" is not updated: this user may not edit it")[0] for note in notes] == [
        "the page of toy version 2", "the page of toy",
    ]  # fmt: skip
    assert [record.finished for record in reviews()] == [True]


def test_a_record_cannot_be_changed_afterwards(toy: Toy) -> None:
    run = decided(toy.candidate, decision="reject").record.run_id
    with pytest.raises(MlflowException, match="param"):
        MlflowClient().log_param(run, "review.decision", "approve")
    assert [record.facts["decision"] for record in reviews()] == ["reject"]


def test_it_fits_beside_the_parameters_that_mlflow_run_logs(toy: Toy) -> None:
    with mlflow.start_run():
        mlflow.log_params({"model": "models:/toy@candidate", "decision": "approve", "reviewer": "R", "reason": "r"})
        review(toy.candidate, policy=POLICY, decision="approve", reviewer="R", reason="r")
    assert [record.faults for record in reviews()] == [()]


def test_a_block_can_be_rejected_and_not_approved(toy: Toy) -> None:
    artifact_file(toy.runs["candidate"], "outcomes/facet/images.parquet").write_bytes(b"")
    with pytest.raises(ValueError, match="the gate blocks it") as error:
        decided(toy.candidate)
    assert "images.parquet" in str(error.value)
    assert f"mlflow run . -e evaluate -P model=models:/toy/{toy.candidate.version}" in str(error.value)
    assert reviews() == []
    assert "qbias.review" not in version_tags(toy.candidate)
    decided(toy.candidate, decision="reject")
    assert version_tags(toy.candidate)["qbias.gate"] == "block"


def test_a_block_is_approved_by_an_override_that_is_shown(toy: Toy) -> None:
    artifact_file(toy.runs["candidate"], "outcomes/facet/images.parquet").write_bytes(b"")
    record = decided(toy.candidate, override=True).record
    assert (record.facts["override"], record.facts["gate"], record.facts["candidate_run"]) == ("true", "block", "none")
    assert version_tags(toy.candidate)["qbias.review"] == "approve (OVERRIDE)"
    assert "OVERRIDE" in MlflowClient().get_registered_model("toy").description


@pytest.mark.parametrize(("decision", "said"), [("approve", "this approves it"), ("reject", "this rejects it")])
def test_an_override_of_what_is_not_blocked_is_refused(toy: Toy, decision: str, said: str) -> None:
    with pytest.raises(ValueError, match=rf"verdict on toy version 2 is 'review', and {said}: leave override out"):
        decided(toy.candidate, decision=decision, override=True)
    assert reviews() == []


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
            decided(toy.candidate, **changes)
    assert reviews() == []
    assert "qbias.review" not in version_tags(toy.candidate)


def test_free_text_is_kept_as_it_is(toy: Toy) -> None:
    for text in ("x" * 6000, "<script>alert(1)</script>", "Zoë 测试 🙂", "a'b\"c; --", "two\nlines"):
        facts = decided(toy.candidate, reviewer=text, reason=text).record.facts
        assert (facts["reviewer"], facts["reason"]) == (text, text)
    assert all(record.faults == () for record in reviews())


def test_a_baseline_is_not_reviewed(store: Store) -> None:
    baseline, _ = register("toy")
    with pytest.raises(ValueError, match="is a baseline"):
        decided(baseline)


def test_without_a_run_nothing_is_written(toy: Toy) -> None:
    with pytest.raises(ValueError, match="active MLflow run"):
        review(toy.candidate, policy=POLICY, decision="approve", reviewer="R", reason="r")
    assert mlflow.active_run() is None


def test_a_review_that_breaks_off_is_not_finished(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise MlflowException("the server is gone")

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_model_version_tag", broken)
        with pytest.raises(MlflowException, match="the server is gone"):
            decided(toy.candidate)
    assert [record.finished for record in reviews()] == [False]
    assert decided(toy.candidate).record.facts["unfinished"] == reviews()[0].run_id
    assert [record.finished for record in reviews()] == [False, True]


def test_reviews_are_listed_by_version(toy: Toy) -> None:
    other, _, _ = complete("other")
    runs = [decided(toy.candidate).record.run_id, decided(toy.candidate, decision="reject").record.run_id]
    decided(other)
    assert [record.run_id for record in reviews_of(toy.candidate, records_of("toy"))] == runs
    assert reviews_of(toy.baseline, records_of("toy")) == []


def test_the_gate_alone_is_no_record(toy: Toy) -> None:
    with mlflow.start_run():
        assert show_gate(toy.candidate, POLICY).verdict == "review"
    (run,) = runs_of_kind("gate")
    assert run.data.tags["qbias.gate"] == "review"
    assert json.loads(artifact_file(run.info.run_id, "findings.json").read_bytes())["verdict"] == "review"
    assert records_of("toy") == []


def test_the_anchor_file_gets_the_new_head_and_is_held_to(toy: Toy, tmp_path: Path) -> None:
    anchor = tmp_path / "anchor.jsonl"
    for _ in range(2):
        newest = decided(toy.candidate, anchor=anchor).record
    assert [(row.length, row.model) for row in anchors.read(anchor)] == [(1, "toy"), (2, "toy")]
    MlflowClient().delete_run(newest.run_id)
    with pytest.raises(ValueError, match=r"not what anchor=.* knows: .*record 2 that is gone"):
        decided(toy.candidate, anchor=anchor)
    assert len(reviews()) == 1


@pytest.fixture
def listed(toy: Toy, tmp_path: Path) -> Policy:
    """Two reviewers with experiments of their own, one of them with a key, and one who left."""
    client = MlflowClient()
    numbers = [client.create_experiment(f"reviews {row}") for row in range(3)]
    key = new_key(tmp_path).with_suffix(".pub").read_text(encoding="utf-8").strip()
    people = [
        {"name": "Ada", "experiment_id": numbers[0], "user": "ada-account"},
        {"name": "Lin", "experiment_id": numbers[1], "key": key},
        {"name": "Gone", "experiment_id": numbers[2], "active": False},
    ]
    return plain_policy(reviewers=people)


def test_a_listed_reviewer_signs_in_their_own_experiment(toy: Toy, listed: Policy) -> None:
    ada = listed.sign_off.reviewers[0].experiment_id
    record = decided(toy.candidate, policy=listed, experiment=ada, reviewer=" ADA ").record
    assert record.facts["reviewer"] == "Ada"
    assert record.facts["identity"] == f"by permission to write experiment {ada}, which the policy names as Ada's own"


def test_a_key_that_is_listed_must_sign(toy: Toy, listed: Policy, tmp_path: Path) -> None:
    lin = listed.sign_off.reviewers[1].experiment_id
    for key, said in ((None, "pass -P signing_key="), (new_key(tmp_path, "other"), "is not the key that policy 'plain' lists for 'Lin'")):
        with pytest.raises(ValueError, match=said):
            decided(toy.candidate, policy=listed, experiment=lin, reviewer="Lin", signing_key=key)
    assert reviews() == []
    record = decided(toy.candidate, policy=listed, experiment=lin, reviewer="Lin", signing_key=tmp_path / "key").record
    assert record.signed_by_key
    assert "by SSH signature" in record.facts["identity"]


@pytest.mark.parametrize(
    ("reviewer", "place", "said"),
    [
        ("Stranger", 0, "unknown reviewer 'Stranger'"),
        ("Adda", 0, "Did you mean 'Ada'"),
        ("Gone", 2, "'Gone' is no longer active"),
        ("Ada", 1, "signs in experiment .*--experiment-id"),
        ("Ada", None, "signs in experiment .*--experiment-id"),
    ],
)
def test_others_are_refused_by_name(toy: Toy, listed: Policy, reviewer: str, place: int | None, said: str) -> None:
    experiment = None if place is None else listed.sign_off.reviewers[place].experiment_id
    with pytest.raises(ValueError, match=said):
        decided(toy.candidate, policy=listed, experiment=experiment, reviewer=reviewer)
    assert reviews() == []


@pytest.mark.parametrize(("by", "said"), [("ada", "'Ada' registered"), ("Ada-Account", "'Ada' registered"), ("", "is not known")])
def test_nobody_reviews_what_they_registered(toy: Toy, listed: Policy, by: str, said: str) -> None:
    client = MlflowClient()
    if by:
        client.set_model_version_tag("toy", "2", "qbias.registered_by", by)
    else:
        client.delete_model_version_tag("toy", "2", "qbias.registered_by")
    with pytest.raises(ValueError, match=said):
        decided(version_card("models:/toy/2"), policy=listed, experiment=listed.sign_off.reviewers[0].experiment_id, reviewer="Ada")
    assert reviews() == []
