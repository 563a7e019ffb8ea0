"""Records and slots on a team's server: over HTTP, by people who can write into their own experiment only."""

from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from requests import HTTPError

from registry import slot as module
from registry.ledger import Record, chain_faults, records_of
from registry.slot import Busy, slot, slot_name
from tests.records_builder import add_record, new_key
from tests.server import Team


def trusted_in(team: Team) -> frozenset[str]:
    return frozenset(team.experiments[name] for name in ("reviewer", "promoter"))


def add_as(team: Team, user: str, model: str, kind: str = "review", *, key: Path | None = None) -> Record:
    with team.acting(user):
        return add_record(model, kind, key=key, trusted=trusted_in(team) if user in ("reviewer", "promoter") else None)


def refused(error: pytest.ExceptionInfo[MlflowException | HTTPError]) -> bool:
    if isinstance(error.value, HTTPError):
        return "403 Client Error" in str(error.value)
    return bool(error.value.error_code == "PERMISSION_DENIED")


def test_two_people_write_one_chain_and_anyone_can_check_it(team: Team, tmp_path: Path) -> None:
    first = add_as(team, "reviewer", "it's one", key=new_key(tmp_path))
    second = add_as(team, "promoter", "it's one", "promotion")
    with team.acting("stranger"):
        records = records_of("it's one", trusted=trusted_in(team))
    assert records == [first, second]
    assert chain_faults(records) == []
    assert records[0].signed_by_key
    (file,) = team.artifacts.glob(f"*/{first.run_id}/artifacts/findings.json")
    content = file.read_bytes()
    for change, said in ((lambda: file.write_bytes(b"{}"), "is not as it was written"), (file.unlink, "cannot be read")):
        change()
        with team.acting("stranger"):
            assert said in " ".join(chain_faults(records_of("it's one")))
        file.write_bytes(content)


def test_a_stranger_can_neither_change_a_record_nor_add_one(team: Team) -> None:
    record = add_as(team, "reviewer", "two")
    with team.acting("stranger"):
        client = MlflowClient()
        for edit in (
            lambda: client.set_tag(record.run_id, "qbias.decision", "reject"),
            lambda: client.delete_tag(record.run_id, "qbias.kind"),
            lambda: client.log_param(record.run_id, "review.more", "x"),
            lambda: client.delete_run(record.run_id),
            lambda: client.set_terminated(record.run_id, "FAILED"),
            lambda: client.create_run(team.experiments["reviewer"]),
            lambda: client.log_text(record.run_id, "{}", "findings.json"),
        ):
            # Of artifacts, MLflow passes on the answer as it is.
            with pytest.raises((MlflowException, HTTPError)) as error:
                edit()
            assert refused(error), error.value
    forged = add_as(team, "stranger", "two")
    with team.acting("promoter"):
        assert records_of("two", trusted=trusted_in(team)) == [record]
        assert [row.run_id for row in records_of("two")] == [record.run_id, forged.run_id]
    assert add_as(team, "promoter", "two", "promotion").previous == record.digest


def test_a_reviewer_cannot_delete_what_they_decided(team: Team) -> None:
    record = add_as(team, "reviewer", "three")
    with team.acting("reviewer"), pytest.raises(MlflowException) as error:
        MlflowClient().delete_run(record.run_id)
    assert refused(error)


def test_a_slot_that_was_left_behind_is_recovered_without_a_right_on_it(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    trusted = trusted_in(team)
    with team.acting("reviewer"), monkeypatch.context() as patch:
        # As from another machine, and killed before it could delete its slot.
        patch.setattr(module, "own_process", lambda: {"qbias.host": "elsewhere"})
        patch.setattr(module, "_leave", lambda experiment_id: None)
        run_id = MlflowClient().create_run(team.experiments["reviewer"]).info.run_id
        with slot("four", run_id, trusted=trusted) as held:
            pass
    with team.acting("promoter"), pytest.raises(Busy, match="on elsewhere"):
        add_record("four", trusted=trusted)
    with team.acting("reviewer"):
        MlflowClient().set_terminated(run_id, "KILLED")
    with team.acting("promoter"):
        with pytest.raises(MlflowException) as error:
            MlflowClient().delete_experiment(held.experiment_id)
        assert refused(error)
        assert add_record("four", trusted=trusted).faults == ()
        left = MlflowClient().get_experiment_by_name(slot_name("four", 1, 1))
        own = MlflowClient().get_experiment_by_name(slot_name("four", 1, 2))
    assert left is not None
    assert own is not None
    assert (left.lifecycle_stage, own.lifecycle_stage) == ("active", "deleted")


def test_a_stranger_cannot_hold_up_a_promotion(team: Team) -> None:
    with team.acting("reviewer"):
        run_id = MlflowClient().create_run(team.experiments["reviewer"]).info.run_id
    with team.acting("stranger"):
        MlflowClient().create_experiment(slot_name("five", 1, 1), tags={"qbias.run_id": run_id})
        MlflowClient().create_experiment(slot_name("five", 1, 2), tags={"qbias.run_id": "0" * 32})
    with team.acting("promoter"):
        assert add_record("five", trusted=trusted_in(team)).sequence == 1
