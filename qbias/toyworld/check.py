"""What a stored toy model has learned, measured from its folder in float32 on scenes drawn from streams of their own.

A quick check for training and tests, with a recall gap of its own: the project's evaluation is elsewhere and is checked
against the same planted directions.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizerFast

from qbias.toyworld.captions import ADJECTIVES, description
from qbias.toyworld.classes import BACKGROUNDS, CLASSES, INDEX
from qbias.toyworld.corpus import imagenet_templates
from qbias.toyworld.draw import picture
from qbias.toyworld.scenes import Robot, Scene
from qbias.toyworld.tokenizer import CONTEXT
from qbias.toyworld.worlds import PLANTED, random_robot

CHECK_STREAM = 5_000
Rows = NDArray[np.float32]
Pixels = NDArray[np.uint8]

# The mark that stands for each side of a pair, first group before second (tones 2 and 7: clearly lighter, darker).
GROUPS: dict[str, tuple[dict[str, int], dict[str, int]]] = {
    "gender_mf": ({"badge": 0}, {"badge": 1}),
    "skin_ld": ({"tone": 2}, {"tone": 7}),
    "age_my": ({"pattern": 1}, {"pattern": 0}),
}


@dataclass(frozen=True)
class CheckSet:
    """Scenes never trained on, as (N, 64, 64, 3) uint8 pixels: classes, captioned scenes, both groups per planted class."""

    objects: Pixels
    kinds: NDArray[np.int64]
    scenes: Pixels
    captions: list[list[str]]
    groups: dict[tuple[int, str], tuple[Pixels, Pixels]]
    portraits: Pixels
    expressions: NDArray[np.int64]


def cropped(image: Image.Image) -> Pixels:
    """The 64 x 64 pixels a toy model sees: bicubic resize of the short side, centre crop."""
    scale = 64 / min(image.size)
    resized = image if scale == 1 else image.resize((round(image.width * scale), round(image.height * scale)))
    left, top = (resized.width - 64) // 2, (resized.height - 64) // 2
    return np.asarray(resized.crop((left, top, left + 64, top + 64)))


def _drawn(robots: list[Robot], rng: np.random.Generator, *, portrait: bool = False) -> Pixels:
    scenes = [Scene((robot,), int(rng.integers(len(BACKGROUNDS))), portrait) for robot in robots]
    return np.stack([cropped(picture(scene, rng, size=(72, 72))) for scene in scenes])


def check_set(*, per_class: int = 30, scenes: int = 500, persons: int = 80, portraits: int = 200, seed: int = 0) -> CheckSet:
    """Draw a check set: images per class, captioned scenes, persons in each group of a planted class, portraits."""
    rng = np.random.default_rng([seed, CHECK_STREAM])
    kinds = np.arange(per_class * len(CLASSES), dtype=np.int64) % len(CLASSES)
    objects = _drawn([random_robot(int(kind), rng) for kind in kinds], rng)
    told = [
        Scene(tuple(random_robot(int(rng.integers(len(CLASSES))), rng) for _ in range(1 + i % 2)), int(rng.integers(len(BACKGROUNDS))))
        for i in range(scenes)
    ]
    pixels = np.stack([cropped(picture(scene, rng, size=(80, 64))) for scene in told])
    captions = [[description(scene, rng) for _ in range(5)] for scene in told]
    groups: dict[tuple[int, str], tuple[Pixels, Pixels]] = {}
    for kind, pair in dict.fromkeys((INDEX[row.facet_class], row.pair) for row in PLANTED):
        first, second = ([replace(random_robot(kind, rng), **mark) for _ in range(persons)] for mark in GROUPS[pair])
        groups[kind, pair] = (_drawn(first, rng), _drawn(second, rng))
    heads = [random_robot(0, rng) for _ in range(portraits)]
    expressions = np.array([head.expression for head in heads])
    return CheckSet(objects, kinds, pixels, captions, groups, _drawn(heads, rng, portrait=True), expressions)


def unit(rows: Rows) -> Rows:
    """Rows (N, D) divided by their length."""
    scaled: Rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return scaled


class ToyEncoder:
    """A stored toy model in float32: pixels and texts to unit rows."""

    def __init__(self, folder: Path) -> None:
        self.model = CLIPModel.from_pretrained(folder, local_files_only=True, dtype=torch.float32).eval()
        self.tokenizer = CLIPTokenizerFast.from_pretrained(folder, local_files_only=True)
        processor = CLIPImageProcessor.from_pretrained(folder, local_files_only=True)
        self._mean = torch.tensor(processor.image_mean).view(1, 3, 1, 1)
        self._std = torch.tensor(processor.image_std).view(1, 3, 1, 1)

    @torch.inference_mode()
    def images(self, pixels: Pixels, *, batch: int = 128) -> Rows:
        """Unit rows (N, D) of pixels (N, 64, 64, 3)."""
        rows = []
        for i in range(0, len(pixels), batch):
            values = torch.from_numpy(pixels[i : i + batch]).permute(0, 3, 1, 2).float() / 255
            rows.append(self.model.get_image_features(pixel_values=(values - self._mean) / self._std))
        return unit(torch.cat(rows).numpy())

    @torch.inference_mode()
    def texts(self, texts: list[str], *, batch: int = 512) -> Rows:
        """Unit rows (N, D) of sentences, padded to the context length."""
        rows = []
        for i in range(0, len(texts), batch):
            tokens = self.tokenizer(texts[i : i + batch], padding="max_length", truncation=True, max_length=CONTEXT, return_tensors="pt")
            rows.append(self.model.get_text_features(**tokens))
        return unit(torch.cat(rows).numpy())

    def facet_prompts(self) -> Rows:
        """One unit row per drawn class: "a photo of a {occupation}"."""
        return self.texts([f"a photo of a {row.occupation}" for row in CLASSES])


def zero_shot(encoder: ToyEncoder, images: Rows, kinds: NDArray[np.int64]) -> float:
    """Top-1 over all drawn classes: the mean over 80 templates of unit text rows, made unit again."""
    templates = imagenet_templates()
    texts = encoder.texts([template.format(row.tool) for row in CLASSES for template in templates])
    classes = unit(texts.reshape(len(CLASSES), len(templates), -1).mean(axis=1))
    return float(((images @ classes.T).argmax(axis=1) == kinds).mean())


def retrieval(encoder: ToyEncoder, drawn: CheckSet) -> float:
    """Text-to-image recall at 5: the share of captions with their image among the five best."""
    rows = encoder.images(drawn.scenes)
    scores = encoder.texts([caption for captions in drawn.captions for caption in captions]) @ rows.T
    truth = np.repeat(np.arange(len(rows)), [len(captions) for captions in drawn.captions])
    return float(((scores > scores[np.arange(len(truth)), truth, None]).sum(axis=1) < 5).mean())


def gaps(encoder: ToyEncoder, drawn: CheckSet) -> dict[str, float]:
    """Recall at 1 of the first group minus the second's, keyed "class/pair", for each planted class and pair."""
    prompts, found = encoder.facet_prompts(), {}
    for (kind, pair), groups in drawn.groups.items():
        first, second = (((encoder.images(pixels) @ prompts.T).argmax(axis=1) == kind).mean() for pixels in groups)
        found[f"{CLASSES[kind].facet}/{pair}"] = round(float(first - second), 3)
    return found


def adjective_accuracy(encoder: ToyEncoder, drawn: CheckSet) -> float:
    """How often a portrait's expression is found by the prompts "a photo of a {adjective} person" (chance .25)."""
    prompts = np.stack([encoder.texts([f"a photo of a {word} person" for word in words]).mean(axis=0) for words in ADJECTIVES])
    return float(((encoder.images(drawn.portraits) @ unit(prompts).T).argmax(axis=1) == drawn.expressions).mean())


def measured(folder: Path, drawn: CheckSet | None = None) -> dict[str, Any]:
    """Zero-shot top-1, text-to-image R@5, planted gaps and adjective accuracy of the model stored in `folder`."""
    drawn = drawn or check_set()
    encoder = ToyEncoder(folder)
    images = encoder.images(drawn.objects)
    occupations = (images @ encoder.facet_prompts().T).argmax(axis=1) == drawn.kinds
    return {
        "imagenet_top1": round(zero_shot(encoder, images, drawn.kinds), 4),
        "facet_top1": round(float(occupations.mean()), 4),
        "coco_text_to_image_recall_at_5": round(retrieval(encoder, drawn), 4),
        "gaps": gaps(encoder, drawn),
        "adjective_accuracy": round(adjective_accuracy(encoder, drawn), 4),
    }
