"""Anchor files: heads of chains (length and digest), kept where whoever can write to the tracking store cannot.

A line is one head as JSON. A chain may have grown since; a head that it no longer holds shows that records were removed or rewritten.
"""

import fcntl
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from qbias.store import whole_file


@dataclass(frozen=True)
class Anchor:
    """One head: the chain of `model` had `length` records, and the newest had this digest (sha256, 64 hexadecimal digits)."""

    model: str
    length: int
    digest: str


def read(path: Path) -> list[Anchor]:
    """All heads in the file, oldest first.

    Raises
    ------
    ValueError
        If the file is missing, a line is not a head, or two lines contradict each other.
    """
    if not path.is_file():
        raise ValueError(f"anchor={str(path)!r}: there is no such file; the first review or promotion with -P anchor=... creates it")
    return _read(path)


def of_model(anchors: Iterable[Anchor], model: str) -> list[Anchor]:
    """The heads of one model."""
    return [anchor for anchor in anchors if anchor.model == model]


def append(path: Path, model: str, length: int, digest: str) -> None:
    """Add a head, unless it is the newest of its model already. The file is replaced as a whole.

    Raises
    ------
    ValueError
        If the file knows a longer chain of this model or another digest for this length: records were removed or rewritten.
    """
    new = _anchor({"model": model, "length": length, "digest": digest}, "the new head")
    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path):
        known = _read(path) if path.exists() else []
        newest = of_model(known, model)[-1:]
        if newest == [new]:
            return
        _refuse_contradiction(newest, new, f"anchor={str(path)!r}")
        with whole_file(path) as beside:
            beside.write_text("".join(_line(anchor) for anchor in [*known, new]), encoding="utf-8")


def _read(path: Path) -> list[Anchor]:
    anchors: list[Anchor] = []
    for number, line in enumerate(_lines(path), start=1):
        where = f"anchor={str(path)!r}, line {number}"
        try:
            anchor = _anchor(json.loads(line), where)
        except (json.JSONDecodeError, RecursionError) as error:
            raise ValueError(f"{where} is not JSON: {line[:60]!r}; restore the file from where it is kept") from error
        _refuse_contradiction(of_model(anchors, anchor.model)[-1:], anchor, where)
        anchors.append(anchor)
    return anchors


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"anchor={str(path)!r} is not text in UTF-8: restore the file from where it is kept") from error
    if text and not text.endswith("\n"):
        raise ValueError(f"anchor={str(path)!r}: its last line is cut short; restore the file from where it is kept")
    return text.split("\n")[:-1]


def _anchor(row: object, where: str) -> Anchor:
    fine = isinstance(row, dict) and row.keys() == {"model", "length", "digest"}
    if isinstance(row, dict) and fine:
        model, length, digest = row["model"], row["length"], row["digest"]
        if isinstance(model, str) and model and type(length) is int and length > 0 and _is_digest(digest):
            return Anchor(model, length, digest)
    raise ValueError(f"{where} is not a head: {row!r}; it needs model, length (above 0) and digest (64 hexadecimal digits)")


def _is_digest(digest: object) -> bool:
    return isinstance(digest, str) and len(digest) == 64 and set(digest) <= set("0123456789abcdef")


def _refuse_contradiction(newest: list[Anchor], new: Anchor, where: str) -> None:
    """Of one model, lengths grow: the same length again, or a shorter one, would be another chain."""
    for known in newest:
        if new.length <= known.length:
            raise ValueError(
                f"{where}: {new.model!r} had {known.length} records with head {known.digest[:12]}, and now {new.length} with "
                f"{new.digest[:12]}: records were removed or rewritten; run the verb audit with this anchor"
            )


def _line(anchor: Anchor) -> str:
    return json.dumps(asdict(anchor), sort_keys=True, ensure_ascii=False) + "\n"


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Nobody else adds to the file within the block; the lock is on a file beside it, as the file itself is replaced."""
    with path.with_name(f".{path.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
