"""open_clip checkpoint -> a local transformers `CLIPModel` folder: float32 weights, tokenizer, preprocessing.

Every baseline takes this form, so that every quantizer meets the same linears. Tensors are checked and written one at a
time, so the peak memory is about one checkpoint, whatever its number format.

The tokenizer pads with the end token where open_clip pads with 0: the text tower is causal and is pooled at the *first*
end token (`eos_token_id` is CLIP's own, not the legacy 2), so nothing after it is ever seen.
"""

import json
import struct
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qbias.architectures import VOCABULARY, Architecture, Part, Tower, architecture, parts
from qbias.checkpoints import Unreachable, fetch, local_checkpoint, placed, read_checkpoint, tag_facts
from qbias.digests import file_digest, json_digest
from qbias.quantizers.baseline import check_finite
from qbias.store import cache_root, whole_folder
from qbias.weights import misfit

if TYPE_CHECKING:
    from torch import Tensor

Triple = tuple[float, float, float]
OPENAI_MEAN: Triple = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD: Triple = (0.26862954, 0.26130258, 0.27577711)

REVISION = 1
"""Part of the cache key: raise it when the files that `convert` writes change."""
START, END = 49406, 49407
# What ftfy and HTML unescaping do for open_clip before it tokenizes, as far as captions and prompts need it. It stands
# in tokenizer.json, so that token ids do not depend on whether ftfy is installed where a version is served.
ENTITIES = {"&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&#39;": "'", "&nbsp;": " "}
CHARACTERS = {
    "[\u02bc\u2018-\u201b]": "'",
    "[\u201c-\u201f]": '"',
    "[\ufeff\\x00-\\x08\\x0e-\\x1b\\x7f]": "",
}


def convert(
    architecture_name: str,
    tag_or_checkpoint: str | Path,
    out: Path,
    *,
    mean: Triple | None = None,
    std: Triple | None = None,
) -> Path:
    """Write the transformers `CLIPModel` folder of an open_clip model to `out`, whole or not at all.

    The embeddings equal open_clip's (cosine at least .99999 in float32) for the same pixels and texts.

    Parameters
    ----------
    architecture_name : an open_clip architecture, such as `ViT-B-32-quickgelu`.
    tag_or_checkpoint : one of open_clip's tags for it (downloaded by open_clip, if it is not in its cache), or a
        checkpoint file (safetensors, a torch file, or OpenAI's TorchScript archive).
    out : the folder to make.
    mean, std : pixel normalisation per channel; by default the tag's own, and OpenAI's for a file.

    Raises
    ------
    ValueError
        If the architecture, the tag or the file is unknown, the download fails, the file is damaged, a tensor is
        missing, has another shape or is not finite, or the tag needs another activation or resizing.
    """
    shape = architecture(architecture_name)
    facts = tag_facts(architecture_name, str(tag_or_checkpoint), quick_gelu=shape.activation == "quick_gelu")
    file = fetch(architecture_name, str(tag_or_checkpoint), facts)
    mean, std = mean or facts.get("mean", OPENAI_MEAN), std or facts.get("std", OPENAI_STD)
    tensors, table = read_checkpoint(file), parts(shape)
    _check(table, tensors, f"{file} does not match architecture {architecture_name}")
    with whole_folder(out) as folder:
        _write_weights(folder / "model.safetensors", table, tensors, file)
        _write_json(folder / "config.json", model_config(shape))
        _write_json(folder / "preprocessor_config.json", image_config(shape.resolution, mean, std))
        write_tokenizer(folder, context=shape.context)
    return out


def converted(name: str, architecture_name: str, tag: str, *, mean: Triple | None = None, std: Triple | None = None) -> Path:
    """The cached folder of an open_clip model, made at the first call: from a file placed by hand, else by its tag."""
    local = local_checkpoint(tag) or placed(name)
    key = json_digest([REVISION, architecture_name, file_digest(local) if local else tag, mean, std])
    out = cache_root() / "models" / f"{name}-{key[:12]}"
    if out.is_dir():
        return out
    try:
        return convert(architecture_name, local or tag, out, mean=mean, std=std)
    except Unreachable as error:
        where = cache_root() / "checkpoints" / name
        raise Unreachable(f"{error}, or place it as {where}.safetensors (or .bin, .pt)") from error


def _check(table: list[Part], tensors: Mapping[str, "Tensor"], lead: str) -> None:
    """Refuse a checkpoint with a missing, misshapen or surplus tensor, naming the first, before anything is written."""
    for part in table:
        if part.source not in tensors:
            raise ValueError(f"{lead}: tensor {part.source!r} of shape {part.shape} is missing")
        tensor = tensors[part.source]
        if fault := misfit(tensor.squeeze() if part.shape == () else tensor, part.shape):
            raise ValueError(f"{lead}: tensor {part.source!r} {fault}")
    if extra := [name for name in tensors if name not in {part.source for part in table}]:
        raise ValueError(f"{lead}: it holds {extra[0]!r}, which this architecture does not have")


def _write_weights(file: Path, table: list[Part], tensors: Mapping[str, "Tensor"], source: Path) -> None:
    """A float32 safetensors file, tensor by tensor: `safetensors.torch.save_file` would need all of them in memory."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for part in table:
        for target in part.targets:
            begin, end = end, end + 4 * prod(part.target_shape())
            header[target] = {"dtype": "F32", "shape": part.target_shape(), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with file.open("wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        for part in table:
            # a third of the first axis follows the other in memory, so the three targets are written in one go
            check_finite(source, part.source, tensors[part.source])
            stream.write(_values(part, tensors[part.source]))


def _values(part: Part, tensor: "Tensor") -> memoryview:
    """The tensor's little-endian float32 bytes in its target's layout."""
    values = tensor.detach().float()
    array = (values.T if part.transposed else values).contiguous().numpy().astype("<f4", copy=False)
    return array.data


def model_config(shape: Architecture) -> dict[str, Any]:
    """config.json: what transformers builds the `CLIPModel` from."""

    def tower(kind: str, part: Tower) -> dict[str, Any]:
        return {
            "model_type": kind,
            "hidden_size": part.width,
            "intermediate_size": part.mlp,
            "num_hidden_layers": part.layers,
            "num_attention_heads": part.heads,
            "hidden_act": shape.activation,
            "layer_norm_eps": 1e-5,
            "projection_dim": shape.embed,
        }

    words = {"vocab_size": VOCABULARY, "max_position_embeddings": shape.context}
    tokens = {"bos_token_id": START, "eos_token_id": END, "pad_token_id": END}
    return {
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "dtype": "float32",
        "projection_dim": shape.embed,
        "text_config": tower("clip_text_model", shape.text) | words | tokens,
        "vision_config": tower("clip_vision_model", shape.vision)
        | {"image_size": shape.resolution, "patch_size": shape.patch, "num_channels": 3},
    }


def image_config(resolution: int, mean: Triple, std: Triple) -> dict[str, Any]:
    """preprocessor_config.json: bicubic resize of the short side, centre crop, then mean and std."""
    return {
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": resolution},
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": resolution, "width": resolution},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(mean),
        "image_std": list(std),
    }


def write_tokenizer(folder: Path, *, context: int = 77) -> None:
    """CLIP's tokenizer in transformers' files, from the vocabulary that open_clip is installed with; no network."""
    from open_clip.tokenizer import SimpleTokenizer
    from tokenizers import Regex, normalizers
    from transformers import CLIPTokenizerFast

    source, names = SimpleTokenizer(), {START: "<|startoftext|>", END: "<|endoftext|>"}
    _write_json(folder / "vocab.json", {names.get(i, token): i for token, i in source.encoder.items()})
    merges = "".join(f"{first} {second}\n" for first, second in source.bpe_ranks)
    (folder / "merges.txt").write_text("#version: 0.2\n" + merges, encoding="utf-8")
    tokenizer = CLIPTokenizerFast(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=context)
    backend = tokenizer.backend_tokenizer
    entities = [normalizers.Replace(entity, character) for entity, character in ENTITIES.items()]
    characters = [normalizers.Replace(Regex(pattern), character) for pattern, character in CHARACTERS.items()]
    backend.normalizer = normalizers.Sequence([*entities, *characters, backend.normalizer])
    tokenizer.save_pretrained(folder)


def _write_json(file: Path, content: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
