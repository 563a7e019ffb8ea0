"""Finding, fetching and reading open_clip checkpoints. Only `weights_only` loading: no pickled code runs."""

import os
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qbias.store import cache_root
from qbias.weights import reason

if TYPE_CHECKING:
    from torch import Tensor

SUFFIXES = (".safetensors", ".bin", ".pt", ".pth")
# Facts and buffers that TorchScript archives and old checkpoints keep among the weights.
NOT_WEIGHTS = {"input_resolution", "context_length", "vocab_size", "attn_mask"}


class Unreachable(ValueError):
    """A checkpoint that could not be downloaded; the message says how to place it by hand."""


def placed(name: str) -> Path | None:
    """The checkpoint that the user put by hand into the cache as `checkpoints/<name>` with one of the suffixes."""
    files = [cache_root() / "checkpoints" / (name + suffix) for suffix in SUFFIXES]
    return next((checkpoint_file(file) for file in files if file.exists()), None)


def local_checkpoint(tag: str) -> Path | None:
    """The file that `tag` names, None for a tag: tags have neither folder nor suffix, so the two cannot be confused.

    Raises
    ------
    ValueError
        If it is written as a file but is none.
    """
    file = Path(tag).expanduser()
    return checkpoint_file(file) if file.name != tag or file.suffix in SUFFIXES else None


def checkpoint_file(file: Path) -> Path:
    """`file` itself, if it can be a checkpoint by its name.

    Raises
    ------
    ValueError
        If it does not exist, is a folder, or has another suffix; each with its remedy.
    """
    if file.is_dir():
        raise ValueError(f"{file} is a folder: give the checkpoint file itself; a transformers CLIP folder is given as model={file}")
    if not file.is_file():
        raise ValueError(f"there is no file {file}: give the path of a checkpoint ending in {', '.join(SUFFIXES)}")
    if file.suffix not in SUFFIXES:
        raise ValueError(f"{file} ends in none of {', '.join(SUFFIXES)}: give an open_clip checkpoint, named by its format")
    return file


def tag_facts(architecture: str, tag_or_checkpoint: str, *, quick_gelu: bool) -> Mapping[str, Any]:
    """What open_clip knows of a tag (mean, std, home ...); nothing for a checkpoint file. Downloads nothing.

    Raises
    ------
    ValueError
        If it is neither a tag of the architecture nor a file, or the tag needs another activation or resizing than the
        architecture and `CLIPModel` folders have.
    """
    from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model

    if local_checkpoint(tag_or_checkpoint):
        return {}
    facts: Mapping[str, Any] = get_pretrained_cfg(architecture, tag_or_checkpoint)
    if not facts:
        tags = ", ".join(list_pretrained_tags_by_model(architecture)) or "none"
        known = f"nor a file ending in {', '.join(SUFFIXES)}. Tags: {tags}"
        raise ValueError(f"{tag_or_checkpoint!r} is neither a tag of {architecture} {known}")
    _check_tag(architecture, tag_or_checkpoint, facts, quick_gelu)
    return facts


def fetch(architecture: str, tag_or_checkpoint: str, facts: Mapping[str, Any]) -> Path:
    """The checkpoint file: the user's own, or the tag's from open_clip's cache, or downloaded by open_clip.

    Raises
    ------
    Unreachable
        If it cannot be downloaded; the message says how to place the file by hand.
    """
    from open_clip.pretrained import download_pretrained

    if file := local_checkpoint(tag_or_checkpoint):
        return file
    home = facts.get("hf_hub") or facts.get("url")
    if os.environ.get("QBIAS_OFFLINE"):
        raise Unreachable(f"QBIAS_OFFLINE is set, so the weights of {architecture} are not looked for at {home}: unset it")
    try:
        return Path(download_pretrained(dict(facts)))
    except Exception as error:  # hub, URL and disk errors share no base class, and each has the same remedy
        raise Unreachable(
            f"could not download the weights of {architecture} from {home} ({reason(error)}). If they "
            "are gated, accept their terms and log in; or fetch the file on another machine and give it as "
            f"model=open_clip:{architecture}:/path/to/checkpoint.safetensors"
        ) from error


def _check_tag(architecture: str, tag: str, facts: Mapping[str, Any], quick_gelu: bool) -> None:
    """open_clip only warns of a wrong activation; the embeddings would be silently worse."""
    if bool(facts.get("quick_gelu")) != quick_gelu:
        right = architecture.removesuffix("-quickgelu") if quick_gelu else f"{architecture}-quickgelu"
        trained = "gelu" if quick_gelu else "quick_gelu"
        raise ValueError(f"tag {tag!r} was trained with {trained}, unlike {architecture}: name {right} instead")
    if (facts["interpolation"], facts["resize_mode"]) != ("bicubic", "shortest"):
        raise ValueError(
            f"tag {tag!r} of {architecture} resizes by {facts['interpolation']}, {facts['resize_mode']}: only bicubic "
            "resizing of the shortest side with a centre crop is supported"
        )


def read_checkpoint(file: Path) -> dict[str, "Tensor"]:
    """The checkpoint's tensors by open_clip name, mapped from disk rather than read where the format allows it.

    Raises
    ------
    ValueError
        If the file is empty, damaged, holds pickled objects other than tensors, or no table of tensors.
    """
    import torch

    if not file.stat().st_size:
        raise ValueError(f"{file} is empty: delete it and fetch it again")
    try:
        content = _content(file)
    except Exception as error:  # damaged bytes can fail anywhere in zip, pickle and tensor code
        if "Unsupported global" in str(error):
            raise ValueError(f"{file} holds pickled code, which is never run: save its state_dict() alone, as safetensors") from error
        # What torch says after its first sentence is how to load the file all the same, with its code.
        said = f"is truncated, damaged or not a table of tensors ({reason(error).split('. ')[0]})"
        raise ValueError(f"{file} {said}: delete it and fetch it again") from error
    tensors = content.get("state_dict", content) if isinstance(content, Mapping) else {}
    kept = {name.removeprefix("module."): value for name, value in tensors.items() if isinstance(value, torch.Tensor)}
    if not kept:
        raise ValueError(f"{file} holds no tensors by name: give an open_clip checkpoint")
    return {name: tensor for name, tensor in kept.items() if name not in NOT_WEIGHTS}


def _content(file: Path) -> Any:
    """What the file holds, by its format."""
    import torch
    from safetensors.torch import load_file

    if file.suffix == ".safetensors":
        return load_file(file)
    if not zipfile.is_zipfile(file):
        return torch.load(file, map_location="cpu", weights_only=True)
    with zipfile.ZipFile(file) as archive:
        scripted = any(name.endswith("/constants.pkl") for name in archive.namelist())
    if scripted:
        with warnings.catch_warnings():  # deprecated, but OpenAI's own files have this form
            warnings.simplefilter("ignore", FutureWarning)
            return torch.jit.load(file, map_location="cpu").state_dict()  # type: ignore[no-untyped-call]
    return torch.load(file, map_location="cpu", weights_only=True, mmap=True)
