"""Every single edit of one record that its tests try: through MLflow, in the database, or in the files."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from mlflow import MlflowClient

from qbias.digests import bytes_digest
from registry.anchor import Anchor
from registry.contents import DIGEST_TAG, contents_of, written
from registry.ledger import Record, chain_faults, head, records_of
from tests.conftest import Store

WITHOUT = "DELETE FROM params WHERE run_uuid = ? AND key = ?"


class Chain:
    """Three records in a store of the test's own, their head as known from outside, and the ways to edit them."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.records = records_of("toy")
        assert len(self.records) == 3
        self.anchor = Anchor("toy", *head(self.records))

    def faults(self, *, anchored: bool = True) -> list[str]:
        return chain_faults(records_of("toy"), anchors=[self.anchor] if anchored else [])

    def file(self, record: Record, name: str) -> Path:
        (found,) = self.store.artifacts.glob(f"{record.run_id}/artifacts/{name}")
        return found

    def sql(self, change: str, *values: object) -> None:
        with closing(sqlite3.connect(self.store.uri.removeprefix("sqlite:///"))) as database, database:
            assert database.execute(change, values).rowcount > 0, change


Edit = Callable[[Chain, Record], None]


def flipped(name: str, place: int) -> Edit:
    def edit(chain: Chain, record: Record) -> None:
        file = chain.file(record, name)
        content = bytearray(file.read_bytes())
        content[place] ^= 1
        file.write_bytes(bytes(content))

    return edit


def removed(name: str) -> Edit:
    return lambda chain, record: chain.file(record, name).unlink()


def emptied(name: str) -> Edit:
    return lambda chain, record: chain.file(record, name).write_bytes(b"")


def parameter(name: str, value: str) -> Edit:
    change = "UPDATE params SET value = ? WHERE run_uuid = ? AND key = ?"
    return lambda chain, record: chain.sql(change, value, record.run_id, name.format(kind=record.kind))


def without_parameter(name: str) -> Edit:
    return lambda chain, record: chain.sql(WITHOUT, record.run_id, name.format(kind=record.kind))


def more_parameter(name: str) -> Edit:
    return lambda chain, record: MlflowClient().log_param(record.run_id, name.format(kind=record.kind), "more")


def tag(name: str, value: str) -> Edit:
    return lambda chain, record: MlflowClient().set_tag(record.run_id, name, value)


def without_tag(name: str) -> Edit:
    return lambda chain, record: MlflowClient().delete_tag(record.run_id, name)


def attribute(name: str, value: object) -> Edit:
    change = f"UPDATE runs SET {name} = ? WHERE run_uuid = ?"  # noqa: S608 - names from the table below
    return lambda chain, record: chain.sql(change, value, record.run_id)


def deleted(chain: Chain, record: Record) -> None:
    MlflowClient().delete_run(record.run_id)


def deleted_in_the_database(chain: Chain, record: Record) -> None:
    for table in ("tags", "params", "runs"):
        chain.sql(f"DELETE FROM {table} WHERE run_uuid = ?", record.run_id)  # noqa: S608 - names from the line above


def rewritten(chain: Chain, record: Record) -> None:
    """Another reason, with everything about this one record made to agree, except what only its key could."""
    contents = contents_of(chain.file(record, "record.json").read_bytes())
    assert contents is not None
    content = written(replace(contents, facts=contents.facts | {"reason": "another"}))
    chain.file(record, "record.json").write_bytes(content)
    chain.sql("UPDATE params SET value = 'another' WHERE run_uuid = ? AND key = ?", record.run_id, f"{record.kind}.reason")
    MlflowClient().set_tag(record.run_id, DIGEST_TAG, bytes_digest(content))


def rewritten_unsigned(chain: Chain, record: Record) -> None:
    """As above, and the record says that nobody signed it."""
    rewritten(chain, record)
    contents = contents_of(chain.file(record, "record.json").read_bytes())
    assert contents is not None
    content = written(replace(contents, public_key=""))
    chain.file(record, "record.json").write_bytes(content)
    chain.file(record, "record.json.sig").unlink()
    MlflowClient().set_tag(record.run_id, DIGEST_TAG, bytes_digest(content))


def anothers_record(chain: Chain, record: Record) -> None:
    """The record of an earlier run in the place of this one."""
    for name in ("record.json", "record.json.sig"):
        chain.file(record, name).write_bytes(chain.file(chain.records[0], name).read_bytes())


EDITS: dict[str, Edit] = {
    "byte of record.json": flipped("record.json", 40),
    "first byte of record.json": flipped("record.json", 0),
    "byte of a file": flipped("findings.json", 3),
    "byte of the policy": flipped("policy.json", 0),
    "byte of the signature": flipped("record.json.sig", 120),
    "record.json removed": removed("record.json"),
    "record.json emptied": emptied("record.json"),
    "file removed": removed("findings.json"),
    "file emptied": emptied("findings.json"),
    "signature removed": removed("record.json.sig"),
    "signature emptied": emptied("record.json.sig"),
    "record of another run": anothers_record,
    "rewritten": rewritten,
    "rewritten without signature": rewritten_unsigned,
    "reason": parameter("{kind}.reason", "another"),
    "reviewer": parameter("{kind}.reviewer", "R. Two"),
    "decision": parameter("{kind}.decision", "reject"),
    "reason without its last line break": parameter("{kind}.reason", "as before"),
    "sequence one up": parameter("chain.sequence", "9"),
    "sequence one down": parameter("chain.sequence", "1"),
    "sequence no number": parameter("chain.sequence", "x"),
    "previous": parameter("chain.previous", "0" * 64),
    "model's id": parameter("chain.id", "0" * 32),
    "parameter removed": without_parameter("{kind}.reviewer"),
    "sequence removed": without_parameter("chain.sequence"),
    "model's id removed": without_parameter("chain.id"),
    "parameter added": more_parameter("{kind}.more"),
    "parameter of another kind added": more_parameter("review.more"),
    "decision's tag": tag("qbias.decision", "reject"),
    "version's tag": tag("qbias.version", "1"),
    "gate's tag": tag("qbias.gate", "pass"),
    "model's tag": tag("qbias.model", "other"),
    "digest's tag": tag(DIGEST_TAG, "0" * 64),
    "digest's tag removed": without_tag(DIGEST_TAG),
    "decision's tag removed": without_tag("qbias.decision"),
    "kind unknown": tag("qbias.kind", "Promotion"),
    "kind of another record": tag("qbias.kind", "review"),
    "kind withdrawn": tag("qbias.kind", "withdrawn"),
    "kind removed": without_tag("qbias.kind"),
    "started later": attribute("start_time", 2_000_000_000_000),
    "started a millisecond earlier": lambda chain, record: attribute("start_time", record.started_ms - 1)(chain, record),
    "deleted": deleted,
    "deleted in the database": deleted_in_the_database,
    "moved to another experiment": lambda chain, record: attribute("experiment_id", int(MlflowClient().create_experiment("new")))(
        chain, record
    ),
    "artifacts of another run": lambda chain, record: chain.sql(
        "UPDATE runs SET artifact_uri = (SELECT artifact_uri FROM runs WHERE run_uuid = ?) WHERE run_uuid = ?",
        chain.records[0].run_id,
        record.run_id,
    ),
}
UNSEEN_AT_THE_END = {"deleted", "deleted in the database", "rewritten without signature", "model's id", "model's id removed"}
"""Edits of the newest record that only something outside the chain can show."""
