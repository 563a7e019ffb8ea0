"""Records are written whole or not at all, are read back as they were written, and hold each other."""

import json
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient

from registry import chain, ledger
from registry.anchor import Anchor
from registry.contents import Contents, contents_of, written
from registry.ledger import Record, chain_faults, chain_head, head, records_of, seal
from registry.signing import public_key_of
from registry.slot import slot
from tests.conftest import Store
from tests.records_builder import FACTS, FILES, add_record, chain_of_three, new_key


def test_a_record_is_read_as_it_was_written(store: Store) -> None:
    with mlflow.start_run() as run, slot("toy", run.info.run_id) as held:
        sealed = seal(held, "review", FACTS, FILES)
    (record,) = records_of("toy")
    assert (record.kind, record.model, record.sequence, record.previous) == ("review", "toy", 1, "")
    assert (record.facts, set(record.files), record.faults) == (FACTS, set(FILES), ())
    assert (record.run_id, record.experiment_id, record.started_ms) == (run.info.run_id, store.experiment, run.info.start_time)
    assert (sealed.finished, record.finished, record.signed_by_key) == (False, True, False)
    assert sealed.digest == record.digest


def test_the_run_shows_what_the_record_says(store: Store) -> None:
    record = add_record()
    run = MlflowClient().get_run(record.run_id)
    assert run.data.params["review.reason"] == FACTS["reason"]
    assert (run.data.params["chain.sequence"], run.data.params["chain.previous"]) == ("1", "none")
    shown = {"qbias.kind": "review", "qbias.version": "2", "qbias.decision": "approve", "qbias.record_sha256": record.digest}
    assert shown.items() <= run.data.tags.items()


def test_each_record_names_the_one_before(store: Store) -> None:
    records = chain_of_three()
    assert [record.kind for record in records] == ["review", "promotion", "rollback"]
    assert [record.previous for record in records] == ["", records[0].digest, records[1].digest]
    assert head(records) == chain_head("toy") == (3, records[2].digest)
    assert head([]) == chain_head("another") == (0, "")
    assert chain_faults(records) == []


def test_odd_text_is_kept(store: Store) -> None:
    odd = {"reason": "  <script>alert(1)</script> \t\r\nü 💡 'q' \"q\" `b` \\ ", "empty": "", "long": "x" * 6000}
    record = add_record("it's", **odd)
    assert record.faults == ()
    assert odd.items() <= record.facts.items()


@pytest.mark.parametrize(
    ("fact", "said"), [("x" * 6001, "6001 characters"), ("a\0b", "no text"), ("\ud800", "no text")], ids=["long", "nul", "surrogate"]
)
def test_what_a_parameter_cannot_hold_is_refused(store: Store, fact: str, said: str) -> None:
    with pytest.raises(ValueError, match=f"reason (has|holds).*{said}"):
        add_record(reason=fact)
    assert records_of("toy") == []
    assert MlflowClient().search_runs([store.experiment], "params.`chain.sequence` = '1'") == []


@pytest.mark.parametrize("path", ["record.json", "record.json.sig", "../x", "/x", "a b", "", "a/../../b", ".hidden"])
def test_files_lie_below_the_run(store: Store, path: str) -> None:
    with pytest.raises(AssertionError), mlflow.start_run() as run, slot("toy", run.info.run_id) as held:
        seal(held, "review", FACTS, {path: b""})


def test_a_record_is_for_the_run_that_holds_the_slot(store: Store) -> None:
    with mlflow.start_run() as run, slot("toy", run.info.run_id) as held:
        with mlflow.start_run(nested=True), pytest.raises(AssertionError, match="holds the slot"):
            seal(held, "review", FACTS, FILES)
        seal(held, "review", FACTS, FILES)


@pytest.mark.parametrize("step", ["_upload", "parameters", "shown_tags", "_become_record"])
def test_what_breaks_off_is_no_record(store: Store, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def gone(*arguments: object) -> None:
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(ledger, step, gone)
        with pytest.raises(ConnectionError):
            add_record()
    assert records_of("toy") == []
    assert add_record().sequence == 1


def test_a_record_of_a_failed_run_is_there_and_not_finished(store: Store) -> None:
    with mlflow.start_run() as run, slot("toy", run.info.run_id) as held:
        seal(held, "promotion", FACTS, FILES)
    MlflowClient().set_terminated(run.info.run_id, "FAILED")
    (record,) = records_of("toy")
    assert (record.finished, record.faults) == (False, ())


def test_records_are_found_page_by_page(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    number = MlflowClient().create_experiment("another")
    for place in (None, number, None):
        with mlflow.start_run(experiment_id=place) as run, slot("toy", run.info.run_id) as held:
            seal(held, "review", FACTS, {})
    monkeypatch.setattr(chain, "PAGE", 1)
    assert [record.sequence for record in records_of("toy")] == [1, 2, 3]
    assert chain_faults(records_of("toy")) == []


def test_only_trusted_experiments_count(store: Store) -> None:
    trusted = frozenset({store.experiment})
    first = add_record()
    number = MlflowClient().create_experiment("a stranger's")
    with mlflow.start_run(experiment_id=number) as run, slot("toy", run.info.run_id) as held:
        seal(held, "review", FACTS, {})
    assert chain_head("toy", trusted=trusted) == (1, first.digest)
    second = add_record(trusted=trusted)
    assert (second.sequence, second.previous) == (2, first.digest)
    assert chain_faults(records_of("toy", trusted=trusted)) == []
    assert "forks" in " ".join(chain_faults(records_of("toy")))
    assert records_of("toy", trusted=frozenset()) == []
    assert len(records_of("toy", trusted=trusted | {"987654"})) == 2, "an experiment that is gone holds nothing"


def test_a_signed_record(store: Store, tmp_path: Path) -> None:
    key = new_key(tmp_path)
    record = add_record(key=key)
    assert record.signed_by_key
    assert record.public_key == public_key_of(key)


def test_a_key_with_anothers_public_half_records_nothing(store: Store, tmp_path: Path) -> None:
    key, other = new_key(tmp_path), new_key(tmp_path, "other")
    key.with_name("key.pub").write_bytes(other.with_name("other.pub").read_bytes())
    with pytest.raises(ValueError, match=r"signing_key=.*key"):
        add_record(key=key)
    assert records_of("toy") == []


def test_a_reader_without_ssh_keygen_trusts_no_signature(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_record(key=new_key(tmp_path))
    monkeypatch.setenv("PATH", "")
    (record,) = records_of("toy")
    assert "cannot be checked: ssh-keygen is not installed" in record.faults[0]
    assert not record.signed_by_key


def made(sequence: int, previous: str, digest: str, **changes: Any) -> Record:
    common: dict[str, Any] = {"run_id": f"r{sequence}", "experiment_id": "1", "kind": "review", "model": "toy", "facts": {}, "files": {}}
    return Record(**common | {"sequence": sequence, "previous": previous, "digest": digest, "started_ms": 1, "finished": True} | changes)


ONE, TWO, THREE = made(1, "", "a"), made(2, "a", "b"), made(3, "b", "c")


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ([ONE, TWO, THREE], []),
        ([TWO, THREE], ["record 1 gone: record 2 (review, run r2) follows record 0"]),
        ([ONE, THREE], ["record 2 gone: record 3 (review, run r3) follows record 1"]),
        ([made(4, "c", "d")], ["records 1 to 3 gone: record 4 (review, run r4) follows record 0"]),
        ([ONE, made(1, "", "z", run_id="x")], ["record 1 (review, run x) is a second record 1 beside run r1: the chain forks"]),
        ([ONE, made(2, "z", "b")], ["record 2 (review, run r2) follows another record 1 than the one that is there"]),
        ([made(1, "z", "a")], ["record 1 (review, run r1) follows another record 0 than the one that is there"]),
        ([made(0, "", "a")], ["record 0 (review, run r0) names no place in the chain"]),
        ([made(1, "", "a", faults=("x",))], ["record 1 (review, run r1): x"]),
        ([], []),
    ],
)
def test_faults_of_a_chain(records: list[Record], said: list[str]) -> None:
    assert chain_faults(records) == said


@pytest.mark.parametrize(
    ("length", "digest", "said"),
    [
        (3, "c", None),
        (1, "a", None),
        (0, "", None),
        (4, "d", "knows a record 4 that is gone: the chain has 3"),
        (3, "z", "record 3 is another than"),
        (1, "z", "record 1 is another than"),
        (-1, "z", "knows a record -1 that is gone"),
    ],
)
def test_what_is_known_from_outside(length: int, digest: str, said: str | None) -> None:
    records = [ONE, TWO, THREE]
    pinned, anchored = chain_faults(records, pinned=(length, digest)), chain_faults(records, anchors=[Anchor("toy", length, digest)])
    for faults, where in ((pinned, "the production model"), (anchored, "the anchor file")):
        assert [where in fault and (said or "") in fault for fault in faults] == ([True] if said else [])


def test_without_records_what_is_known_from_outside_is_gone() -> None:
    assert len(chain_faults([], pinned=(1, "a"), anchors=[Anchor("toy", 1, "a")])) == 2


CONTENTS = Contents("review", "toy", 2, "a" * 64, "r", "1", 5, {"b": "2", "a": "ü"}, {"f": "0" * 64}, "ssh-ed25519 AAAA")


def test_contents_are_written_in_one_way() -> None:
    assert contents_of(written(CONTENTS)) == CONTENTS


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "gate"}, {"sequence": 0}, {"sequence": "2"}, {"sequence": True}, {"started_ms": 1.5}, {"facts": []}, {"facts": {"a": 1}},
        {"files": None}, {"previous": None}, {"format": "qbias record 2"}, {"more": 1}, {"model": ["toy"]},
    ],
)  # fmt: skip
def test_other_contents_are_no_record(changes: dict[str, Any]) -> None:
    told = json.loads(written(CONTENTS)) | changes
    assert contents_of(json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()) is None


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b"null", b"\xff", b"[" * 100_000, written(CONTENTS) + b"\n", written(CONTENTS)[:-1]]
)
def test_other_bytes_are_no_record(content: bytes) -> None:
    assert contents_of(content) is None


def test_one_name_twice_is_no_record() -> None:
    assert contents_of(written(CONTENTS).replace(b'"kind":"review"', b'"kind":"rollback","kind":"review"')) is None
