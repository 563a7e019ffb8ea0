"""Records in the current store, as the verbs would write them, and processes that write some."""

import subprocess
import sys
import textwrap
from pathlib import Path

import mlflow

from registry.ledger import Record, records_of, seal
from registry.slot import slot

PROJECT = Path(__file__).resolve().parent.parent
FACTS = {"model": "toy", "version": "2", "decision": "approve", "reviewer": "R. One", "reason": "as before\n", "gate": "review"}
FILES = {"findings.json": b'{"verdict": "review"}', "policy.json": b"{}"}


def add_record(
    model: str = "toy", kind: str = "review", *, key: Path | None = None, trusted: frozenset[str] | None = None, **facts: str
) -> Record:
    """One more record of a model's chain, in a run of its own."""
    with mlflow.start_run() as run, slot(model, run.info.run_id, trusted=trusted) as held:
        record = seal(held, kind, FACTS | {"model": model} | facts, FILES, signing_key=key)
    return next(again for again in records_of(model, trusted=trusted) if again.run_id == record.run_id)


def chain_of_three(model: str = "toy", *, key: Path | None = None) -> list[Record]:
    """A review, a promotion and a rollback."""
    add_record(model, "review", key=key)
    add_record(model, "promotion", key=key, alias="champion", to_version="2")
    add_record(model, "rollback", key=key, alias="champion", to_version="1")
    return records_of(model)


def new_key(folder: Path, name: str = "key", *, passphrase: str = "", kind: str = "ed25519") -> Path:
    """A new SSH key's file; its public half lies beside it."""
    file = folder / name
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "", "-f", file], check=True, capture_output=True)
    return file


def python(code: str, *arguments: str, uri: str) -> "subprocess.Popen[str]":
    """A process that runs `code` on a store, with pipes to talk to it."""
    prelude = f"import mlflow, sys\nmlflow.set_tracking_uri({uri!r})\n"
    words = [sys.executable, "-c", prelude + textwrap.dedent(code), *arguments]
    return subprocess.Popen(words, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def heard(process: "subprocess.Popen[str]") -> str:
    """The next line that a process writes; an error if it has ended instead."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, f"the process ended with exit code {process.wait()}"
    return line.strip()


def say(process: "subprocess.Popen[str]", line: str = "") -> None:
    assert process.stdin is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()
