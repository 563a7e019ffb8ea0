"""Train the toy CLIPs: `python -m qbias.toyworld.train --all`, or `--name toy-s16-balanced` for one.

The ordinary symmetric contrastive loss with AdamW, warm-up and cosine decay, a fixed number of steps, one thread and fixed
seeds: the same machine gives the same weights.
"""

import argparse
import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizerFast

from qbias.toyworld.catalogue import TOY_MODELS, WEIGHTS, Size, ToyModel
from qbias.toyworld.corpus import CAPTIONS, Corpus, cached_corpus, world_tokenizer
from qbias.toyworld.tokenizer import CONTEXT
from qbias.toyworld.worlds import World

OPENAI_MEAN, OPENAI_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
CACHE = Path(".qbias") / "toytrain"


@dataclass(frozen=True)
class Recipe:
    """One size: vision width, layers, heads and patch, how long and fast it learns, and its activation."""

    width: int
    layers: int
    heads: int
    patch: int
    steps: int
    rate: float
    batch: int = 128
    activation: str = "gelu"


RECIPES: dict[Size, Recipe] = {
    "s16": Recipe(width=128, layers=3, heads=2, patch=16, steps=1100, rate=1.2e-3, activation="quick_gelu"),
    "s8": Recipe(width=64, layers=3, heads=2, patch=8, steps=1300, rate=1.8e-3),
    "m8": Recipe(width=128, layers=3, heads=2, patch=8, steps=850, rate=1.2e-3),
}


def normalisation(world: World) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of the pixels: OpenAI's, except .5 in tilt-b (as LAION-2B L/14 in the paper)."""
    return ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)) if world == "tilt-b" else (OPENAI_MEAN, OPENAI_STD)


def configuration(recipe: Recipe, tokenizer: CLIPTokenizerFast) -> CLIPConfig:
    """The CLIP of a size; every width is a multiple of 64, so that NF4 blocks and int8 rows apply."""
    marks = {"pad_token_id": tokenizer.pad_token_id, "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 256,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": CONTEXT,
        "projection_dim": 64,
        "hidden_act": recipe.activation,
    } | marks
    vision = {
        "hidden_size": recipe.width,
        "intermediate_size": 2 * recipe.width,
        "num_hidden_layers": recipe.layers,
        "num_attention_heads": recipe.heads,
        "image_size": 64,
        "patch_size": recipe.patch,
        "projection_dim": 64,
        "hidden_act": recipe.activation,
    }
    return CLIPConfig(text_config=text, vision_config=vision, projection_dim=64, logit_scale_init_value=math.log(10))


def _shifted(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """All images moved by up to 2 pixels (edges repeat)."""
    padded = np.pad(pixels, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="edge")
    moved = np.empty_like(pixels)
    for i, (y, x) in enumerate(rng.integers(0, 5, (len(pixels), 2))):
        moved[i] = padded[i, y : y + 64, x : x + 64]
    return moved


class Batches:
    """Draws training batches: whole passes over the images in a shuffled order, one caption of each."""

    def __init__(self, corpus: Corpus, world: World, size: int, rng: np.random.Generator) -> None:
        self._corpus, self._size, self._rng = corpus, size, rng
        self._order = np.empty(0, dtype=np.int64)
        mean, std = normalisation(world)
        self._mean = torch.tensor(mean).view(1, 3, 1, 1) * 255
        self._std = torch.tensor(std).view(1, 3, 1, 1) * 255

    def next(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Pixel values (B, 3, 64, 64) and token ids (B, longest caption)."""
        if len(self._order) < self._size:
            self._order = self._rng.permutation(len(self._corpus.pixels))
        picked, self._order = self._order[: self._size], self._order[self._size :]
        pixels = torch.from_numpy(_shifted(self._corpus.pixels[picked], self._rng))
        ids = self._corpus.tokens[picked, self._rng.integers(0, CAPTIONS, self._size)].astype(np.int64)
        longest = int((ids != 0).sum(axis=1).max())
        values = (pixels.permute(0, 3, 1, 2).float() - self._mean) / self._std
        return values.contiguous(), torch.from_numpy(ids[:, :longest].copy())


def _optimiser(model: CLIPModel, recipe: Recipe) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    free = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": 0.05}, {"params": free, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=recipe.rate, betas=(0.9, 0.98))
    warmup = 60

    def pace(step: int) -> float:
        done = (step - warmup) / max(1, recipe.steps - warmup)
        return (step + 1) / warmup if step < warmup else 0.02 + 0.98 * (1 + math.cos(math.pi * done)) / 2

    return optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, pace)


def fitted_model(
    model: ToyModel, recipe: Recipe, corpus: Corpus, tokenizer: CLIPTokenizerFast, *, seed: int = 0
) -> tuple[CLIPModel, float]:
    """A trained CLIP and its mean loss over the last 50 steps."""
    torch.manual_seed(seed)
    clip = CLIPModel(configuration(recipe, tokenizer)).train()
    optimiser, schedule = _optimiser(clip, recipe)
    batches = Batches(corpus, model.world, recipe.batch, np.random.default_rng([seed, 77]))
    target, losses, start = torch.arange(recipe.batch), [], time.monotonic()
    for step in range(recipe.steps):
        pixels, ids = batches.next()
        logits = clip(input_ids=ids, pixel_values=pixels).logits_per_text
        loss = (torch.nn.functional.cross_entropy(logits, target) + torch.nn.functional.cross_entropy(logits.T, target)) / 2
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(clip.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        with torch.no_grad():
            clip.logit_scale.clamp_(max=math.log(50))
        losses.append(float(loss.detach()))
        if (step + 1) % 50 == 0:
            recent, seconds = float(np.mean(losses[-50:])), time.monotonic() - start
            print(f"{model.name} step {step + 1}/{recipe.steps} loss {recent:.3f} {seconds:.0f} s", flush=True)
    return clip.eval(), float(np.mean(losses[-50:]))


def store(clip: CLIPModel, tokenizer: CLIPTokenizerFast, model: ToyModel, folder: Path) -> None:
    """Write a transformers folder: fp16 weights, configuration, tokenizer and preprocessing."""
    mean, std = normalisation(model.world)
    clip.half().save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)
    CLIPImageProcessor(
        size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64}, image_mean=list(mean), image_std=list(std)
    ).save_pretrained(folder)


def train(model: ToyModel, *, steps: int | None = None, root: Path = WEIGHTS, cache: Path = CACHE, seed: int = 0) -> None:
    """Train one model, store it in `root`/<name> and measure what was stored (training.json)."""
    from qbias.toyworld.check import measured

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    recipe = RECIPES[model.size] if steps is None else replace(RECIPES[model.size], steps=steps)
    tokenizer = world_tokenizer(seed=seed)
    corpus = cached_corpus(model.world, tokenizer, cache, seed=seed)
    clip, loss = fitted_model(model, recipe, corpus, tokenizer, seed=seed)
    folder = root / model.name
    store(clip, tokenizer, model, folder)
    facts = {
        "name": model.name,
        "world": model.world,
        "seed": seed,
        "loss": round(loss, 4),
        **asdict(recipe),
        "images": len(corpus.pixels),
        "parameters": clip.num_parameters(),
        "measured": measured(folder),
    }
    (folder / "training.json").write_text(json.dumps(facts, indent=2) + "\n")
    print(json.dumps(facts), flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Train the toy CLIPs on the drawn world.")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--name", choices=[model.name for model in TOY_MODELS], action="append", help="a model to train")
    which.add_argument("--all", action="store_true", help="train all eight, one after the other")
    parser.add_argument("--steps", type=int, help="optimiser steps instead of the recipe's number")
    parser.add_argument("--root", type=Path, default=WEIGHTS, help="where model folders are written")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where drawn training images are kept")
    options = parser.parse_args(arguments)
    for model in TOY_MODELS:
        if options.all or model.name in options.name:
            train(model, steps=options.steps, root=options.root, cache=options.cache)


if __name__ == "__main__":
    main()
