"""MODELS: the nine CLIPs of the study and the eight of the toy world, a row each; and models of one's own.

A row is found by name, by group, or made from what the user gives: a local folder, `open_clip:ARCH:TAG`, `hub:ORG/NAME`.
Importing this loads no torch; `row.folder()` gives the local transformers `CLIPModel` folder and may convert or download.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from qbias.convert import OPENAI_MEAN, OPENAI_STD, Triple, converted
from qbias.model_rows import ModelRow, clip_folder, folder_row, hub_row, open_clip_row, slug
from qbias.tables import pick, split_names
from qbias.toyworld.catalogue import TOY_MODELS, ToyModel

__all__ = ["CATALOGUE", "GROUPS", "MODELS", "Distance", "ModelRow", "distances", "models_named"]
HALF: Triple = (0.5, 0.5, 0.5)
FULL = {"imagenet": 50_000, "coco": 5_000}
"""Images of the datasets that the published figures were measured on."""


@dataclass(frozen=True)
class _Source:
    """Training data, with what holds for every model trained on it."""

    name: str
    licence: str
    citation: str


OPENAI = _Source(
    "openai-wit",
    "MIT",
    "Radford et al. 2021, Learning Transferable Visual Models From Natural Language Supervision, ICML",
)
LAION = _Source(
    "laion2b",
    "MIT",
    "Cherti et al. 2023, Reproducible Scaling Laws for Contrastive Language-Image Learning, CVPR; "
    "Schuhmann et al. 2022, LAION-5B, NeurIPS Datasets and Benchmarks",
)
DATACOMP = _Source(
    "datacomp-xl",
    "MIT",
    "Gadre et al. 2023, DataComp: In Search of the Next Generation of Multimodal Datasets, NeurIPS Datasets and Benchmarks",
)


def _clip(
    name: str,
    source: _Source,
    size: str,
    architecture: str,
    tag: str,
    home: str,
    *,
    top_1: float,
    image_recall: tuple[float, float, float],
    text_recall: tuple[float, float, float],
    mean: Triple = OPENAI_MEAN,
    std: Triple = OPENAI_STD,
) -> ModelRow:
    """An open_clip row; the recalls are those at 1, 5 and 10 for text-to-image and image-to-text on COCO."""
    expected = {"imagenet/accuracy_at_1": top_1}
    for way, recalls in (("image", image_recall), ("text", text_recall)):
        expected |= {f"coco/{way}_retrieval_recall_at_{k}": recall for k, recall in zip((1, 5, 10), recalls, strict=True)}
    make = partial(converted, name, architecture, tag, mean=mean, std=std)
    facts = (source.licence, home, source.citation, mean, std, expected)
    return ModelRow(name, source.name, size, architecture, tag, *facts, folder=make)


# Figures: open_clip's published results, docs/openclip_results.csv and docs/openclip_retrieval_results.csv.
CATALOGUE: tuple[ModelRow, ...] = (
    _clip(
        "clip-vit-b-32-openai", OPENAI, "b-32", "ViT-B-32-quickgelu", "openai", "https://github.com/openai/CLIP",
        top_1=0.6332, image_recall=(0.3044, 0.5594, 0.6687), text_recall=(0.5012, 0.7500, 0.8352),
    ),
    _clip(
        "clip-vit-b-16-openai", OPENAI, "b-16", "ViT-B-16-quickgelu", "openai", "https://github.com/openai/CLIP",
        top_1=0.6834, image_recall=(0.3309, 0.5842, 0.6899), text_recall=(0.5242, 0.7670, 0.8462),
    ),
    _clip(
        "clip-vit-l-14-openai", OPENAI, "l-14", "ViT-L-14-quickgelu", "openai", "https://github.com/openai/CLIP",
        top_1=0.7554, image_recall=(0.3651, 0.6106, 0.7113), text_recall=(0.5634, 0.7938, 0.8660),
    ),
    _clip(
        "clip-vit-b-32-laion2b", LAION, "b-32", "ViT-B-32", "laion2b_s34b_b79k",
        "https://huggingface.co/laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
        top_1=0.6656, image_recall=(0.3934, 0.6543, 0.7561), text_recall=(0.5632, 0.7984, 0.8712),
    ),
    _clip(
        "clip-vit-b-16-laion2b", LAION, "b-16", "ViT-B-16", "laion2b_s34b_b88k",
        "https://huggingface.co/laion/CLIP-ViT-B-16-laion2B-s34B-b88K",
        top_1=0.7023, image_recall=(0.4231, 0.6770, 0.7706), text_recall=(0.5944, 0.8178, 0.8862),
    ),
    _clip(
        "clip-vit-l-14-laion2b", LAION, "l-14", "ViT-L-14", "laion2b_s32b_b82k",
        "https://huggingface.co/laion/CLIP-ViT-L-14-laion2B-s32B-b82K", mean=HALF, std=HALF,
        top_1=0.7525, image_recall=(0.4651, 0.7108, 0.7980), text_recall=(0.6336, 0.8398, 0.9074),
    ),
    _clip(
        "clip-vit-b-32-datacomp", DATACOMP, "b-32", "ViT-B-32", "datacomp_xl_s13b_b90k",
        "https://huggingface.co/laion/CLIP-ViT-B-32-DataComp.XL-s13B-b90K",
        top_1=0.6917, image_recall=(0.3714, 0.6235, 0.7268), text_recall=(0.5354, 0.7778, 0.8604),
    ),
    _clip(
        "clip-vit-b-16-datacomp", DATACOMP, "b-16", "ViT-B-16", "datacomp_xl_s13b_b90k",
        "https://huggingface.co/laion/CLIP-ViT-B-16-DataComp.XL-s13B-b90K",
        top_1=0.7349, image_recall=(0.4016, 0.6595, 0.7562), text_recall=(0.5744, 0.8086, 0.8830),
    ),
    _clip(
        "clip-vit-l-14-datacomp", DATACOMP, "l-14", "ViT-L-14", "datacomp_xl_s13b_b90k",
        "https://huggingface.co/laion/CLIP-ViT-L-14-DataComp.XL-s13B-b90K",
        top_1=0.7921, image_recall=(0.4573, 0.7003, 0.7916), text_recall=(0.6330, 0.8414, 0.9040),
    ),
)  # fmt: skip


def _toy(model: ToyModel) -> ModelRow:
    """A toy world row; its weights are part of this package."""
    half = model.world == "tilt-b"
    return ModelRow(
        name=model.name,
        source=model.world,
        size=model.size,
        architecture=f"toy-{model.size}",
        tag=model.world,
        licence="Apache-2.0",
        home="qbias.toyworld",
        citation="drawn and trained by `python -m qbias.toyworld.train`",
        mean=HALF if half else OPENAI_MEAN,
        std=HALF if half else OPENAI_STD,
        expected={},
        folder=partial(clip_folder, model.folder),
    )


MODELS: dict[str, ModelRow] = {row.name: row for row in (*CATALOGUE, *map(_toy, TOY_MODELS))}
GROUPS: dict[str, tuple[ModelRow, ...]] = {
    "toyworld": tuple(MODELS[model.name] for model in TOY_MODELS),
    # The paper left out B/32 DataComp, whose copy it found corrupted.
    "paper": tuple(row for row in CATALOGUE if row.name != "clip-vit-b-32-datacomp"),
    "catalogue": CATALOGUE,
    "all": tuple(MODELS.values()),
}
NAMED = {name: (row,) for name, row in MODELS.items()} | GROUPS


@dataclass(frozen=True)
class Distance:
    """One metric beside its published figure."""

    metric: str
    published: float
    measured: float

    @property
    def distance(self) -> float:
        """Measured less published: 0 where they agree, negative where less was reached here."""
        return self.measured - self.published


def distances(row: ModelRow, metrics: Mapping[str, float], *, images: Mapping[str, int]) -> list[Distance]:
    """How far measured metrics are from a row's published figures; 0 means equal.

    Only figures of the full dataset can be compared: a benchmark with another number of images gives no row. COCO's two accepted layouts
    have equally many images; the published figures are of the Karpathy split, and val2017 lies about .01 beside it.

    Parameters
    ----------
    row : the model; one of one's own has no published figures, and gives an empty table.
    metrics : measured values by protocol name.
    images : number of images measured, by benchmark.

    Returns
    -------
    One entry per published figure that was measured, in the order of `row.expected`.
    """
    full = {name for name, count in FULL.items() if images.get(name) == count}
    known = {name: figure for name, figure in row.expected.items() if name in metrics and name.partition("/")[0] in full}
    return [Distance(name, figure, metrics[name]) for name, figure in known.items()]


def models_named(names: str) -> list[ModelRow]:
    """The rows of a comma-separated list, in the table's order, then models of one's own in the order given.

    Each entry is a name, a group (toyworld, paper, catalogue, all), a path to a transformers CLIP folder,
    `open_clip:ARCH:TAG` (or a checkpoint file in place of the tag), or `hub:ORG/NAME[@REVISION]`.

    Raises
    ------
    ValueError
        If nothing is named, a name is unknown (valid ones and the nearest are listed), a folder is incomplete, or two
        models would be registered under one name.
    """
    if not (wanted := list(dict.fromkeys(split_names(names)))):
        raise ValueError(f"no model named: give one or several of {', '.join(NAMED)}, or a folder")
    chosen: dict[str, ModelRow] = {}
    for row in (row for word in wanted for row in _rows(word)):
        if chosen.setdefault(row.name, MODELS.get(row.name, row)) is not row:
            raise ValueError(f"two models would be registered as {row.name!r}: rename the folder or file of your own")
    order = [name for name in MODELS if name in chosen] + [name for name in chosen if name not in MODELS]
    return [chosen[name] for name in order]


def _rows(word: str) -> tuple[ModelRow, ...]:
    """The rows that one entry stands for."""
    if word.startswith("open_clip:"):
        return (open_clip_row(word),)
    if word.startswith("hub:"):
        return (hub_row(word),)
    folder = Path(word).expanduser()
    if word not in NAMED and (folder.is_dir() or folder.name != word):
        return (folder_row(folder.resolve(), name=slug(folder.resolve().name), home=word),)
    return pick(NAMED, word, what="model")
