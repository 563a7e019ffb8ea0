"""A store in which two candidates were approved and promoted one after the other, with an anchor file; and what is done to it."""

import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from entrypoints.verb import run_verb
from registry.cards import VersionCard, version_card
from registry.chain import Record, records_of
from registry.promote import promote
from registry.review import review
from tests.conftest import Store, copied_store, current_store
from tests.evidence_builder import artifact_file, log_comparison, log_evaluation, plain_policy, register, version_file

POLICY = plain_policy()


@dataclass(frozen=True)
class Promoted:
    """The store: candidates `toy` 2 and 3, promoted in this order, and the runs of the second; `anchor` holds every head."""

    store: Store
    anchor: Path
    runs: dict[str, str]

    @property
    def card(self) -> VersionCard:
        """The candidate that is champion."""
        return version_card("models:/toy/3")

    @property
    def records(self) -> list[Record]:
        """Approval and promotion of 2, approval and promotion of 3, and one more approval of 3."""
        return records_of("toy")

    def record(self, sequence: int) -> str:
        """The run of a record as it was made, whatever became of it since."""
        return self.runs[f"record {sequence}"]

    def file(self, run: str, path: str) -> Path:
        """An artifact of a run: `candidate`, `baseline`, `comparison` or `record 4`."""
        return artifact_file(self.runs[run], path)

    def version_file(self, path: str, version: str = "3") -> Path:
        """A file of a version of `toy`."""
        return version_file(version_card(f"models:/toy/{version}"), path)

    def sql(self, statement: str, *values: object) -> None:
        """One change of the database, which has to hit something."""
        with closing(sqlite3.connect(self.store.uri.removeprefix("sqlite:///"))) as database, database:
            assert database.execute(statement, values).rowcount > 0, statement


def build(folder: Path, empty_store: Path) -> None:
    """Make the store below `folder`."""
    with current_store(copied_store(empty_store, folder / "store")):
        baseline, *candidates = register("toy", quantizers=("fp32", "bnb-nf4", "bnb-int8"))
        base = log_evaluation(baseline)
        anchor = folder / "anchor.jsonl"
        for card in candidates:
            log_comparison((card, log_evaluation(card)), (baseline, base))
            approved(card, "R. One", anchor)
            with mlflow.start_run():
                promote(card, policy=POLICY, promoter="P. One", anchor=anchor)
        approved(candidates[-1], "R. Two", anchor)


def approved(card: VersionCard, reviewer: str, anchor: Path | None) -> None:
    with mlflow.start_run():
        review(card, decision="approve", reviewer=reviewer, reason="as agreed", policy=POLICY, anchor=anchor)


@contextmanager
def promoted_copy(source: Path, folder: Path) -> Iterator[Promoted]:
    """A copy of a store that `build` made, as the current one."""
    copied_store(source / "store", folder / "store")
    anchor = folder / "anchor.jsonl"
    shutil.copyfile(source / "anchor.jsonl", anchor)
    with current_store(folder / "store") as store:
        records = records_of("toy")
        facts = records[-1].facts
        runs = {side: facts[f"{side}_run"] for side in ("candidate", "baseline", "comparison")}
        yield Promoted(store, anchor, runs | {f"record {record.sequence}": record.run_id for record in records})


def audited(*words: str) -> int:
    """The verb audit, as from the command line in an experiment of its own: its exit code."""
    module = import_module("entrypoints.audit")
    client = MlflowClient()
    own = client.get_experiment_by_name("audits")
    number = own.experiment_id if own else client.create_experiment("audits")
    before = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)}
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.argv", ["audit", *words])
            patch.setenv("MLFLOW_EXPERIMENT_ID", number)
            return run_verb("audit", module.parser(), module.work)
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def flip(file: Path) -> None:
    """One bit of a file."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


Edit = Callable[[Promoted, MlflowClient], object]
