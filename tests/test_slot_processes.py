"""Slots between real processes: two that race, two that wait for each other, and holders that are killed at every step."""

import signal

import pytest
from mlflow import MlflowClient

from registry.ledger import chain_faults, records_of
from registry.slot import Busy
from tests.conftest import Store
from tests.records_builder import add_record, heard, python, say

RACE = """
from registry.ledger import seal
from registry.slot import Busy, slot

print("ready", flush=True)
while sys.stdin.readline().strip() == "go":
    with mlflow.start_run() as run:
        try:
            with slot("toy", run.info.run_id) as held:
                seal(held, "review", {"model": "toy"}, {})
                print("won", flush=True)
                sys.stdin.readline()
            print("left", flush=True)
        except Busy as busy:
            print(busy, flush=True)
"""
QUEUE = """
from registry.ledger import seal
from registry.slot import slot

for number in range(6):
    with mlflow.start_run() as run, slot("toy", run.info.run_id, wait_s=300.0) as held:
        seal(held, "review", {"model": "toy", "number": str(number)}, {"text.txt": str(number).encode()})
"""
HOLDER = """
from registry import ledger
from registry.slot import slot

def stop(*arguments):
    print("there", flush=True)
    sys.stdin.readline()

with mlflow.start_run() as run, slot("toy", run.info.run_id) as held:
    print(run.info.run_id, flush=True)
    where = sys.argv[1]
    if where != "end":
        {"check": lambda: setattr(type(held), "check", stop), "params": lambda: setattr(ledger, "parameters", stop),
         "kind": lambda: setattr(ledger, "_become_record", stop)}[where]()
    ledger.seal(held, "promotion", {"model": "toy"}, {"a.txt": b"a"})
    stop()
"""


def test_of_two_processes_at_once_one_wins_and_the_other_is_told(store: Store) -> None:
    racers = [python(RACE, uri=store.uri) for _ in range(2)]
    assert [heard(racer) for racer in racers] == ["ready", "ready"]
    for _ in range(4):
        for racer in racers:
            say(racer, "go")
        # The winner keeps the slot until both have said how it went.
        said = [heard(racer) for racer in racers]
        assert sorted(text == "won" for text in said) == [False, True], said
        winner, loser = (0, 1) if said[0] == "won" else (1, 0)
        assert "another" in said[loser]
        assert "'toy'" in said[loser]
        say(racers[winner])
        assert heard(racers[winner]) == "left"
    for racer in racers:
        racer.communicate("stop\n")
    assert [racer.returncode for racer in racers] == [0, 0]
    records = records_of("toy")
    assert [record.sequence for record in records] == [1, 2, 3, 4]
    assert chain_faults(records) == []


def test_processes_that_wait_for_each_other_write_one_chain(store: Store) -> None:
    writers = [python(QUEUE, uri=store.uri) for _ in range(2)]
    for writer in writers:
        writer.communicate()
    assert [writer.returncode for writer in writers] == [0, 0]
    records = records_of("toy")
    assert [record.sequence for record in records] == list(range(1, 13))
    assert chain_faults(records) == []
    assert sorted(record.facts["number"] for record in records) == sorted("012345" * 2)


@pytest.mark.parametrize(("where", "sealed"), [("check", 0), ("params", 0), ("kind", 0), ("end", 1)])
def test_a_killed_holder_is_recovered_at_once(store: Store, where: str, sealed: int) -> None:
    holder = python(HOLDER, where, uri=store.uri)
    run_id = heard(holder)
    assert heard(holder) == "there"
    with pytest.raises(Busy, match=f"run {run_id} on .* since "):
        add_record()
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    assert MlflowClient().get_run(run_id).info.status == "RUNNING", "MLflow does not know that it is dead"
    assert len(records_of("toy")) == sealed
    record = add_record()
    assert (record.sequence, record.faults) == (sealed + 1, ())
    assert chain_faults(records_of("toy")) == []
    assert MlflowClient().search_experiments(filter_string="name LIKE 'qbias-slot/%'") == [], "what was left behind is taken away"
