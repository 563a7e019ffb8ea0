"""ModelRow, and the rows made from what the user gives: a local folder, `open_clip:ARCH:TAG`, `hub:ORG/NAME`."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from qbias.architectures import architecture
from qbias.checkpoints import checkpoint_file, tag_facts
from qbias.convert import OPENAI_MEAN, OPENAI_STD, Triple, converted
from qbias.quantizers.baseline import INDEX, WEIGHTS, check_baseline
from qbias.weights import reason

UNKNOWN = "unknown: see the model's home"
LAYOUT = (
    "a folder as CLIPModel.save_pretrained writes it, with config.json (model_type clip), model.safetensors, "
    "tokenizer.json, preprocessor_config.json"
)


@dataclass(frozen=True)
class ModelRow:
    """One float CLIP that can be registered as a baseline.

    Attributes
    ----------
    name : the registered model's name.
    source, size : what it was trained on, and its size: the two factors of the study's design.
    architecture, tag : how open_clip calls it (of a model of one's own: what is known).
    licence, home, citation : of the weights.
    mean, std : pixel normalisation per channel.
    expected : published figures by protocol metric name; empty where there are none.
    folder : gives the local transformers folder (float weights, tokenizer, preprocessor_config.json), making it if needed.
    """

    name: str
    source: str
    size: str
    architecture: str
    tag: str
    licence: str
    home: str
    citation: str
    mean: Triple
    std: Triple
    expected: Mapping[str, float]
    folder: Callable[[], Path]


def clip_folder(folder: Path) -> Path:
    """`folder` itself, if it holds a transformers CLIP that can be registered.

    Raises
    ------
    ValueError
        If something is missing; the message lists all of it and the expected layout.
    """
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}: give {LAYOUT}")
    held = {file.name for file in folder.iterdir() if file.is_file()}
    kind = _read_json(folder / "config.json").get("model_type")
    found = {
        f"config.json whose model_type is 'clip' (found: {kind!r})": kind == "clip",
        f"weights as {WEIGHTS} (or {INDEX} and its parts)": bool({WEIGHTS, INDEX} & held),
        "tokenizer.json (or vocab.json and merges.txt)": "tokenizer.json" in held or {"vocab.json", "merges.txt"} <= held,
        "preprocessor_config.json": "preprocessor_config.json" in held,
    }
    if missing := [what for what, there in found.items() if not there]:
        raise ValueError(f"{folder} is not a transformers CLIP folder, it lacks {'; '.join(missing)}. Give {LAYOUT}")
    return folder


def folder_row(folder: Path, *, name: str, home: str, source: str = "own") -> ModelRow:
    """The row of a local transformers CLIP folder: its files are checked here and now, its weights when they are asked for."""
    vision = _read_json(clip_folder(folder) / "config.json").get("vision_config", {})
    pixels = _read_json(folder / "preprocessor_config.json")
    # transformers leaves out of config.json what equals its defaults
    size = f"{vision.get('hidden_size', 768)}-{vision.get('patch_size', 32)}"
    return ModelRow(
        name=name,
        source=source,
        size=size,
        architecture="CLIPModel",
        tag="",
        licence=UNKNOWN,
        home=home,
        citation=UNKNOWN,
        mean=_triple(pixels.get("image_mean"), OPENAI_MEAN),
        std=_triple(pixels.get("image_std"), OPENAI_STD),
        expected={},
        folder=partial(_sound_folder, folder),
    )


def _sound_folder(folder: Path) -> Path:
    """`folder`, after its weights were found to be those that its config.json describes."""
    check_baseline(clip_folder(folder))
    return folder


def open_clip_row(word: str) -> ModelRow:
    """The row of `open_clip:ARCH:TAG`, where TAG is one of open_clip's or a checkpoint file."""
    _, architecture_name, tag = [*word.split(":", 2), "", ""][:3]
    if not (architecture_name and tag):
        raise ValueError(f"{word!r} is incomplete: write open_clip:ARCH:TAG, or a checkpoint file in place of TAG")
    shape = architecture(architecture_name)
    facts = tag_facts(architecture_name, tag, quick_gelu=shape.activation == "quick_gelu")
    if not facts:
        tag = str(Path(tag).expanduser().resolve())
    name = slug(f"{architecture_name}-{tag if facts else Path(tag).stem}")
    mean, std = _triple(facts.get("mean"), OPENAI_MEAN), _triple(facts.get("std"), OPENAI_STD)
    hub = facts.get("hf_hub", "").rstrip("/")
    return ModelRow(
        name=name,
        source=tag if facts else "own",
        size=f"{shape.vision.width}-{shape.patch}",
        architecture=architecture_name,
        tag=tag,
        licence=UNKNOWN,
        home=f"https://huggingface.co/{hub}" if hub else facts.get("url", tag),
        citation=UNKNOWN,
        mean=mean,
        std=std,
        expected={},
        folder=partial(converted, name, architecture_name, tag, mean=mean, std=std),
    )


def checkpoint_row(name: str, checkpoint: str) -> ModelRow:
    """The row of a local open_clip checkpoint of the architecture called `name`.

    Raises
    ------
    ValueError
        If open_clip has no such architecture, it has no converter, or the checkpoint is no file of a known format.
    """
    architecture_name = name.removeprefix("open_clip:")
    architecture(architecture_name)
    return open_clip_row(f"open_clip:{architecture_name}:{checkpoint_file(Path(checkpoint).expanduser()).resolve()}")


def hub_row(word: str) -> ModelRow:
    """The row of `hub:ORG/NAME[@REVISION]`, a transformers CLIP on the hub, downloaded here if it is not in the hub's cache.

    Raises
    ------
    ValueError
        If it cannot be downloaded (the message says how to place it by hand) or is not a transformers CLIP.
    """
    from huggingface_hub import snapshot_download

    repository, _, revision = word.removeprefix("hub:").partition("@")
    patterns = ["*.json", "merges.txt", "model*.safetensors"]
    try:
        folder = Path(snapshot_download(repository, revision=revision or None, allow_patterns=patterns))
    except Exception as error:  # hub, network and disk errors share no base class, and each has the same remedy
        raise ValueError(
            f"could not download {repository!r} from the hub ({reason(error)}). If it is gated, accept its "
            f"terms and log in; or fetch it on another machine and give model=/path/to/folder: {LAYOUT}"
        ) from error
    home = f"https://huggingface.co/{repository}"
    return folder_row(folder, name=slug(repository.rpartition("/")[2]), home=home, source=repository)


def slug(name: str) -> str:
    """A name that MLflow's registry takes, in kebab case."""
    if not (kebab := re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.")):
        raise ValueError(f"{name!r} holds no letter or digit to name a registered model by: rename the folder or file")
    return kebab


def _triple(values: Any, default: Triple) -> Triple:
    red, green, blue = values or default
    return float(red), float(green), float(blue)


def _read_json(file: Path) -> dict[str, Any]:
    """The file's object; empty where there is no such file."""
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} is not valid JSON ({error}): fetch it again") from error
    return content if isinstance(content, dict) else {}
