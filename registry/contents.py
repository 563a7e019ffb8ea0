"""What `record.json` holds: written in one way only, read strictly, and what a run must show that agrees with it. No MLflow here."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from qbias.digests import bytes_digest

KINDS = ("review", "promotion", "rollback")
FORMAT = "qbias record 1"
RECORD = "record.json"
SIGNATURE = "record.json.sig"
DIGEST_TAG = "qbias.record_sha256"
KIND_TAG = "qbias.kind"
SHOWN = ("model", "version", "decision", "gate", "override", "alias", "to_version")
"""Facts that are repeated as tags `qbias.<fact>`, where MLflow's own pages show them."""


@dataclass(frozen=True)
class Contents:
    """What a record says. Everything that the run repeats as parameter, tag or attribute has to agree with it.

    Attributes
    ----------
    kind : one of KINDS. model : name of the candidate's registered model. sequence : place in its chain, from 1.
    previous : digest of the record before it, "" for the first. run_id, experiment_id : where it was written.
    started_ms : when the run began, in milliseconds since 1970: an approval's age counts from there.
    facts : what is recorded. files : sha256 by artifact path.
    public_key : of the key that signs it, "" where none does, so that a signature cannot be taken away unseen.
    """

    kind: str
    model: str
    sequence: int
    previous: str
    run_id: str
    experiment_id: str
    started_ms: int
    facts: Mapping[str, str]
    files: Mapping[str, str]
    public_key: str = ""
    format: str = FORMAT


def written(contents: Contents) -> bytes:
    """The one way in which these contents are written: JSON with sorted keys and no spaces, in UTF-8."""
    return json.dumps(asdict(contents), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def contents_of(content: bytes) -> Contents | None:
    """Contents as read from bytes; None if `written` would not give exactly these bytes."""
    try:
        told = json.loads(content)
        contents = Contents(**told)
        same = _well_formed(contents) and written(contents) == content
    except (ValueError, TypeError, RecursionError):
        return None
    return contents if same else None


def _well_formed(contents: Contents) -> bool:
    texts = (contents.model, contents.previous, contents.run_id, contents.experiment_id, contents.public_key)
    numbers = (contents.sequence, contents.started_ms)
    return (
        contents.format == FORMAT
        and contents.kind in KINDS
        and all(isinstance(text, str) for text in texts)
        and all(type(number) is int and number > 0 for number in numbers)
        and all(_texts(names) for names in (contents.facts, contents.files))
    )


def _texts(names: Any) -> bool:
    return isinstance(names, dict) and all(isinstance(value, str) for value in names.values())


def chain_id(model: str) -> str:
    """What a search for a model's records asks for: a name may hold quotes, which MLflow's searches cannot."""
    return bytes_digest(model.encode())[:32]


def parameters(contents: Contents) -> dict[str, str]:
    """The run's parameters that repeat the record; MLflow lets nobody change them."""
    chain = {"chain.id": chain_id(contents.model), "chain.sequence": str(contents.sequence), "chain.previous": contents.previous or "none"}
    return chain | {f"{contents.kind}.{fact}": value for fact, value in contents.facts.items()}


def shown_tags(contents: Contents) -> dict[str, str]:
    """The run's tags that repeat the record; its owner can change them."""
    shown = {f"qbias.{fact}": contents.facts[fact] for fact in SHOWN if fact in contents.facts}
    return {"qbias.model": contents.model, **shown}


def contradictions(contents: Contents, *, run: Mapping[str, Any], params: Mapping[str, str], tags: Mapping[str, str]) -> Iterator[str]:
    """Each way in which a run disagrees with its record, in words.

    Parameters
    ----------
    run : what the run is, by the names of the record's own fields (`run_id`, `experiment_id`, `started_ms`, `model`).
    params, tags : the run's.
    """
    for name, value in run.items():
        if getattr(contents, name) != value:
            yield f"{name} is {value!r}, its record says {getattr(contents, name)!r}"
    expected = parameters(contents)
    for name in sorted({*expected, *(name for name in params if name.partition(".")[0] in (*KINDS, "chain"))}):
        if params.get(name) != expected.get(name):
            yield f"parameter {name} is {params.get(name)!r}, its record says {expected.get(name)!r}"
    repeated = {**shown_tags(contents), KIND_TAG: contents.kind, DIGEST_TAG: bytes_digest(written(contents))}
    for name, value in repeated.items():
        if tags.get(name) != value:
            yield f"tag {name} is {tags.get(name)!r}, its record says {value!r}"
