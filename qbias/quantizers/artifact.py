"""The folder of one quantized model: what is in it, that it is whole, and nothing about how it was made.

`qbias.json` names every other file with its sha256. A folder with a changed, missing or additional file is refused: an extra
`adapter_config.json` alone would change what transformers loads.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qbias.digests import folder_digests, json_digest, mapping_digest
from qbias.encoder import Preprocessing

FORMAT = 1
"""Raise this when the meaning of the files or the code that reads them changes: it is part of every version's content digest."""
CARD = "qbias.json"
CONFIG = "config.json"
WEIGHTS = (".safetensors", ".onnx")


@dataclass(frozen=True)
class Coverage:
    """How much of a model a quantizer reached.

    Attributes
    ----------
    quantized, total : linear layers quantized, and all of them (for an ONNX graph: products with a constant matrix).
    parameters_quantized, parameters_total : entries of the quantized matrices, and all parameters of the model.
    kept_float : names of the linear layers that stay in float.
    """

    quantized: int
    total: int
    parameters_quantized: int
    parameters_total: int
    kept_float: tuple[str, ...]


@dataclass(frozen=True)
class Card:
    """The content of qbias.json."""

    quantizer: str
    settings: Mapping[str, Any]
    preprocessing: Preprocessing
    context_length: int
    coverage: Coverage
    libraries: Mapping[str, str]
    files: Mapping[str, str]
    format: int = FORMAT


def write_card(folder: Path, card: Card) -> None:
    """Write qbias.json beside the files that `card.files` lists."""
    (folder / CARD).write_text(json.dumps(asdict(card), indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_card(folder: Path) -> Card:
    """The card of `folder`, after every file was found to be the one that was written.

    Raises
    ------
    ValueError
        If there is no card, its format is another one, or a file is changed, missing or additional; the message names it.
    """
    raw = _raw_card(folder)
    if raw.get("format") != FORMAT:
        raise ValueError(f"{folder / CARD} has format {raw.get('format')}, this code reads {FORMAT}: register the version again")
    try:
        card = _card(raw)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{folder / CARD} is damaged ({error!r}): register the version again") from error
    _check_files(folder, card.files)
    return card


def _raw_card(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / CARD).read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise ValueError(f"{folder} has no {CARD}: it was not written by a quantizer of this project") from None
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{folder / CARD} is damaged ({error}): register the version again") from error


def _card(raw: Mapping[str, Any]) -> Card:
    """The card of its JSON, where tuples have become lists."""
    values = dict(raw)
    seen, covered = values["preprocessing"], values["coverage"]
    values["preprocessing"] = Preprocessing(seen["resolution"], tuple(seen["mean"]), tuple(seen["std"]))
    values["coverage"] = Coverage(**{**covered, "kept_float": tuple(covered["kept_float"])})
    values["files"] = dict(values["files"])
    return Card(**values)


def _check_files(folder: Path, listed: Mapping[str, str]) -> None:
    found = {name: digest for name, digest in folder_digests(folder).items() if name != CARD}
    faults = {name: "is missing" for name in listed.keys() - found.keys()}
    faults |= {name: "was not written with it" for name in found.keys() - listed.keys()}
    faults |= {name: "has changed" for name in listed.keys() & found.keys() if listed[name] != found[name]}
    if faults:
        said = "; ".join(f"{name} {fault}" for name, fault in sorted(faults.items()))
        raise ValueError(f"{folder} is not the model that was registered: {said}. Register the version again")


def weights_sha256(folder: Path) -> str:
    """One digest over the weight files and config.json of a model folder.

    The version of transformers that wrote config.json does not count, so equal weights keep their digest across its releases.
    """
    digests = {name: digest for name, digest in folder_digests(folder).items() if name.endswith(WEIGHTS)}
    config: dict[str, Any] = json.loads((folder / CONFIG).read_text())
    return mapping_digest(digests | {CONFIG: json_digest({k: v for k, v in config.items() if k != "transformers_version"})})
