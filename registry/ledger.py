"""Writing a record: everything first, then the one tag that makes the active run a record of its model's chain."""

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

import mlflow
from mlflow import MlflowClient

from qbias.digests import bytes_digest
from registry.chain import Record, chain_faults, chain_head, head, record_of, records_of
from registry.contents import DIGEST_TAG, KIND_TAG, KINDS, RECORD, SIGNATURE, Contents, parameters, shown_tags, written
from registry.signing import public_key_of, sign, verify
from registry.slot import Busy, Slot

__all__ = ["Record", "chain_faults", "chain_head", "head", "records_of", "seal"]
PARAM_LENGTH = 6000
"""MLflow cuts a longer parameter short without an error."""
WITHDRAWN = "withdrawn"
"""The kind of a run that lost its slot at the moment of writing."""


def seal(slot: Slot, kind: str, facts: Mapping[str, str], files: Mapping[str, bytes], *, signing_key: Path | None = None) -> Record:
    """Make the active run the next record of the slot's chain. It becomes one with its last tag, so what breaks off leaves none.

    Parameters
    ----------
    slot : held; its run is the active one.
    kind : `review`, `promotion` or `rollback`.
    facts : what is recorded: lower-case names, values of at most 6,000 characters; they become parameters `<kind>.<fact>`.
    files : content by artifact path; they become artifacts of the run.
    signing_key : an SSH key's file, with which the record is signed; None: not signed.

    Returns
    -------
    The record, as it is read back.

    Raises
    ------
    ValueError
        If a value is no text that a parameter can hold, or the key cannot sign. Nothing is recorded.
    Busy
        If the slot was taken over by someone else. Nothing is recorded.
    """
    run = mlflow.active_run()
    assert run is not None, "a record is written into the active run"
    assert run.info.run_id == slot.run_id, "the run that holds the slot is the one that is sealed"
    contents = Contents(
        kind=kind,
        model=slot.model,
        sequence=slot.sequence,
        previous=slot.previous,
        run_id=run.info.run_id,
        experiment_id=run.info.experiment_id,
        started_ms=run.info.start_time,
        facts=dict(facts),
        files={path: bytes_digest(content) for path, content in files.items()},
        public_key=public_key_of(signing_key) if signing_key else "",
    )
    _refuse_unwritable(contents)
    record = written(contents)
    signature = {SIGNATURE: _signed(record, signing_key, contents.public_key)} if signing_key else {}
    slot.check()
    _upload(run.info.run_id, {**files, **signature, RECORD: record})
    mlflow.log_params(parameters(contents))
    mlflow.set_tags({**shown_tags(contents), DIGEST_TAG: bytes_digest(record)})
    _become_record(slot, kind)
    return record_of(MlflowClient().get_run(run.info.run_id), slot.model)


def _become_record(slot: Slot, kind: str) -> None:
    """Write the last tag between two looks at the slot: who was overtaken in between takes it back."""
    slot.check()
    mlflow.set_tag(KIND_TAG, kind)
    try:
        slot.check()
    except Busy:
        mlflow.set_tag(KIND_TAG, WITHDRAWN)
        raise


def _refuse_unwritable(contents: Contents) -> None:
    assert contents.kind in KINDS, contents.kind
    for fact, value in contents.facts.items():
        assert re.fullmatch(r"[a-z][a-z0-9_]*", fact), fact
        if len(value) > PARAM_LENGTH:
            raise ValueError(f"{fact} has {len(value)} characters, MLflow keeps {PARAM_LENGTH}: shorten it, and put details in a document")
    for what, text in (("model", contents.model), *contents.facts.items()):
        if any(sign == "\0" or "\ud800" <= sign <= "\udfff" for sign in text):
            raise ValueError(f"{what} holds bytes that are no text: type it again in UTF-8")
    for path in contents.files:
        assert re.fullmatch(r"\w[\w\-.]*(/\w[\w\-.]*)*", path), path
        assert path not in (RECORD, SIGNATURE), path


def _signed(record: bytes, key: Path, public_key: str) -> bytes:
    """The signature of a record, tried with the key that the record names."""
    signature = sign(record, key)
    if not verify(record, signature, public_key):
        raise ValueError(f"signing_key={str(key)!r}: {key.name}.pub beside it is another key's; make it again with 'ssh-keygen -y'")
    return signature


def _upload(run_id: str, files: Mapping[str, bytes]) -> None:
    """Log files as they are; the record itself comes last."""
    client = MlflowClient()
    with tempfile.TemporaryDirectory(prefix="qbias-") as folder:
        for path, content in files.items():
            file = Path(folder) / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            client.log_artifact(run_id, str(file), str(Path(path).parent) if "/" in path else None)
