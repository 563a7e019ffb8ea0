"""The records of a registered model, read back: each is a run whose `record.json` says all that it stands for and what came before it.

A record's digest is the sha256 of its `record.json`, which names the record before it by digest, the run's parameters and the
sha256 of the files beside it. So an edited record contradicts itself or the record after it, and a removed one leaves a gap; only
the newest needs something outside the chain: its head (length and digest) on the production model or in an anchor file. Whoever
can write everything can also rebuild everything: the chain is consistent, not tamper-proof, without anchor or signatures.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from qbias.digests import bytes_digest
from registry.anchor import Anchor
from registry.contents import DIGEST_TAG, KIND_TAG, KINDS, RECORD, SIGNATURE, Contents, chain_id, contents_of, contradictions
from registry.runs import PAGE, artifact
from registry.signing import verify


@dataclass(frozen=True)
class Record:
    """One record of a model's chain. Whoever decides by it must look at `faults` first: a record with one counts for nothing.

    Attributes
    ----------
    run_id, experiment_id : the run that is the record. kind : `review`, `promotion` or `rollback`. model : the candidate model.
    sequence : its place in the chain, from 1. previous : digest of the record before it, "" for the first.
    digest : sha256 of record.json as it is now.
    facts : what is recorded, by name. files : sha256 by artifact path.
    started_ms : when the run began, in milliseconds since 1970. finished : whether the run completed.
    public_key : the key that it says it was signed with, "" for none. `faults` has an entry if the signature is not by this key.
    faults : how the run contradicts its record, in words; empty if it does not.
    """

    run_id: str
    experiment_id: str
    kind: str
    model: str
    sequence: int
    previous: str
    digest: str
    facts: Mapping[str, str]
    files: Mapping[str, str]
    started_ms: int
    finished: bool
    public_key: str = ""
    faults: tuple[str, ...] = field(default=())

    @property
    def signed_by_key(self) -> bool:
        """Whether the record carries a signature that holds for the key it names. Whose key that is, only a policy can say."""
        return bool(self.public_key) and not self.faults


def records_of(model: str, *, trusted: frozenset[str] | None = None) -> list[Record]:
    """Every sealed record of a model, oldest first, each checked against itself.

    Parameters
    ----------
    model : name of the candidate's registered model.
    trusted : ids of the experiments whose records count; None: all that can be read. Others are left out, because anyone
        who can write a run can write one that looks like a record.
    """
    return sorted((record_of(run, model) for run in sealed_runs(model, trusted=trusted)), key=_place)


def head(records: Sequence[Record]) -> tuple[int, str]:
    """Sequence and digest of the newest record: (length, digest); (0, "") where there is none."""
    return (records[-1].sequence, records[-1].digest) if records else (0, "")


def chain_head(model: str, *, trusted: frozenset[str] | None = None) -> tuple[int, str]:
    """As `head(records_of(...))`, but only the newest record is read."""
    runs = list(sealed_runs(model, trusted=trusted))
    longest = max((_sequence(run) for run in runs), default=0)
    return head(sorted((record_of(run, model) for run in runs if _sequence(run) == longest), key=_place))


def sealed_runs(model: str, *, trusted: frozenset[str] | None = None) -> Iterator[Run]:
    """The runs that are records of this model.

    They are found by a parameter, which MLflow lets nobody change or delete, and not by their tags. The tag with the kind
    is written last, so an unfinished run without it broke off while it was written; a finished one has lost it, and counts.
    """
    seen: set[str] = set()
    experiments = _readable_experiments() if trusted is None else sorted(trusted)
    for run in _found(experiments, f"params.`chain.id` = '{chain_id(model)}'"):
        sealed = run.data.tags.get(KIND_TAG) in KINDS or run.info.status == "FINISHED"
        if sealed and run.info.run_id not in seen:
            seen.add(run.info.run_id)
            yield run


def chain_faults(records: Sequence[Record], *, anchors: Iterable[Anchor] = (), pinned: tuple[int, str] | None = None) -> list[str]:
    """How a model's records contradict themselves, each other, or what is known from outside; empty if they do not.

    Parameters
    ----------
    records : all of one model, oldest first.
    anchors : what an anchor file says of this model, and of no other.
    pinned : length and digest as they stand on the production model; the chain may have grown since.
    """
    faults = [f"{_named(record)}: {fault}" for record in records for fault in record.faults]
    faults += _order_faults(records)
    held = {record.sequence: record.digest for record in records}
    outside = [(f"the anchor file (length {row.length})", row.length, row.digest) for row in anchors]
    outside += [(f"the production model (length {pinned[0]})", *pinned)] if pinned else []
    for where, length, digest in outside:
        if length and length not in held:
            faults.append(f"{where} knows a record {length} that is gone: the chain has {len(records)}")
        elif length and held[length] != digest:
            faults.append(f"record {length} is another than {where} knows: {held[length][:12]}, there {digest[:12]}")
    return faults


def _order_faults(records: Sequence[Record]) -> list[str]:
    """Gaps, forks, and records that do not name the one before them."""
    faults = []
    before: list[Record | None] = [None, *records]
    for earlier, record in pairwise(before):
        assert record is not None
        length, digest = (earlier.sequence, earlier.digest) if earlier else (0, "")
        if record.sequence < 1:
            faults.append(f"{_named(record)} names no place in the chain")
        elif earlier and record.sequence == length:
            faults.append(f"{_named(record)} is a second record {length} beside run {earlier.run_id}: the chain forks")
        elif record.sequence != length + 1:
            gone = f"record {length + 1}" if record.sequence == length + 2 else f"records {length + 1} to {record.sequence - 1}"
            faults.append(f"{gone} gone: {_named(record)} follows record {length}")
        elif record.previous != digest:
            faults.append(f"{_named(record)} follows another record {length} than the one that is there")
    return faults


def _named(record: Record) -> str:
    return f"record {record.sequence} ({record.kind or 'of no kind'}, run {record.run_id})"


def _place(record: Record) -> tuple[int, int, str]:
    return record.sequence, record.started_ms, record.run_id


def _sequence(run: Run) -> int:
    """The place that a run's parameter names; 0 for what is no number."""
    said = str(run.data.params.get("chain.sequence", ""))
    return int(said) if said.isascii() and said.isdigit() else 0


def _found(experiments: Sequence[str], wanted: str) -> Iterator[Run]:
    """Runs that meet a filter, oldest first: pages are counted from the start, and new runs must not shift them."""
    order = ["attributes.start_time ASC"]
    if experiments:
        yield from _paged(lambda token: MlflowClient().search_runs(experiments, wanted, max_results=PAGE, order_by=order, page_token=token))


def _readable_experiments() -> list[str]:
    client = MlflowClient()
    pages = _paged(lambda token: client.search_experiments(max_results=PAGE, order_by=["experiment_id ASC"], page_token=token))
    return [experiment.experiment_id for experiment in pages]


def _paged(search: Callable[[str | None], Any]) -> Iterator[Any]:
    token: str | None = None
    while True:
        page = search(token)
        yield from page
        token = page.token
        if not token:
            return


def record_of(run: Run, model: str) -> Record:
    """A run as a record, with all that contradicts it."""
    tags, info = run.data.tags, run.info
    content, trouble = _bytes(run, RECORD)
    told = contents_of(content) if content is not None else None
    common: dict[str, Any] = {
        "run_id": info.run_id,
        "experiment_id": info.experiment_id,
        "sequence": _sequence(run),
        "digest": bytes_digest(content) if content is not None else tags.get(DIGEST_TAG, ""),
        "started_ms": info.start_time,
        "finished": info.status == "FINISHED",
    }
    if told is None:
        fault = trouble or f"{RECORD} is not as it was written: it cannot be read as a record"
        kind, previous = tags.get(KIND_TAG, ""), run.data.params.get("chain.previous", "")
        return Record(**common, kind=kind, model=model, previous=previous, facts={}, files={}, faults=(fault,))
    stands = {"run_id": info.run_id, "experiment_id": info.experiment_id, "started_ms": info.start_time, "model": model}
    faults = [*contradictions(told, run=stands, params=run.data.params, tags=tags), *_file_faults(run, told)]
    if content is not None and (fault := _signature_fault(run, told, content)):
        faults.append(fault)
    said: dict[str, Any] = {"kind": told.kind, "model": told.model, "previous": told.previous, "facts": told.facts, "files": told.files}
    return Record(**common, **said, public_key=told.public_key, faults=tuple(faults))


def _file_faults(run: Run, told: Contents) -> Iterator[str]:
    for path, digest in sorted(told.files.items()):
        content, trouble = _bytes(run, path)
        if content is None:
            yield trouble
        elif bytes_digest(content) != digest:
            yield f"{path} is not as it was written: its sha256 differs from its record's"


def _signature_fault(run: Run, told: Contents, content: bytes) -> str:
    """What is wrong with the signature; "" if it holds for the key that the record names, or if no key was named."""
    if not told.public_key:
        return ""
    signature, trouble = _bytes(run, SIGNATURE)
    if signature is None:
        return trouble
    try:
        return "" if verify(content, signature, told.public_key) else f"{SIGNATURE} is no signature of it by the key that it names"
    except ValueError as error:
        return f"its signature cannot be checked: {error}"


def _bytes(run: Run, path: str) -> tuple[bytes | None, str]:
    """An artifact's content and "", or None and why there is none."""
    try:
        with artifact(run, path) as file:
            return file.read_bytes(), ""
    except (MlflowException, OSError) as error:
        return None, f"{path} cannot be read: {error}"
