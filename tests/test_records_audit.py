"""The audit of the records: what it says of approvals, people, policies, overrides and models that are not ours."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from registry import audit as module
from registry.approval import DAY_MS
from registry.audit import UNHELD, AuditResult, AuditRow, audit
from registry.cards import VersionCard, version_card
from registry.chain import records_of
from registry.policy import Policy
from registry.promote import promote
from registry.review import review
from registry.runs import runs_of_kind
from tests.conftest import Store, Toy
from tests.evidence_builder import artifact_file, complete, log_comparison, log_evaluation, plain_policy, register
from tests.promoted import POLICY, Promoted, audited, build, promoted_copy
from tests.records_builder import add_record, new_key


@pytest.fixture(scope="module")
def source(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("promoted")
    build(folder, empty_store)
    return folder


@pytest.fixture
def promoted(source: Path, tmp_path: Path) -> Iterator[Promoted]:
    with promoted_copy(source, tmp_path) as promoted:
        yield promoted


def faults(found: AuditResult, alias: str) -> list[str]:
    return [fault for row in found.rows if row.alias == alias for fault in row.faults]


def test_the_verb_logs_table_and_json(promoted: Promoted, capsys: pytest.CaptureFixture[str]) -> None:
    assert audited() == 0
    (run,) = runs_of_kind("audit")
    told = json.loads(artifact_file(run.info.run_id, "audit.json").read_bytes())
    assert (told["ok"], told["off"], told["statement"]) == (True, 0, UNHELD)
    assert [(row["model"], row["alias"], row["version"], row["ok"]) for row in told["rows"]] == [
        ("toy", "", "", True), ("toy-prod", "champion", "2", True),
    ]  # fmt: skip
    assert artifact_file(run.info.run_id, "audit.txt").read_text(encoding="utf-8") in capsys.readouterr().out
    assert run.data.metrics == {"audit/rows": 2.0, "audit/off": 0.0}
    MlflowClient().delete_registered_model_alias("toy-prod", "champion")
    assert audited() == 1
    failed = [run for run in runs_of_kind("audit", finished=False) if run.info.status == "FAILED"]
    assert [run.data.tags["qbias.audit"] for run in failed] == ["off"]
    assert json.loads(artifact_file(failed[0].info.run_id, "audit.json").read_bytes())["off"] == 1


def test_a_record_that_no_verb_wrote_is_off_and_stops_nothing(promoted: Promoted) -> None:
    """Whoever may write runs can seal a promotion that says nothing."""
    add_record("other", "promotion")
    found = audit()
    assert [(row.model, row.ok) for row in found.rows if row.model in ("other", "toy-prod")] == [("other", False), ("toy-prod", True)]
    (row,) = [row for row in found.rows if row.model == "other"]
    assert "does not say what it moved" in " ".join(row.faults)
    assert audit("toy").off == 0


def test_an_approval_runs_out(promoted: Promoted, monkeypatch: pytest.MonkeyPatch) -> None:
    later = time.time() + 91 * DAY_MS / 1000
    monkeypatch.setattr(time, "time", lambda: later)
    assert "is older than 90 days" in " ".join(faults(audit(), "champion"))


def test_a_rejection_after_the_promotion_counts(promoted: Promoted) -> None:
    with mlflow.start_run():
        review(promoted.card, decision="reject", reviewer="R. Three", reason="complaints")
    assert "the newest review rejects it" in " ".join(faults(audit(), "champion"))


def test_newer_evaluations_leave_the_approval_of_what_is_live_alone(promoted: Promoted) -> None:
    baseline = version_card("models:/toy/1")
    log_comparison((promoted.card, log_evaluation(promoted.card)), (baseline, log_evaluation(baseline)))
    assert audit(anchor=promoted.anchor).off == 0
    with mlflow.start_run():
        review(promoted.card, decision="approve", reviewer="R. One", reason="measured again", anchor=promoted.anchor)
    assert audit(anchor=promoted.anchor).off == 0


def test_a_changed_policy_asks_for_a_new_approval(promoted: Promoted) -> None:
    strict = plain_policy(name="strict", valid_days=30)
    with mlflow.start_run():
        promote(promoted.card, policy=strict, repin=True, reason="decided in March")
    assert "'strict' " in " ".join(faults(audit(), "champion"))
    assert "review and promote it again" in " ".join(faults(audit(), "champion"))
    with mlflow.start_run():
        review(promoted.card, decision="approve", reviewer="R. One", reason="under the new one")
    with mlflow.start_run():
        promote(promoted.card)
    assert audit().off == 0
    assert audit(policy=strict).off == 0
    assert "names policy 'strict'" in " ".join(faults(audit(policy=POLICY), ""))


def test_an_override_is_red(toy: Toy) -> None:
    artifact_file(toy.runs["comparison"], "report/report.html").write_bytes(b"x")
    for reviewer in ("R. One", "R. Two"):
        with mlflow.start_run():
            review(toy.candidate, decision="approve", reviewer=reviewer, reason="r", policy=POLICY, override=True)
    with mlflow.start_run():
        promote(toy.candidate, policy=POLICY)
    found = audit()
    assert found.off == 0
    assert "🟥 OVERRIDE of a gate that blocks" in found.text()


@pytest.fixture
def team(toy: Toy, tmp_path: Path) -> tuple[Policy, Path]:
    """A policy with a reviewer and a promoter, each with an experiment and a key of their own; the folder of their keys."""
    client = MlflowClient()
    people = []
    for name in ("Ada", "Lin"):
        key = new_key(tmp_path, name).with_suffix(".pub").read_text(encoding="utf-8").strip()
        people.append({"name": name, "experiment_id": client.create_experiment(f"records of {name}"), "key": key})
    return plain_policy(name="team", reviewers=people[:1], promoters=people[1:]), tmp_path


def flow(card: VersionCard, policy: Policy, folder: Path, anchor: Path | None = None) -> None:
    reviewer, promoter = policy.sign_off.reviewers[0], policy.sign_off.promoters[0]
    with mlflow.start_run(experiment_id=reviewer.experiment_id):
        review(card, decision="approve", reviewer="Ada", reason="r", policy=policy, signing_key=folder / "Ada", anchor=anchor)
    with mlflow.start_run(experiment_id=promoter.experiment_id):
        promote(card, policy=policy, signing_key=folder / "Lin", anchor=anchor)


def test_signed_records_are_verified_with_the_public_keys_alone(toy: Toy, team: tuple[Policy, Path]) -> None:
    policy, folder = team
    anchor = folder / "anchor.jsonl"
    flow(toy.candidate, policy, folder, anchor)
    for name in ("Ada", "Lin"):
        (folder / name).unlink()
    assert "every record is signed with a listed key; without an anchor file" in audit().statement
    assert "signed with a key that its policy lists, and the anchor file holds every head" in audit(anchor=anchor).statement
    signature = artifact_file(records_of("toy")[1].run_id, "record.json.sig")
    signature.write_bytes(artifact_file(records_of("toy")[0].run_id, "record.json.sig").read_bytes())
    assert "record.json.sig is no signature of it" in " ".join(faults(audit(), ""))


def test_records_of_strangers_are_nobodys(toy: Toy, team: tuple[Policy, Path]) -> None:
    policy, folder = team
    flow(toy.candidate, policy, folder)
    before = [record.run_id for record in records_of("toy")]
    # Anyone who can write a run can write one that looks like a record; it is not in an experiment that counts.
    source = MlflowClient().get_run(before[0])
    with mlflow.start_run():
        mlflow.log_params(source.data.params | {"chain.sequence": "3"})
        mlflow.set_tags({name: value for name, value in source.data.tags.items() if name.startswith("qbias.")})
    assert len(records_of("toy")) == 3
    assert audit().off == 0


def test_a_promoter_does_not_review(toy: Toy, team: tuple[Policy, Path]) -> None:
    """Lin may write records, but is on no list of reviewers: an approval of hers, put there by hand, counts for nothing."""
    policy, folder = team
    lin = policy.sign_off.promoters[0]
    swapped = plain_policy(name="team", reviewers=[lin.model_dump()], promoters=[policy.sign_off.reviewers[0].model_dump()])
    with mlflow.start_run(experiment_id=lin.experiment_id):
        review(toy.candidate, decision="approve", reviewer="Lin", reason="r", policy=swapped, signing_key=folder / "Lin")
    with pytest.raises(ValueError, match="'Lin' is on the list of no reviewers"), mlflow.start_run(experiment_id=lin.experiment_id):
        promote(toy.candidate, policy=policy, signing_key=folder / "Lin")


def test_models_of_others_are_listed_and_not_judged(store: Store) -> None:
    client = MlflowClient()
    client.create_registered_model("theirs")
    client.create_model_version("theirs", "/nowhere")
    client.set_registered_model_alias("theirs", "champion", "1")
    client.create_registered_model("empty")
    register("ours")
    found = audit()
    assert found.off == 0
    assert found.statement == "consistent: there are no records yet"
    assert {(row.model, row.alias): row.notes[0].split(":")[0] for row in found.rows} == {
        ("theirs", "champion"): "not ours", ("empty", "-"): "not ours", ("ours", "-"): "nothing promoted",
    }  # fmt: skip


def test_models_are_chosen_by_either_name(promoted: Promoted) -> None:
    complete("other")
    MlflowClient().set_registered_model_alias("other", "champion", "2")
    assert {row.model for row in audit().rows} == {"toy", "toy-prod", "other"}
    for models in ("toy", "toy-prod", "toy,toy-prod"):
        assert [(row.model, row.ok) for row in audit(models).rows] == [("toy", True), ("toy-prod", True)]
    assert [row.ok for row in audit("other").rows] == [False]
    with pytest.raises(ValueError, match=r"unknown model 'toi'\. Did you mean 'toy'"):
        audit("toi")


def test_what_cannot_be_checked_is_off(promoted: Promoted, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(module, "alias_faults", broken)
    assert faults(audit(), "champion") == ["it could not be checked: ZeroDivisionError: division by zero"]


def test_a_missing_anchor_file_is_a_mistake_and_not_a_pass(promoted: Promoted, capsys: pytest.CaptureFixture[str]) -> None:
    assert audited("--anchor", "/nowhere/anchor.jsonl") == 1
    assert "there is no such file" in capsys.readouterr().err


def test_an_anchor_of_a_model_that_is_gone(store: Store, tmp_path: Path) -> None:
    anchor = tmp_path / "anchor.jsonl"
    anchor.write_text(json.dumps({"model": "gone", "length": 1, "digest": "0" * 64}) + "\n", encoding="utf-8")
    assert "knows a record 1 that is gone" in " ".join(faults(audit(anchor=anchor), ""))


def test_the_table_shows_faults_below_their_row() -> None:
    rows = (AuditRow("a", "", "", ()), AuditRow("b", "champion", "12", ("moved",), ("by X",)))
    assert AuditResult(rows, "NOT CONSISTENT", "now").text().splitlines() == [
        "     model  alias      version",
        "ok   a      (records)  -",
        "OFF  b      champion   12",
        "      !! moved",
        "      by X",
        "",
        "NOT CONSISTENT",
    ]


def test_within_one_model(toy: Toy) -> None:
    with mlflow.start_run():
        review(toy.candidate, decision="approve", reviewer="R. One", reason="r", policy=POLICY)
    with mlflow.start_run():
        promote(toy.candidate, policy=POLICY, production="same")
    assert audit().off == 0
    with mlflow.start_run():
        review(toy.candidate, decision="approve", reviewer="R. Two", reason="again")
    assert audit().off == 0
    MlflowClient().set_registered_model_alias("toy", "champion", "1")
    assert "other hands moved it" in " ".join(faults(audit(), "champion"))
