"""Cards: a version of a registered model as the rest of the project sees it, found by URI or listed.

A version's own number is unknown until MLflow has created it, so a baseline carries the tag `qbias.baseline_version` = "self"; its card
gives the number. Everything else reads cards, never tags.

A version made by MLflow's `copy_model_version` has another version as its source (`models:/<name>/<version>`). It holds the same files, so
its card is the one of its origin: what is on record about the origin holds for it, and it never stands beside it as a second candidate.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlflow import MlflowClient, MlflowException
from mlflow.entities.model_registry import ModelVersion, RegisteredModel

from qbias.tables import pick

SELF = "self"
PREFIX = "models:/"
PAGE = 1000
COPIED = re.compile(r"models:/([^/@]+)/(\d+)")
"""The source of a version that is a copy; one that `register` made has a logged model, `models:/m-...`."""


@dataclass(frozen=True)
class VersionCard:
    """One version of a registered model that this project made.

    Attributes
    ----------
    name, version, uri : where it is: `models:/<name>/<version>`. model_id : its logged model.
    quantizer : row of QUANTIZERS. baseline_version : the version it is to be paired with (its own number for a baseline).
    weights_sha256 : of the stored weights. content : digest of all that the version was made from.
    source, size : of the model row. registered_by : who registered it, as the client said; "" where nothing is known.
    """

    name: str
    version: str
    quantizer: str
    baseline_version: str
    weights_sha256: str
    content: str
    uri: str
    model_id: str
    source: str
    size: str
    registered_by: str = ""


def version_card(uri: str) -> VersionCard:
    """The card of `models:/name/version` or `models:/name@alias`; of a copy, that of its origin.

    Raises
    ------
    ValueError
        If the name, version or alias is unknown (the message lists what exists), the version was not made by `register`, or it is a copy
        of a version that is gone.
    """
    card = find_card(uri)
    if card is None:
        raise ValueError(f"{uri!r} is not a version that 'register' made: give models:/<name>/<version> or models:/<name>@<alias>")
    return card


def find_card(uri: str) -> VersionCard | None:
    """As `version_card`, but None where the URI is of another form or names a version that is not ours.

    Raises
    ------
    ValueError
        If a name, version or alias is unknown; the message lists what exists.
    """
    name, mark, which = _split(uri)
    if not mark:
        return None
    models = {model.name: model for model in registered_models()}
    if not models:
        raise ValueError(f"{uri!r}: no model is registered yet: run the verb 'register' first")
    aliases: Mapping[str, str] = pick(models, name, what="registered model").aliases
    versions = {str(version.version): version for version in _versions(name)}
    if which == "latest" and mark == "/" and versions:
        which = str(max(map(int, versions)))
    number = str(aliases[which]) if mark == "@" and which in aliases else which
    if number not in versions or (mark == "@" and which not in aliases):
        said = ", ".join(sorted(versions, key=int)) or "none"
        named = ", ".join(f"@{alias} (version {version})" for alias, version in sorted(aliases.items())) or "none"
        raise ValueError(f"{uri!r} does not exist; versions of {name}: {said}; aliases: {named}")
    origin = origin_of(versions[number])
    return card_of(origin) if is_ours(origin) else None


def version_cards(*, models: Sequence[str] | None = None, quantizers: Sequence[str] | None = None) -> list[VersionCard]:
    """Cards of all versions of these models in these precisions (None: all), without copies; of identical contents only the newest.

    Ordered by model name, then by version.

    Raises
    ------
    ValueError
        If a model name is unknown; the message lists those that exist.
    """
    names = model_names()
    known = {name: name for name in names}
    chosen = names if models is None else [pick(known, name, what="registered model") for name in models]
    cards = [card for name in chosen for card in cards_of(name)]
    newest = {(card.name, card.content): card for card in cards}
    return [card for card in cards if newest[card.name, card.content] is card and (quantizers is None or card.quantizer in quantizers)]


def _split(uri: str) -> tuple[str, str, str]:
    """`models:/name@alias` -> (name, "@", alias), `models:/name/version` -> (name, "/", version), anything else -> ("", "", "")."""
    rest = uri.removeprefix(PREFIX)
    if rest == uri:
        return "", "", ""
    name, mark, which = rest.partition("/") if "/" in rest else rest.partition("@")
    return (name, mark, which) if name and which else ("", "", "")


def cards_of(name: str) -> Iterator[VersionCard]:
    """Cards of a registered model's versions that are ours and no copies, in the order of their numbers."""
    for version in versions_of(name):
        if is_ours(version) and version.status == "READY" and not copied_from(version):
            yield card_of(version)


def versions_of(name: str) -> list[ModelVersion]:
    """All versions of a registered model, by number; none for a name that is not registered."""
    return sorted(_versions(name), key=lambda version: int(version.version))


def registered_models() -> list[RegisteredModel]:
    """All registered models, whoever made them, by name."""
    client = MlflowClient()
    found = _paged(lambda token: client.search_registered_models(max_results=PAGE, page_token=token))
    return sorted(found, key=lambda model: model.name)


def model_names() -> list[str]:
    """The names of all registered models, sorted."""
    return [model.name for model in registered_models()]


def copied_from(version: ModelVersion) -> tuple[str, str] | None:
    """Name and number of the version that this one is a copy of; None for an original."""
    found = COPIED.fullmatch(str(version.source or ""))
    return (found[1], found[2]) if found else None


def origin_of(version: ModelVersion) -> ModelVersion:
    """The version that was registered: the end of the line of copies.

    Raises
    ------
    ValueError
        If a version on the way is gone, or the line leads back to itself.
    """
    seen = [f"{PREFIX}{version.name}/{version.version}"]
    while source := copied_from(version):
        uri = f"{PREFIX}{source[0]}/{source[1]}"
        if uri in seen:
            raise ValueError(f"{seen[0]} is a copy of itself ({' <- '.join([*seen, uri])}): the registry was altered")
        try:
            version = MlflowClient().get_model_version(*source)
        except MlflowException as error:
            raise ValueError(f"{seen[0]} is a copy of {uri}, which cannot be read: {error}") from error
        seen.append(uri)
    return version


def _versions(name: str) -> list[ModelVersion]:
    client = MlflowClient()
    quoted = name.replace("'", "''")
    return list(_paged(lambda token: client.search_model_versions(f"name='{quoted}'", max_results=PAGE, page_token=token)))


def _paged(search: Callable[[str | None], Any]) -> Iterator[Any]:
    """All results of one of MLflow's searches, page after page."""
    token: str | None = None
    while True:
        page = search(token)
        yield from page
        token = page.token
        if not token:
            return


def is_ours(version: ModelVersion) -> bool:
    """Whether `register` made this version, or it is a copy of one that it made."""
    return "qbias.content" in version.tags and version.tags.get("qbias.quantizer") is not None


def card_of(version: ModelVersion) -> VersionCard:
    """The card of one of our versions, as MLflow gives it."""
    number, tags = str(version.version), version.tags
    baseline = tags.get("qbias.baseline_version", SELF)
    return VersionCard(
        name=version.name,
        version=number,
        quantizer=tags["qbias.quantizer"],
        baseline_version=number if baseline == SELF else baseline,
        weights_sha256=tags.get("qbias.weights_sha256", ""),
        content=tags["qbias.content"],
        uri=f"{PREFIX}{version.name}/{number}",
        model_id=_model_id(version),
        source=tags.get("qbias.source", ""),
        size=tags.get("qbias.size", ""),
        registered_by=tags.get("qbias.registered_by", ""),
    )


def _model_id(version: ModelVersion) -> str:
    """The version's logged model; MLflow's SQL store keeps it only as the version's source, `models:/m-...`."""
    source = str(version.source or "")
    return version.model_id or (source.removeprefix(PREFIX) if source.startswith(f"{PREFIX}m-") else "")
