"""Who signs a record, and how that is known: by an experiment that only one person can write, by a key, or not at all.

What a run says about its user is what the client says, so it counts for nothing here. A policy that lists people ties each to an
experiment of their own, and MLflow's permissions see to it that nobody else writes there; a key ties the record to a person even where
an administrator can write everything. A policy without a list checks nobody, and every record made under it says so.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mlflow.entities import Run

from qbias.tables import pick
from registry.cards import VersionCard
from registry.chain import Record
from registry.people import Signer
from registry.policy import Policy
from registry.runs import user_of
from registry.signing import key_parts, public_key_of

Kind = Literal["review", "promotion", "rollback"]
ROLE: dict[str, str] = {"review": "reviewer", "promotion": "promoter", "rollback": "promoter"}


@dataclass(frozen=True)
class Identity:
    """Who signs: the name as it stands in the record, and in words how it was established."""

    name: str
    how: str


def identity_of(policy: Policy, kind: Kind, *, name: str, run: Run, signing_key: Path | None) -> Identity:
    """Who is about to write a record of this kind into this run.

    Parameters
    ----------
    policy : lists who may, or nobody. kind : of the record.
    name : as the person gives it; "" takes the listed person whose experiment the run is in, or without a list the run's user.
    run : the active run. signing_key : the file of the key that the record will be signed with.

    Raises
    ------
    ValueError
        If the policy lists people and this is none of them, no longer active, in another's experiment, or without the key.
    """
    people, role = policy.people(kind), ROLE[kind]
    if not people:
        return Identity(name or user_of(run) or "not named", f"not checked: policy {policy.name!r} lists no {role}s, so anyone may sign")
    entry = _entry(people, role, name, run.info.experiment_id)
    if not entry.active:
        raise ValueError(f"{role} {entry.name!r} is no longer active under policy {policy.name!r}: another {role} has to sign")
    if run.info.experiment_id != entry.experiment_id:
        raise ValueError(
            f"this run is in experiment {run.info.experiment_id}, and {role} {entry.name!r} signs in experiment {entry.experiment_id}, "
            f"which nobody else can write: add '--experiment-id {entry.experiment_id}' to 'mlflow run', or set MLFLOW_EXPERIMENT_ID"
        )
    if not entry.key:
        return Identity(
            entry.name, f"by permission to write experiment {entry.experiment_id}, which the policy names as {entry.name}'s own"
        )
    if signing_key is None:
        raise ValueError(f"{role} {entry.name!r} signs with a key under policy {policy.name!r}: pass -P signing_key=~/.ssh/id_ed25519")
    if key_parts(public_key_of(signing_key)) != key_parts(entry.key):
        raise ValueError(f"signing_key={str(signing_key)!r} is not the key that policy {policy.name!r} lists for {entry.name!r}")
    return Identity(entry.name, f"by SSH signature with the key that the policy lists, in experiment {entry.experiment_id}")


def _entry(people: Sequence[Signer], role: str, name: str, experiment_id: str) -> Signer:
    """The listed person of this name, in any spelling; without a name the one whose experiment this is."""
    if not name:
        own = [entry for entry in people if entry.experiment_id == experiment_id]
        if not own:
            listed = ", ".join(f"{entry.name} ({entry.experiment_id})" for entry in people if entry.active)
            raise ValueError(f"experiment {experiment_id} is no {role}'s: run it in that of one of {listed} ('--experiment-id ...')")
        return own[0]
    listed_by = {person(entry.name): entry for entry in people}
    return listed_by[person(name)] if person(name) in listed_by else pick({entry.name: entry for entry in people}, name, what=role)


def record_fault(record: Record, policy: Policy) -> str:
    """Why a record is not by the person that it names; "" if it is, or if the policy lists nobody."""
    people, role = policy.people(record.kind), ROLE[record.kind]  # type: ignore[arg-type]
    name = record.facts.get(role, "")
    entry = {person(row.name): row for row in people}.get(person(name))
    if not people:
        return ""
    if entry is None:
        return f"{name!r} is on the list of no {role}s of policy {policy.name!r}"
    if record.experiment_id != entry.experiment_id:
        return f"it was written in experiment {record.experiment_id}, not in {entry.experiment_id}, which is {entry.name!r}'s"
    if entry.key and (not record.signed_by_key or key_parts(record.public_key) != key_parts(entry.key)):
        return f"it is not signed with the key that policy {policy.name!r} lists for {entry.name!r}"
    return ""


def registrar_fault(policy: Policy, card: VersionCard, name: str) -> str:
    """Why this reviewer cannot decide on this version, because of who registered it; "" if they can, or if nobody is listed."""
    people = policy.people("review")
    if not people:
        return ""
    who = f"{card.name} version {card.version}"
    if not card.registered_by:
        return f"who registered {who} is not known (it has no tag qbias.registered_by), and nobody may review what they registered"
    listed = [entry for entry in people if person(entry.name) == person(name)]
    names = {person(name), *(person(entry.user) for entry in listed if entry.user)}
    return (
        f"{name!r} registered {who} (as {card.registered_by!r}): another person has to review it"
        if person(card.registered_by) in names
        else ""
    )


def person(name: str) -> str:
    """One spelling per name, so that `Ada ` and `ada` are one person."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())
