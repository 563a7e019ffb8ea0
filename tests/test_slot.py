"""One writer at a time: holders that end, are overtaken, or are not what they seem."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED

from registry import ledger
from registry import slot as module
from registry.ledger import WITHDRAWN, chain_faults, records_of, seal
from registry.slot import Busy, Slot, slot, slot_name
from tests.conftest import Store
from tests.records_builder import FACTS, add_record


@pytest.fixture
def running(store: Store) -> Callable[[], str]:
    """Starts a run that stays running; its id."""
    client = MlflowClient()
    return lambda: str(client.create_run(store.experiment).info.run_id)


@contextmanager
def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> Iterator[None]:
    """The machine's clock is ahead within the block."""
    plain = module._now_ms
    with monkeypatch.context() as patch:
        patch.setattr(module, "_now_ms", lambda: plain() + int(seconds * 1000))
        yield


def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slots are taken as from another machine, whose processes cannot be seen."""
    monkeypatch.setattr(module, "own_process", lambda: {"qbias.host": "elsewhere", "qbias.place": "another", "qbias.pid": "1"})


def test_a_slot_is_free_after_its_block_also_after_an_error(store: Store, running: Callable[[], str]) -> None:
    with pytest.raises(KeyError), slot("toy", running()):
        raise KeyError
    with slot("toy", running()) as held:
        assert (held.sequence, held.previous, held.name) == (1, "", "qbias-slot/toy/1/2")
    assert add_record().sequence == 1


def test_what_the_store_promises(store: Store) -> None:
    """The facts that slots rest on: a name is refused the second time, also when deleted, and is found with its tags."""
    client = MlflowClient()
    number = client.create_experiment("once", tags={"qbias.nonce": "1"})
    for _ in range(2):
        with pytest.raises(MlflowException) as error:
            client.create_experiment("once")
        assert error.value.error_code == "RESOURCE_ALREADY_EXISTS"
        found = client.get_experiment_by_name("once")
        assert found is not None
        assert (found.experiment_id, found.tags["qbias.nonce"]) == (number, "1")
        if found.lifecycle_stage == "active":
            client.delete_experiment(number)
    assert found.lifecycle_stage == "deleted"


@pytest.mark.parametrize("model", ["it's", 'a "b"', "50 %_\\", "Ünï", "x" * 255, "qbias-slot", "a.b 1"])
def test_any_name_of_a_model_will_do(store: Store, model: str) -> None:
    for sequence in (1, 2):
        assert add_record(model).sequence == sequence
    assert chain_faults(records_of(model)) == []
    assert records_of("toy") == []


def test_long_names_stay_within_the_database_and_apart() -> None:
    one, other = slot_name("x" * 255 + "1", 10**6, 10**6), slot_name("x" * 255 + "2", 10**6, 10**6)
    assert len(one) <= 200
    assert one != other


def test_the_holder_of_the_newest_record_still_holds(store: Store, running: Callable[[], str]) -> None:
    with mlflow.start_run() as run, slot("toy", run.info.run_id) as held:
        seal(held, "promotion", FACTS, {})
        # The record is there, but the alias has not moved yet.
        with pytest.raises(Busy, match=run.info.run_id), slot("toy", running()):
            pass
        held.check()
    with slot("toy", running()) as following:
        assert following.sequence == 2


def test_models_do_not_wait_for_each_other(store: Store, running: Callable[[], str]) -> None:
    with slot("toy", running()), slot("other", running()) as held:
        assert held.sequence == 1


def test_an_ended_run_holds_nothing(store: Store, running: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere(monkeypatch)
    for end in (lambda run: MlflowClient().set_terminated(run, "FAILED"), MlflowClient().delete_run):
        run_id = running()
        stay(monkeypatch, run_id)
        with pytest.raises(Busy):
            add_record()
        end(run_id)
        add_record()
    assert chain_faults(records_of("toy")) == []


def stay(monkeypatch: pytest.MonkeyPatch, run_id: str) -> Slot:
    """A slot that its holder does not leave."""
    with monkeypatch.context() as patch:
        patch.setattr(module, "_leave", lambda experiment_id: None)
        with slot("toy", run_id) as held:
            return held


def test_the_lease_ends_and_renewing_extends_it(store: Store, running: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere(monkeypatch)
    held = stay(monkeypatch, running())
    with later(monkeypatch, 590), pytest.raises(Busy, match="or after 600 s"), slot("toy", running()):
        pass
    with later(monkeypatch, 500):
        held.check()
    with later(monkeypatch, 1090), pytest.raises(Busy), slot("toy", running()):
        pass
    with later(monkeypatch, 1200), slot("toy", running()) as second:
        assert second.attempt == 2
        with pytest.raises(Busy, match="is gone"):
            held.check()
        second.check()


def test_the_lease_is_a_setting(store: Store, running: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere(monkeypatch)
    monkeypatch.setenv("QBIAS_LEASE_S", "50.5")
    stay(monkeypatch, running())
    with later(monkeypatch, 40), pytest.raises(Busy, match="or after 50 s"), slot("toy", running()):
        pass
    with later(monkeypatch, 60), slot("toy", running()):
        pass
    for bad in ("0", "-1", "nan", "inf", "soon"):
        monkeypatch.setenv("QBIAS_LEASE_S", bad)
        with pytest.raises(ValueError, match=r"QBIAS_LEASE_S=.*above 0"), slot("free", "no run"):
            pass


def test_a_process_that_lives_does_not_hold_beyond_its_lease(
    store: Store, running: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stay(monkeypatch, running())
    with later(monkeypatch, 601), slot("toy", running()) as held:
        assert held.attempt == 2


def overtake(monkeypatch: pytest.MonkeyPatch, running: Callable[[], str]) -> Slot:
    """Another run takes the slot over, because the lease has ended, without the right to delete the first holder's."""
    denied = MlflowException("Permission denied", error_code=PERMISSION_DENIED)
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "delete_experiment", lambda self, number: (_ for _ in ()).throw(denied))
        with later(patch, 601), slot("toy", running()) as held:
            return held


def test_who_was_overtaken_writes_nothing(store: Store, running: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    with mlflow.start_run() as run, slot("toy", run.info.run_id) as held:
        held.check()
        second = overtake(monkeypatch, running)
        assert (second.sequence, second.attempt) == (1, 2)
        with pytest.raises(Busy, match=f"another has taken over 'toy': run {second.run_id}"):
            held.check()
        with pytest.raises(Busy):
            seal(held, "review", FACTS, {})
        second.check()
    assert records_of("toy") == [], "also a run that finished in spite of it is no record"


def test_who_is_overtaken_after_sealing_does_not_move_the_alias(
    store: Store, running: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with mlflow.start_run() as run, slot("toy", run.info.run_id) as held:
        seal(held, "promotion", FACTS, {})
        second = overtake(monkeypatch, running)
        assert second.sequence == 2
        with pytest.raises(Busy, match="taken over"):
            held.check()


def test_who_is_overtaken_at_the_very_moment_takes_the_record_back(
    store: Store, running: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = mlflow.set_tag

    def slow(name: str, value: str) -> None:
        if (name, value) == (ledger.KIND_TAG, "review"):
            overtake(monkeypatch, running)
        plain(name, value)

    monkeypatch.setattr(mlflow, "set_tag", slow)
    with pytest.raises(Busy, match="taken over"), mlflow.start_run() as run, slot("toy", run.info.run_id) as held:
        seal(held, "review", FACTS, {})
    monkeypatch.undo()
    assert MlflowClient().get_run(run.info.run_id).data.tags[ledger.KIND_TAG] == WITHDRAWN
    assert records_of("toy") == []


def test_a_record_written_while_the_slot_is_taken_is_noticed(
    store: Store, running: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    heads = iter([(0, ""), (1, "a" * 64)])
    monkeypatch.setattr(module, "chain_head", lambda model, trusted: next(heads))
    with pytest.raises(Busy, match="at this moment"), slot("toy", running()):
        pass
    left = MlflowClient().get_experiment_by_name("qbias-slot/toy/1/1")
    assert left is not None
    assert left.lifecycle_stage == "deleted"


def test_older_slots_of_later_places_do_not_overtake(store: Store, running: Callable[[], str]) -> None:
    """Where the newest record was removed, its place is taken again, although the old slot of the next one is still known."""
    first, second = add_record(), add_record()
    for record in (first, second):
        MlflowClient().delete_run(record.run_id)
    with slot("toy", running()) as held:
        assert (held.sequence, held.attempt) == (1, 2)
        held.check()


def test_an_experiment_of_that_name_alone_holds_nothing(store: Store, running: Callable[[], str]) -> None:
    """A stranger can create experiments, also in advance and in another run's name, but not set that run's tag."""
    busy = running()
    for name in (slot_name("toy", 1, 1), slot_name("toy", 1, 2), slot_name("toy", 2, 1)):
        MlflowClient().create_experiment(name, tags={"qbias.run_id": busy, "qbias.renewed_ms": "9" * 15})
    MlflowClient().create_experiment(slot_name("toy", 1, 3), tags={"qbias.run_id": "../x"})
    with slot("toy", running(), trusted=frozenset({store.experiment})) as held:
        assert held.attempt == 4
        held.check()


def test_an_untrusted_run_holds_nothing(store: Store, running: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    other = MlflowClient().create_experiment("a stranger's")
    stay(monkeypatch, MlflowClient().create_run(other).info.run_id)
    with slot("toy", running(), trusted=frozenset({store.experiment})) as held:
        assert held.attempt == 2
    stay(monkeypatch, MlflowClient().create_run(other).info.run_id)
    with pytest.raises(Busy), slot("toy", running()):
        pass


def test_a_run_that_cannot_be_read_holds_until_the_lease_ends(
    store: Store, running: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere(monkeypatch)
    held = stay(monkeypatch, running())
    plain = MlflowClient.get_run

    def denied(self: MlflowClient, run_id: str) -> Any:
        if run_id == held.run_id:
            raise MlflowException("Permission denied", error_code=PERMISSION_DENIED)
        return plain(self, run_id)

    monkeypatch.setattr(MlflowClient, "get_run", denied)
    with pytest.raises(Busy), slot("toy", running()):
        pass
    with slot("toy", running(), trusted=frozenset({store.experiment})):
        # Who can read every trusted experiment knows that it is none of theirs.
        pass
    stay(monkeypatch, held.run_id)
    with later(monkeypatch, 601), slot("toy", running()):
        pass


def test_an_outage_makes_no_slot_free(store: Store, running: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere(monkeypatch)
    stay(monkeypatch, running())
    other = running()

    def down(self: MlflowClient, run_id: str) -> Any:
        raise MlflowException("API request failed")

    monkeypatch.setattr(MlflowClient, "get_run", down)
    with pytest.raises(MlflowException, match="API request failed"), slot("toy", other, trusted=frozenset({store.experiment})):
        pass


def test_a_lost_answer_to_a_request_that_was_done(store: Store, running: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    plain = MlflowClient.create_experiment

    def repeated(self: MlflowClient, *arguments: Any, **options: Any) -> str:
        plain(self, *arguments, **options)
        return plain(self, *arguments, **options)

    monkeypatch.setattr(MlflowClient, "create_experiment", repeated)
    with slot("toy", running()) as held:
        assert held.attempt == 1


def test_waiting_ends(store: Store, running: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    with slot("toy", running()), monkeypatch.context() as patch:
        patch.setattr(module.time, "monotonic", lambda: sum(pauses))
        patch.setattr(module.time, "sleep", pauses.append)
        with pytest.raises(Busy), slot("toy", running(), wait_s=1.0):
            pass
    assert sum(pauses) == pytest.approx(1.0)
