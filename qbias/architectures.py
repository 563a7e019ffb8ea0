"""The CLIP architectures that convert.py knows: their shapes, and every tensor with its name in transformers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qbias.tables import pick

VOCABULARY = 49408
KNOWN = {
    "": {"embed_dim", "quick_gelu", "vision_cfg", "text_cfg"},
    "vision_cfg.": {"image_size", "layers", "width", "patch_size", "head_width", "mlp_ratio"},
    "text_cfg.": {"context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio"},
}


@dataclass(frozen=True)
class Tower:
    """One transformer: its width, number of blocks, attention heads and MLP width."""

    width: int
    layers: int
    heads: int
    mlp: int


@dataclass(frozen=True)
class Architecture:
    """What the shapes of a CLIP follow from."""

    name: str
    embed: int
    activation: str
    vision: Tower
    patch: int
    resolution: int
    text: Tower
    context: int


@dataclass(frozen=True)
class Part:
    """One tensor of the checkpoint, the shape it must have, and what it becomes: three targets share its first axis."""

    source: str
    shape: tuple[int, ...]
    targets: tuple[str, ...]
    transposed: bool = False

    def target_shape(self) -> tuple[int, ...]:
        """The shape of each target."""
        if self.transposed:
            return self.shape[::-1]
        return (self.shape[0] // len(self.targets), *self.shape[1:]) if len(self.targets) > 1 else self.shape


def architecture(name: str) -> Architecture:
    """The named open_clip architecture, if this converter knows all of it.

    Raises
    ------
    ValueError
        If open_clip has no such architecture, or it has a part with no counterpart in `CLIPModel`; the parts are named.
    """
    import open_clip

    names = {known: known for known in open_clip.list_models()}
    config = open_clip.get_model_config(pick(names, name, what="open_clip architecture"))
    if foreign := _foreign(config):
        raise ValueError(
            f"architecture {name!r} has no converter because of {', '.join(foreign)}: only plain ViT CLIPs with CLIP's "
            "own tokenizer are converted, such as ViT-B-32, ViT-B-16-quickgelu or ViT-L-14"
        )
    vision, text = config["vision_cfg"], config["text_cfg"]
    return Architecture(
        name=name,
        embed=config["embed_dim"],
        activation="quick_gelu" if config.get("quick_gelu") else "gelu",
        vision=_tower(vision, heads=vision["width"] // vision.get("head_width", 64)),
        patch=vision["patch_size"],
        resolution=vision["image_size"],
        text=_tower(text, heads=text["heads"]),
        context=text.get("context_length", 77),
    )


def _foreign(config: Mapping[str, Any]) -> list[str]:
    """The settings of an open_clip configuration that a transformers `CLIPModel` cannot express."""
    sections = {"": config, "vision_cfg.": config["vision_cfg"], "text_cfg.": config["text_cfg"]}
    foreign = [prefix + key for prefix, section in sections.items() for key in section if key not in KNOWN[prefix]]
    if not isinstance(config["vision_cfg"].get("layers", 12), int):
        foreign.append("vision_cfg.layers (a ResNet)")
    if config["text_cfg"].get("vocab_size", VOCABULARY) != VOCABULARY:
        foreign.append(f"text_cfg.vocab_size={config['text_cfg']['vocab_size']} (CLIP's has {VOCABULARY})")
    return foreign


def _tower(section: Mapping[str, Any], *, heads: int) -> Tower:
    width = int(section["width"])
    return Tower(width, int(section["layers"]), heads, int(width * section.get("mlp_ratio", 4.0)))


def parts(shape: Architecture) -> list[Part]:
    """Every tensor that a checkpoint of this architecture holds, in the order in which it is checked and written."""
    vision, text, patch = shape.vision.width, shape.text.width, shape.patch
    patches = (shape.resolution // patch) ** 2
    image, words = "vision_model", "text_model"
    return [
        Part("logit_scale", (), ("logit_scale",)),
        Part("visual.class_embedding", (vision,), (f"{image}.embeddings.class_embedding",)),
        Part("visual.positional_embedding", (patches + 1, vision), (f"{image}.embeddings.position_embedding.weight",)),
        Part("visual.conv1.weight", (vision, 3, patch, patch), (f"{image}.embeddings.patch_embedding.weight",)),
        *_pairs("visual.ln_pre", f"{image}.pre_layrnorm", (vision,)),
        *_blocks("visual.transformer.resblocks", f"{image}.encoder.layers", shape.vision),
        *_pairs("visual.ln_post", f"{image}.post_layernorm", (vision,)),
        Part("visual.proj", (vision, shape.embed), ("visual_projection.weight",), transposed=True),
        Part("token_embedding.weight", (VOCABULARY, text), (f"{words}.embeddings.token_embedding.weight",)),
        Part("positional_embedding", (shape.context, text), (f"{words}.embeddings.position_embedding.weight",)),
        *_blocks("transformer.resblocks", f"{words}.encoder.layers", shape.text),
        *_pairs("ln_final", f"{words}.final_layer_norm", (text,)),
        Part("text_projection", (text, shape.embed), ("text_projection.weight",), transposed=True),
    ]


def _pairs(source: str, target: str, weight: tuple[int, ...]) -> list[Part]:
    """A weight and its bias."""
    shapes = {"weight": weight, "bias": weight[:1]}
    return [Part(f"{source}.{kind}", shape, (f"{target}.{kind}",)) for kind, shape in shapes.items()]


def _blocks(source: str, target: str, tower: Tower) -> list[Part]:
    """The transformer blocks: open_clip keeps query, key and value in one tensor, in this order."""
    w, table = tower.width, []
    for i in range(tower.layers):
        a, b = f"{source}.{i}", f"{target}.{i}"
        table += _pairs(f"{a}.ln_1", f"{b}.layer_norm1", (w,))
        for kind, shape in {"weight": (3 * w, w), "bias": (3 * w,)}.items():
            targets = tuple(f"{b}.self_attn.{letter}_proj.{kind}" for letter in "qkv")
            table.append(Part(f"{a}.attn.in_proj_{kind}", shape, targets))
        table += _pairs(f"{a}.attn.out_proj", f"{b}.self_attn.out_proj", (w, w))
        table += _pairs(f"{a}.ln_2", f"{b}.layer_norm2", (w,))
        table += _pairs(f"{a}.mlp.c_fc", f"{b}.mlp.fc1", (tower.mlp, w))
        table += _pairs(f"{a}.mlp.c_proj", f"{b}.mlp.fc2", (w, tower.mlp))
    return table
