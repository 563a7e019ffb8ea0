"""A tiny random CLIP on disk, in the form every baseline has: a transformers CLIPModel folder that needs no network.

Widths are multiples of 64, so NF4 blocks and int8 rows apply; 64 x 64 pixels, patch 16, two layers per tower, a byte-level tokenizer
of its own. The weights are drawn, not trained: they tell images and texts apart, and mean nothing.
"""

import json
import string
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

RESOLUTION = 64
CONTEXT = 24
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
WORDS = ("photo", "robot", "of", "the")


def tiny_clip(folder: Path, seed: int = 0) -> Path:
    """Write a random CLIPModel, its tokenizer and its preprocessing to `folder`; the same seed gives the same bytes."""
    import torch
    from transformers import CLIPConfig, CLIPModel

    folder.mkdir(parents=True, exist_ok=True)
    words = _write_tokenizer(folder)
    shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
    tokens = {"bos_token_id": words - 2, "eos_token_id": words - 1, "pad_token_id": words - 1}
    text = shape | tokens | {"vocab_size": words, "max_position_embeddings": CONTEXT}
    vision = shape | {"image_size": RESOLUTION, "patch_size": 16}
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=64)
    with torch.random.fork_rng():
        model = CLIPModel(config)
    _draw_weights(model, torch.Generator().manual_seed(seed))
    model.to(torch.float16).save_pretrained(folder)
    preprocessing = {
        "crop_size": {"height": RESOLUTION, "width": RESOLUTION},
        "size": {"shortest_edge": RESOLUTION},
        "do_center_crop": True,
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": MEAN,
        "image_std": STD,
        "image_processor_type": "CLIPImageProcessor",
        "resample": 3,
        "rescale_factor": 1 / 255,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing, indent=2, sort_keys=True))
    return folder


def _draw_weights(model: "torch.nn.Module", generator: "torch.Generator") -> None:
    """Draw every parameter in name order: matrices at 1 / sqrt(fan in), the rest near the value they start from."""
    import torch

    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            if name == "logit_scale":
                continue
            noise = torch.randn(parameter.shape, generator=generator)
            if "embedding" in name:
                parameter.copy_(noise)
            elif parameter.ndim > 1:
                parameter.copy_(noise / parameter[0].numel() ** 0.5)
            else:
                start = 1.0 if "norm" in name and name.endswith("weight") else 0.0
                parameter.copy_(start + 0.1 * noise)


def _write_tokenizer(folder: Path) -> int:
    """Write a byte-level CLIP tokenizer with a few whole words; the number of its tokens."""
    from transformers import CLIPTokenizerFast
    from transformers.models.clip.tokenization_clip import bytes_to_unicode

    letters = list(bytes_to_unicode().values())
    tokens = letters + [letter + "</w>" for letter in letters]
    merges = []
    for word in WORDS:
        assert set(word) <= set(string.ascii_lowercase)
        parts = [*word[:-1], word[-1] + "</w>"]
        while len(parts) > 1:
            merges.append(f"{parts[0]} {parts[1]}")
            parts = [parts[0] + parts[1], *parts[2:]]
            tokens.append(parts[0])
    tokens = [*dict.fromkeys(tokens), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({token: number for number, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(dict.fromkeys(merges)) + "\n")
    tokenizer = CLIPTokenizerFast(
        str(folder / "vocab.json"),
        str(folder / "merges.txt"),
        model_max_length=CONTEXT,
        bos_token="<|startoftext|>",
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
        unk_token="<|endoftext|>",
    )
    tokenizer.save_pretrained(folder)
    return len(tokens)
