"""Checks of a baseline's folder before anything is made of it: whole files, the tensors of its config, finite numbers.

transformers itself draws what is missing at random, drops what is too much and computes with NaN, all without an error.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qbias.encoder import Preprocessing
from qbias.quantizers.artifact import CONFIG
from qbias.quantizers.torch_encoder import empty_clip

if TYPE_CHECKING:
    import torch

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
FILES = (CONFIG, "preprocessor_config.json")
OLD = ("text_model.embeddings.position_ids", "vision_model.embeddings.position_ids")
"""Counters that transformers once stored among the weights and now makes itself."""


def check_baseline(folder: Path) -> None:
    """Refuse a folder that is not a whole transformers CLIPModel in float. Reads every weight once, tensor by tensor.

    Raises
    ------
    ValueError
        If a file is missing or damaged, config.json describes no CLIPModel, or the weights are not exactly the tensors that it
        describes, in float and finite; the message names the first offender.
    """
    missing = [name for name in FILES if not (folder / name).is_file()]
    missing += [] if (folder / WEIGHTS).is_file() or (folder / INDEX).is_file() else [WEIGHTS]
    if missing:
        raise ValueError(f"{folder} is not a transformers CLIPModel folder: {', '.join(missing)} missing")
    _check_config(folder / CONFIG)
    expected = _expected(folder)
    seen: set[str] = set()
    for file in _weight_files(folder):
        seen |= _check_weights(file, expected)
    if absent := [name for name in expected if name not in seen]:
        raise ValueError(
            f"{folder}: the weights lack {_first(absent)}, which {CONFIG} describes: transformers would draw it at random. "
            "Fetch weights and config again, from one place"
        )


def check_resolution(folder: Path, preprocessing: Preprocessing) -> None:
    """Refuse a folder whose preprocessing makes images of another size than its model takes.

    Raises
    ------
    ValueError
        If the two differ.
    """
    side = int(empty_clip(folder).config.vision_config.image_size)
    if side != preprocessing.resolution:
        raise ValueError(
            f"{folder / 'preprocessor_config.json'} makes squares of {preprocessing.resolution} pixels, {CONFIG} has image_size {side}: "
            "they must be equal"
        )


def _check_config(file: Path) -> None:
    config = _json_object(file)
    kind = config.get("model_type")
    if kind != "clip":
        raise ValueError(f"{file} has model_type {kind!r}; a baseline needs 'clip': convert it to a CLIPModel first")
    if "quantization_config" in config:
        raise ValueError(f"{file} has a quantization_config: a baseline needs float weights, so give the model it was made from")


def _json_object(file: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} is not valid JSON ({error}): fetch it again") from error
    if not isinstance(content, dict):
        raise ValueError(f"{file} holds no JSON object: fetch it again")
    return content


def _expected(folder: Path) -> "dict[str, torch.Size]":
    """Name and shape of every tensor that config.json describes."""
    try:
        return {name: tensor.shape for name, tensor in empty_clip(folder).state_dict().items()}
    except Exception as error:  # transformers checks little: a wrong value ends in whatever error its use happens to raise
        raise ValueError(f"{folder / CONFIG} describes no CLIPModel ({type(error).__name__}: {error}): fetch it again") from error


def _weight_files(folder: Path) -> list[Path]:
    """The files that transformers reads: one, or the shards that an index names."""
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    table = _json_object(folder / INDEX).get("weight_map")
    if not isinstance(table, dict) or not table or not all(isinstance(name, str) for name in table.values()):
        raise ValueError(f"{folder / INDEX} has no weight_map of tensor names to files: fetch it again")
    files = [folder / name for name in dict.fromkeys(table.values())]
    if missing := [file.name for file in files if not file.is_file()]:
        raise ValueError(f"{folder}: {INDEX} names {_first(missing)}, which is missing: fetch it again")
    return files


def _check_weights(file: Path, expected: "Mapping[str, torch.Size]") -> set[str]:
    """Names of the tensors in one file, each of which has been found to be expected, in float and finite."""
    import torch

    with _opened(file) as tensors:
        names = [name for name in tensors.keys() if name not in OLD]
        if extra := [name for name in names if name not in expected]:
            raise ValueError(f"{file} holds {_first(extra)}, which {CONFIG} does not describe: fetch both again, from one place")
        for name in names:
            tensor = tensors.get_tensor(name)
            if tensor.shape != expected[name]:
                found, right = tuple(tensor.shape), tuple(expected[name])
                raise ValueError(f"{file}: tensor {name!r} has shape {found}, {CONFIG} describes {right}: fetch both again, from one place")
            if tensor.dtype not in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
                raise ValueError(f"{file}: tensor {name!r} is {tensor.dtype}, a baseline needs float weights: give the unquantized model")
            check_finite(file, name, tensor)
    return set(names)


def check_finite(file: Path, name: str, tensor: "torch.Tensor", remedy: str = "fetch the weights again") -> None:
    """Refuse a tensor with NaN or infinity; `remedy` ends the message.

    Raises
    ------
    ValueError
        If there is one; the message names file and tensor.
    """
    if bad := tensor.numel() - int(tensor.isfinite().sum()):
        raise ValueError(f"{file}: tensor {name!r} holds {bad} NaN or infinite values of {tensor.numel()}: {remedy}")


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    """A safetensors file, its tensors mapped from disk."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as tensors:
            yield tensors
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{file} is truncated or damaged ({error}): fetch it again") from error


def _first(names: list[str]) -> str:
    """The first of several names, and how many there are."""
    return repr(names[0]) if len(names) == 1 else f"{names[0]!r} and {len(names) - 1} more"
