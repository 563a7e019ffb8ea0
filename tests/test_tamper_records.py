"""No single edit of a chain's records passes; and what an administrator can do all the same."""

from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from registry.ledger import records_of, seal
from registry.slot import Slot, slot
from tests.conftest import copied_store, current_store
from tests.record_edits import EDITS, UNSEEN_AT_THE_END, Chain, deleted, parameter
from tests.records_builder import FACTS, FILES, add_record, chain_of_three, new_key

FIRST, MIDDLE, NEWEST = 0, 1, 2


@pytest.fixture(scope="module")
def original(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with three signed records, to be copied."""
    folder = tmp_path_factory.mktemp("chain")
    with current_store(copied_store(empty_store, folder / "store")):
        chain_of_three(key=new_key(folder))
    return folder / "store"


@pytest.fixture
def chain(original: Path, tmp_path: Path) -> Iterator[Chain]:
    with current_store(copied_store(original, tmp_path / "store")) as store:
        yield Chain(store)


@pytest.mark.parametrize("which", [MIDDLE, NEWEST], ids=["middle", "newest"])
@pytest.mark.parametrize("edit", EDITS)
def test_a_single_edit_shows(chain: Chain, edit: str, which: int) -> None:
    EDITS[edit](chain, chain.records[which])
    assert chain.faults() != []


@pytest.mark.parametrize("edit", [name for name in EDITS if name not in UNSEEN_AT_THE_END])
def test_an_edit_of_the_newest_shows_without_anchor(chain: Chain, edit: str) -> None:
    EDITS[edit](chain, chain.records[NEWEST])
    assert chain.faults(anchored=False) != []


@pytest.mark.parametrize("edit", sorted(UNSEEN_AT_THE_END))
def test_what_needs_the_anchor(chain: Chain, edit: str) -> None:
    """Taking the newest record away, or rewriting it without its signature, leaves a shorter or another chain that is whole."""
    EDITS[edit](chain, chain.records[NEWEST])
    assert chain.faults(anchored=False) == []
    assert chain.faults() != []


def test_what_is_not_edited_has_no_faults(chain: Chain) -> None:
    assert chain.faults() == []
    assert all(record.signed_by_key for record in chain.records)


def test_the_message_names_the_record_and_what_differs(chain: Chain) -> None:
    record = chain.records[MIDDLE]
    parameter("promotion.reviewer", "R. Two")(chain, record)
    (fault,) = chain.faults()
    assert fault == (f"record 2 (promotion, run {record.run_id}): parameter promotion.reviewer is 'R. Two', its record says 'R. One'")


def test_a_status_that_was_changed_is_seen_by_whoever_needs_a_finished_record(chain: Chain) -> None:
    """The status is no part of the record, which is written before its run ends; what has not finished approves nothing."""
    MlflowClient().set_terminated(chain.records[NEWEST].run_id, "FAILED")
    assert [record.finished for record in records_of("toy")] == [True, True, False]
    assert chain.faults() == []


def test_a_deleted_experiment_takes_its_records_with_it(chain: Chain) -> None:
    MlflowClient().delete_experiment(chain.store.experiment)
    assert records_of("toy") == []
    assert "knows a record 3 that is gone: the chain has 0" in chain.faults()[0]


def test_growing_is_no_fault(chain: Chain) -> None:
    add_record()
    assert chain.faults() == []


def test_a_restored_run_makes_the_chain_whole_again(chain: Chain) -> None:
    deleted(chain, chain.records[NEWEST])
    assert chain.faults() != []
    MlflowClient().restore_run(chain.records[NEWEST].run_id)
    assert chain.faults() == []


def test_a_record_in_the_place_of_a_deleted_one_is_another(chain: Chain) -> None:
    deleted(chain, chain.records[NEWEST])
    assert add_record().sequence == 3
    assert chain.faults(anchored=False) == []
    assert "record 3 is another than the anchor file" in chain.faults()[0]


def forged(place: str, sequence: int, previous: str) -> str:
    """A record that was written without holding the slot, in an experiment of someone's choice."""
    with mlflow.start_run(experiment_id=place) as run, slot("elsewhere", run.info.run_id) as held:
        claimed = Slot("toy", sequence, previous, held.name, held.experiment_id, held.attempt, held.run_id, held.nonce)
        seal(claimed, "review", FACTS | {"reason": "forged"}, FILES)
    return str(run.info.run_id)


def test_a_sequence_twice_is_a_fork(chain: Chain) -> None:
    for sequence, previous in ((2, chain.records[FIRST].digest), (3, chain.records[MIDDLE].digest)):
        run_id = forged(chain.store.experiment, sequence, previous)
        assert f"record {sequence} (review, run {run_id}) is a second record {sequence}" in " ".join(chain.faults())
        MlflowClient().delete_run(run_id)


def test_a_forged_record_in_an_untrusted_experiment_is_none(chain: Chain) -> None:
    place = MlflowClient().create_experiment("a stranger's")
    run_id = forged(place, 4, chain.records[NEWEST].digest)
    trusted = frozenset({chain.store.experiment})
    assert records_of("toy", trusted=trusted) == chain.records
    assert records_of("toy")[-1].run_id == run_id, "without a list of people, whoever can write a run can write a record"


def test_a_copied_run_is_no_second_record(chain: Chain) -> None:
    """Parameters, tags and files of a record in another run: it says itself that it is not that run."""
    source = MlflowClient().get_run(chain.records[NEWEST].run_id)
    params = source.data.params | {"chain.sequence": "4", "chain.previous": chain.records[NEWEST].digest}
    with mlflow.start_run() as run:
        mlflow.log_params(params)
        mlflow.log_artifacts(str(chain.file(chain.records[NEWEST], "record.json").parent))
        mlflow.set_tags({name: value for name, value in source.data.tags.items() if name.startswith("qbias.")})
    faults = " ".join(chain.faults())
    assert f"run_id is '{run.info.run_id}', its record says '{source.info.run_id}'" in faults


def rebuilt(chain: Chain) -> None:
    """All of one model's records from the first on, deleted and written again with another decision."""
    for record in chain.records:
        MlflowClient().delete_run(record.run_id)
    add_record(decision="reject")
    add_record("toy", "promotion", alias="champion", to_version="2")
    add_record("toy", "rollback", alias="champion", to_version="1")


def test_an_administrator_can_rebuild_a_whole_chain(chain: Chain) -> None:
    """Consistent, not tamper-proof: only what is kept elsewhere shows it, an anchor file or the people's keys."""
    rebuilt(chain)
    assert chain.faults(anchored=False) == []
    assert "record 3 is another than the anchor file" in chain.faults()[0]
    assert not any(record.signed_by_key for record in records_of("toy")), "and nobody's key has signed it"


def test_an_administrator_cannot_sign_in_anothers_name(chain: Chain, tmp_path: Path) -> None:
    """With a key of their own the chain is whole and signed; the key is not the one that the policy lists."""
    listed = chain.records[FIRST].public_key
    rebuilt(chain)
    record = add_record(key=new_key(tmp_path, "administrator"))
    assert record.signed_by_key
    assert record.public_key != listed
