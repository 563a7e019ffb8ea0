"""Training material: a world's scenes drawn to uint8 pixels, with tokenized captions, cached between runs."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from transformers import CLIPTokenizerFast

from qbias.toyworld.captions import ADJECTIVES, PERSON_TEMPLATES, training_captions
from qbias.toyworld.classes import CLASSES
from qbias.toyworld.draw import picture
from qbias.toyworld.tokenizer import CONTEXT, trained_tokenizer
from qbias.toyworld.world import GENERATOR
from qbias.toyworld.worlds import WORLDS, World, training_scene

TRAINING_STREAM = 9_000
IMAGES = 24_000
CAPTIONS = 6
TOKENIZER_SCENES = 4_000


@dataclass(frozen=True)
class Corpus:
    """Pixels (N, 64, 64, 3) uint8 and token ids (N, CAPTIONS, CONTEXT) int16."""

    pixels: NDArray[np.uint8]
    tokens: NDArray[np.int16]


def imagenet_templates() -> tuple[str, ...]:
    """OpenAI's 80 ImageNet prompt templates, each with one "{}"."""
    from open_clip.zero_shot_metadata import OPENAI_IMAGENET_TEMPLATES

    return tuple(template("{}") for template in OPENAI_IMAGENET_TEMPLATES)


def world_tokenizer(*, seed: int = 0) -> CLIPTokenizerFast:
    """The tokenizer that all eight models share, learned from captions of the balanced world."""
    rng, templates = np.random.default_rng([seed, TRAINING_STREAM]), imagenet_templates()
    sentences = [template.format(CLASSES[i % len(CLASSES)].tool) for i, template in enumerate(templates * 6)]
    sentences += [template.format(word) for words in ADJECTIVES for word in words for template in PERSON_TEMPLATES]
    for _ in range(TOKENIZER_SCENES):
        sentences += training_captions(training_scene("balanced", rng), templates, 3, rng)
    return trained_tokenizer(sentences)


def training_corpus(world: World, tokenizer: CLIPTokenizerFast, *, images: int = IMAGES, seed: int = 0) -> Corpus:
    """Draw `images` scenes of `world`; the stream of random numbers is never that of an evaluation world."""
    rng = np.random.default_rng([seed, TRAINING_STREAM + 1 + WORLDS.index(world)])
    templates, pixels, captions = imagenet_templates(), np.empty((images, 64, 64, 3), np.uint8), []
    for i in range(images):
        scene = training_scene(world, rng)
        pixels[i] = np.asarray(picture(scene, rng))
        captions += training_captions(scene, templates, CAPTIONS, rng)
    rows = tokenizer(captions, padding="max_length", truncation=True, max_length=CONTEXT)["input_ids"]
    return Corpus(pixels, np.array(rows, dtype=np.int16).reshape(images, CAPTIONS, CONTEXT))


def cached_corpus(world: World, tokenizer: CLIPTokenizerFast, folder: Path, *, images: int = IMAGES, seed: int = 0) -> Corpus:
    """`training_corpus`, kept in `folder` between runs of one generator version."""
    path = folder / f"{world}-{seed}-{images}-v{GENERATOR}.npz"
    if not path.exists():
        made = training_corpus(world, tokenizer, images=images, seed=seed)
        folder.mkdir(parents=True, exist_ok=True)
        beside = folder / f".{path.stem}.{os.getpid()}.npz"
        np.savez(beside, pixels=made.pixels, tokens=made.tokens)
        beside.rename(path)
    with np.load(path) as stored:
        return Corpus(stored["pixels"], stored["tokens"])
