"""Multiply-adds of a CLIP, from its shape alone: counted, not measured.

For one item: each Linear does in x out x tokens; each attention layer 2 x tokens^2 x width (scores, then the mix of values; a causal mask
saves nothing in the count); the patch convolution patches x 3 x patch^2 x width. Tokens: patches + 1 for an image, the context length for a
text, 1 for both projections. Norms, softmax, activation functions and biases are left out.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any


def tower_of(layer: str) -> str:
    """Whether a layer's name belongs to the `image` or to the `text` tower."""
    return "image" if layer.startswith(("vision_model.", "visual_projection")) else "text"


@dataclass(frozen=True)
class Work:
    """Multiply-adds of one item per tower: of each Linear (`linears`, by layer name) and of all the rest (`rest`, by tower)."""

    linears: Mapping[str, int]
    rest: Mapping[str, int]

    def total(self, tower: str) -> int:
        """All multiply-adds of one item of a tower."""
        return self.rest[tower] + sum(count for layer, count in self.linears.items() if tower_of(layer) == tower)

    def covered(self, tower: str, quantized: Collection[str]) -> int:
        """Those that the named layers do."""
        return sum(self.linears[layer] for layer in quantized if tower_of(layer) == tower)


def work_of(linears: Mapping[str, tuple[int, int]], config: Mapping[str, Any]) -> Work:
    """Multiply-adds of the CLIP that a config.json describes.

    Parameters
    ----------
    linears : layer name -> (inputs, outputs). config : the JSON, every field of `vision_config` and `text_config` present.
    """
    vision, text = config["vision_config"], config["text_config"]
    patches = (vision["image_size"] // vision["patch_size"]) ** 2
    tokens = {"image": patches + 1, "text": text["max_position_embeddings"]}
    counted = {
        layer: inputs * outputs * (1 if layer.endswith("_projection") else tokens[tower_of(layer)])
        for layer, (inputs, outputs) in linears.items()
    }
    attention = {
        tower: 2 * tokens[tower] ** 2 * part["hidden_size"] * part["num_hidden_layers"]
        for tower, part in (("image", vision), ("text", text))
    }
    patch = patches * vision.get("num_channels", 3) * vision["patch_size"] ** 2 * vision["hidden_size"]
    return Work(counted, {"image": attention["image"] + patch, "text": attention["text"]})
