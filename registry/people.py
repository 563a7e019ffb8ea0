"""Who may sign: the reviewers and promoters of a policy, how each is known, and how long a decision counts."""

import base64
import binascii
from collections.abc import Iterator
from typing import Annotated

from pydantic import AfterValidator, Field, StrictBool, StrictInt, StrictStr, field_validator, model_validator

from registry.schema import Entry, Line, Text, repeated

KEY_TYPES = (
    "ssh-ed25519", "sk-ssh-ed25519@openssh.com", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com", "ssh-rsa",
)  # fmt: skip


def _experiment_id(text: str) -> str:
    if not (text.isascii() and text.isdigit() and len(text) <= 40):
        raise ValueError(f"{text[:40]!r} is no experiment id: write the number that MLflow shows for the experiment, in quotes")
    return text


def _public_key(text: str) -> str:
    """Refuse what is no line of an OpenSSH public key file: type, base64 of length-prefixed fields that begin with the type, comment."""
    if "PRIVATE KEY" in text:
        raise ValueError("is a private key: nobody else may have it. Give the line of the .pub file, and make a new pair")
    words = text.split(" ")
    if "\n" in text or len(words) < 2 or words[0] not in KEY_TYPES or _fields(words[1])[:1] != [words[0].encode()]:
        raise ValueError(f"{text[:40]!r} is no OpenSSH public key: give the one line of a .pub file, which begins with {KEY_TYPES[0]}")
    return text


def _fields(blob: str) -> list[bytes]:
    """The length-prefixed fields of a key; none where it is not made of such."""
    try:
        rest = base64.b64decode(blob, validate=True)
    except (binascii.Error, ValueError):
        return []
    found = []
    while rest:
        length, rest = int.from_bytes(rest[:4]), rest[4:]
        if length > len(rest):
            return []
        found.append(rest[:length])
        rest = rest[length:]
    return found if len(found) > 1 else []


class Signer(Entry):
    """A person who may sign.

    Attributes
    ----------
    name : as it stands in records. user : the account on the MLflow server, where it differs in form from the name.
    experiment_id : the experiment that only this person can write: a record of theirs anywhere else does not count.
    key : line of an OpenSSH public key file; where it is given, every record must be signed with it.
    active : false for one who no longer may sign. What they signed before stays valid, so do not take the entry out.
    """

    name: Line
    user: Line | None = None
    experiment_id: Annotated[StrictStr, AfterValidator(_experiment_id)]
    key: Annotated[StrictStr, AfterValidator(_public_key)] | None = None
    active: StrictBool = True

    def marks(self) -> Iterator[tuple[str, str]]:
        """What nobody else may have: name in any case, account, experiment, key without its comment."""
        yield "name", self.name.casefold()
        yield "experiment_id", self.experiment_id
        if self.user is not None:
            yield "user", self.user.casefold()
        if self.key is not None:
            yield "key", " ".join(self.key.split(" ")[:2])


class SignOff(Entry):
    """How many different people must approve, for how many days that counts, and who may.

    An empty list means that anyone may: identity is then not checked, and every record says so.
    """

    approvals: Annotated[StrictInt, Field(ge=1)]
    valid_days: Annotated[StrictInt, Field(ge=1, le=36500)]
    reviewers: tuple[Signer, ...] = ()
    promoters: tuple[Signer, ...] = ()
    why: Text

    @field_validator("reviewers", "promoters")
    @classmethod
    def _nobody_twice(cls, people: tuple[Signer, ...]) -> tuple[Signer, ...]:
        marks = [f"{what} {value[:60]}" for person in people for what, value in person.marks()]
        if twice := repeated(marks):
            raise ValueError(f"{twice} stands there more than once: one entry for each person, with an experiment and a key of their own")
        return people

    @model_validator(mode="after")
    def _agrees(self) -> "SignOff":
        active = sum(person.active for person in self.reviewers)
        if self.reviewers and active < self.approvals:
            raise ValueError(f"approvals is {self.approvals}, but {active} of the reviewers is active: no approval could ever be complete")
        if self.promoters and not any(person.active for person in self.promoters):
            raise ValueError("none of the promoters is active: nothing could ever be promoted")
        owners: dict[tuple[str, str], str] = {}
        for person in (*self.reviewers, *self.promoters):
            for mark in person.marks():
                owner = owners.setdefault(mark, person.name)
                if owner.casefold() != person.name.casefold():
                    raise ValueError(f"{mark[0]} {mark[1][:60]} belongs to {owner} and to {person.name}: each could sign as the other")
        return self
