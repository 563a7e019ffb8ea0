"""The production model: where the aliases that people load stand, which policy rules, and how far the chain had come.

Candidates are registered under `<name>`. Production is `<name>-prod`, which only promoters may change, or `<name>` itself where one
user does everything. What rules stands in tags of the production model, because registrars cannot edit those: the policy's digest, the
head of the chain at the last move, and which experiments' records counted before the policy changed.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from mlflow import MlflowClient, MlflowException
from mlflow.entities.model_registry import ModelVersion, RegisteredModel

from qbias.tables import pick
from registry.cards import PREFIX, VersionCard, copied_from, versions_of
from registry.chain import Record, records_of
from registry.policies import policies, policy_named
from registry.policy import Policy, policy_from
from registry.runs import artifact
from registry.slot import Busy
from registry.weights import VersionFiles, files_of

SUFFIX = "-prod"
MODES = {"prod": "prod", "same": "same"}
CANDIDATE, POLICY, POLICY_DIGEST, CHAIN, EXPERIMENTS = (
    "qbias.candidate", "qbias.policy", "qbias.policy_digest", "qbias.chain", "qbias.experiments",
)  # fmt: skip
POLICY_FILE, NEXT_POLICY_FILE = "policy.json", "next_policy.json"
"""In a record: the policy that it was made under, and the one that rules after it."""


@dataclass(frozen=True)
class Pin:
    """What stands on a production model.

    Attributes
    ----------
    production, candidate : the production model, and the registered model whose versions it serves.
    policy, policy_digest : the policy that rules. length, digest : the head of the chain at the last move.
    experiments : in which records counted under earlier policies, beside those of this one.
    """

    production: str
    candidate: str
    policy: str
    policy_digest: str
    length: int
    digest: str
    experiments: frozenset[str]


def production_name(name: str, mode: str) -> str:
    """Where versions of `name` are promoted to: `prod` is `<name>-prod`, `same` the model itself.

    Raises
    ------
    ValueError
        If the mode is another word.
    """
    pick(MODES, mode, what="production")
    return name if mode == "same" else f"{name}{SUFFIX}"


def registered(name: str) -> RegisteredModel | None:
    """The registered model of this name; None where there is none."""
    try:
        return MlflowClient().get_registered_model(name)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise


def pin_of(production: str) -> Pin | None:
    """What stands on a registered model as a production model; None where it is none."""
    model = registered(production)
    tags = model.tags if model else {}
    if CANDIDATE not in tags and POLICY_DIGEST not in tags:
        return None
    length, _, digest = tags.get(CHAIN, "").partition(" ")
    return Pin(
        production=production,
        candidate=tags.get(CANDIDATE, production.removesuffix(SUFFIX)),
        policy=tags.get(POLICY, ""),
        policy_digest=tags.get(POLICY_DIGEST, ""),
        length=int(length) if length.isdecimal() else 0,
        digest=digest,
        experiments=frozenset(re.findall(r"\d+", tags.get(EXPERIMENTS, ""))),
    )


def pin_for(name: str) -> Pin | None:
    """What rules for the candidates of `name`; None before the first promotion.

    That is what stands on `<name>-prod`, and on `<name>` only where there is no such model, as whoever registers candidates may edit it.
    """
    production = f"{name}{SUFFIX}"
    pin = pin_of(production)
    if pin and pin.candidate == name:
        return pin
    if pin is None and registered(production) and not _foreign(name, production):
        return None
    own = pin_of(name)
    return own if own and own.candidate == name else None


def _foreign(name: str, production: str) -> list[str]:
    """The versions of a model that are no copies of versions of `name`."""
    return [str(version.version) for version in versions_of(production) if (copied_from(version) or ("", ""))[0] != name]


def check_unchanged(name: str, pin: Pin | None) -> None:
    """Refuse to go on where what stands on the production model has changed since it was read; call it within the slot.

    Raises
    ------
    Busy
        If it has.
    """
    if pin_for(name) != pin:
        raise Busy(f"what stands on the production model of {name!r} was changed at this moment: run the same command again")


def trusted_experiments(policy: Policy, pin: Pin | None) -> frozenset[str] | None:
    """The experiments whose records count; None: all."""
    own = policy.trusted_experiments()
    return None if own is None else own | (pin.experiments if pin else frozenset())


def ruling_policy(name: str, given: Policy | None = None) -> Policy:
    """The policy that rules for the candidates of `name`: the production model's, before the first promotion the one given, or `default`.

    Raises
    ------
    ValueError
        If another one is given than the production model names, or that one is found neither here nor in a record.
    """
    pin = pin_for(name)
    if pin is None:
        return given or policies()["default"]
    if given is not None and given.digest() != pin.policy_digest:
        raise ValueError(
            f"policy {given.name!r} ({given.digest()[:12]}) does not rule for {name!r}: its production model {pin.production!r} names "
            f"{pin.policy!r} ({pin.policy_digest[:12]}). Leave policy out; a promoter changes it with 'promote -P repin=true -P reason=...'"
        )
    return given or pinned_policy(pin)


def pinned_policy(pin: Pin) -> Policy:
    """The policy that a production model names, as it stands here or as a record holds it.

    Raises
    ------
    ValueError
        If it is found nowhere.
    """
    try:
        return policy_named(pin.policy_digest)
    except ValueError as error:
        for record in reversed(records_of(pin.candidate)):
            if held := policy_in(record, pin.policy_digest):
                return held
        raise ValueError(
            f"{pin.production!r} names policy {pin.policy!r} ({pin.policy_digest[:12]}), which is neither here nor in a record: give the "
            "path of its YAML file as policy=..., or change the policy with 'promote -P repin=true -P reason=...'"
        ) from error


def policy_in(record: Record, digest: str) -> Policy | None:
    """The policy with this digest as a record holds it; None where it does not, or it cannot be read."""
    for path in (POLICY_FILE, NEXT_POLICY_FILE):
        if path not in record.files:
            continue
        try:
            with artifact(MlflowClient().get_run(record.run_id), path) as file:
                held = policy_from(json.loads(file.read_bytes()), where=path)
        except (MlflowException, OSError, ValueError, RecursionError):
            continue
        if held.digest() == digest:
            return held
    return None


def check_production(name: str, production: str) -> None:
    """Refuse a production model that is not for the candidates of `name`.

    Raises
    ------
    ValueError
        If another production model already serves `name`, or this one serves another model or holds versions of another origin.
    """
    pin, own = pin_for(name), pin_of(production)
    if pin and pin.production != production:
        raise ValueError(
            f"{name!r} is promoted to {pin.production!r}, where its policy stands, and not to {production!r}: change production="
        )
    if own and own.candidate != name:
        raise ValueError(f"{production!r} serves {own.candidate!r}, not {name!r}: register the candidate under another name")
    if own is None and production != name and (odd := _foreign(name, production)):
        raise ValueError(f"{production!r} holds version {odd[0]}, which is no copy of a version of {name!r}: rename that model")


def in_production(card: VersionCard, production: str, files: VersionFiles) -> str:
    """The number under which a version stands in the production model; it is copied there unless an intact copy exists.

    Raises
    ------
    ValueError
        If the copy's files are not the version's.
    """
    if production == card.name:
        return card.version
    for version in reversed(versions_of(production)):
        if copied_from(version) == (card.name, card.version) and _same_files(version, files):
            return str(version.version)
    made = MlflowClient().copy_model_version(f"{PREFIX}{card.name}/{card.version}", production)
    if not _same_files(made, files):
        raise ValueError(f"{production} version {made.version} was copied from {card.uri} and has other files: look at the artifact store")
    return str(made.version)


def _same_files(version: ModelVersion, files: VersionFiles) -> bool:
    try:
        return bool(version.status == "READY") and files_of(version.name, str(version.version)) == files
    except ValueError:
        return False


def pin_tags(name: str, policy: Policy, head: tuple[int, str], records: Sequence[Record], before: Pin | None) -> dict[str, str]:
    """What is to stand on the production model after a move.

    Parameters
    ----------
    name : the candidates' model. policy : the one that rules from now on. head : length and digest of the chain.
    records : the whole chain. before : what stood there.
    """
    own = policy.trusted_experiments()
    earlier = {record.experiment_id for record in records} | (before.experiments if before else frozenset())
    kept = [] if own is None else sorted(earlier - own, key=int)
    return {
        POLICY_DIGEST: policy.digest(), POLICY: policy.name, CANDIDATE: name, CHAIN: f"{head[0]} {head[1]}",
        EXPERIMENTS: ",".join(kept) or "none",
    }  # fmt: skip
