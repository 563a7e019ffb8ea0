"""Promotions that meet each other or break off: one wins, the other is told, and the same command again completes what was begun."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow import MlflowClient

from benches.reliability.prepared import prepared
from registry import promote as module
from registry.audit import audit
from registry.chain import Record, head, records_of
from registry.production import pin_of
from registry.promote import alias_target
from registry.slot import Busy, slot
from tests.conftest import Toy
from tests.server import call
from tests.test_promote import POLICY, approve, promoted, promotions


def test_two_at_once_the_loser_is_told_who_is_at_it(toy: Toy) -> None:
    approve(toy.candidate)
    client = MlflowClient()
    run = client.create_run(toy.store.experiment)
    with slot("toy", run.info.run_id), pytest.raises(Busy, match=f"run {run.info.run_id}"):
        promoted(toy.candidate)
    assert promotions() == []
    assert promoted(toy.candidate).recorded


def test_an_alias_that_is_moved_in_the_same_moment_is_told(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    approve(toy.candidate)
    plain = MlflowClient.set_registered_model_alias
    other = MlflowClient().copy_model_version("models:/toy/1", "toy-prod").version

    def overtaken(self: MlflowClient, name: str, alias: str, version: str) -> None:
        plain(self, name, alias, version)
        plain(self, name, alias, other)

    monkeypatch.setattr(MlflowClient, "set_registered_model_alias", overtaken)
    with pytest.raises(RuntimeError, match="someone else moved it"):
        promoted(toy.candidate)
    assert [record.finished for record in promotions()] == [False]


STEPS = (
    ("registry.promote.in_production", "before the copy"),
    ("registry.promote.seal", "before the record"),
    ("registry.promote.complete", "before the alias"),
    ("mlflow.MlflowClient.set_registered_model_alias", "at the alias"),
    ("mlflow.MlflowClient.set_registered_model_tag", "before what stands on the production model"),
    ("registry.promote.show_version", "before the pages"),
)


@pytest.mark.parametrize("step", [step for step, _ in STEPS])
def test_whatever_breaks_off_the_same_command_completes(toy: Toy, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def gone(*args: Any, **kwargs: Any) -> None:
        raise ConnectionError("gone")

    approve(toy.candidate)
    with monkeypatch.context() as patch:
        patch.setattr(step, gone)
        with pytest.raises(ConnectionError):
            promoted(toy.candidate)
    told = promoted(toy.candidate)
    assert told.recorded
    assert alias_target("toy-prod", "champion") == told.to_version == "1"
    assert len(MlflowClient().search_model_versions("name = 'toy-prod'")) == 1
    pin = pin_of("toy-prod")
    assert pin is not None
    assert (pin.length, pin.digest) == head(records_of("toy"))
    assert [record.faults for record in records_of("toy")] == [()] * pin.length
    assert promoted(toy.candidate).recorded is False


def test_the_slot_is_checked_right_before_the_alias_moves(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    approve(toy.candidate)
    plain = module.seal

    def slow(place: Any, *args: Any, **kwargs: Any) -> Record:
        record = plain(place, *args, **kwargs)
        MlflowClient().delete_experiment(place.experiment_id)
        return record

    monkeypatch.setattr(module, "seal", slow)
    with pytest.raises(Busy, match="run the same command again"):
        promoted(toy.candidate)
    assert alias_target("toy-prod", "champion") == ""


def test_a_policy_that_changes_in_the_same_moment_is_told(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    approve(toy.candidate)
    promoted(toy.candidate)
    plain = module.slot

    def late(*args: Any, **kwargs: Any) -> Any:
        MlflowClient().set_registered_model_tag("toy-prod", "qbias.policy", "another")
        return plain(*args, **kwargs)

    monkeypatch.setattr(module, "slot", late)
    with pytest.raises(Busy, match="was changed at this moment"):
        promoted(toy.candidate)


def dying_at(step: str, *words: str) -> int:
    """The verb, which dies at the first call of that step."""

    def die(*args: Any, **kwargs: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step, die)
        return call("promote", *words)


@pytest.fixture
def words(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """The verb's words for a policy that stands in a file."""
    file = tmp_path / "plain.yaml"
    file.write_text(yaml.safe_dump(POLICY.model_dump(mode="json")), encoding="utf-8")
    return "--model", "models:/toy/2", "--policy", str(file)


@pytest.mark.parametrize("step", ["registry.promote.seal", "registry.promote.complete", "mlflow.MlflowClient.set_registered_model_tag"])
def test_a_promotion_that_is_killed_is_completed_by_the_same_command(toy: Toy, words: tuple[str, ...], tmp_path: Path, step: str) -> None:
    """No `finally` runs: the slot is left behind, and the run stays RUNNING."""
    approve(toy.candidate)
    process = prepared(dying_at, step, *words, environment=os.environ, printed=tmp_path / "said.txt")
    assert process.ended(120)
    assert process.result()[0] == -signal.SIGKILL
    told = promoted(toy.candidate)
    assert (told.recorded, alias_target("toy-prod", "champion")) == (True, "1")
    assert audit().off == 0


def test_of_two_promotions_at_once_one_is_recorded(toy: Toy, words: tuple[str, ...], tmp_path: Path) -> None:
    approve(toy.candidate)
    both = [prepared(call, "promote", *words, environment=os.environ, printed=tmp_path / f"{number}.txt") for number in range(2)]
    assert all(process.ended(240) for process in both)
    codes, said = zip(*(process.result() for process in both), strict=True)
    assert 0 in codes, said
    told = [text for text, code in zip(said, codes, strict=True) if code or "nothing to do" in text]
    assert all("run the same command again" in text or "try again" in text or "nothing to do" in text for text in told), said
    assert [record.finished for record in promotions()] == [True], said
    assert alias_target("toy-prod", "champion") == "1"
    assert audit().off == 0
