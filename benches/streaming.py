"""Metrics from embeddings that come in chunks: peak memory by number of images, images per second, and other ranks without a model.

Embeddings are drawn chunk by chunk; drawing them is not timed. Memory is that of a process of its own, above its imports:
`python -m benches.streaming 10000` prints it for 10,000 images.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benches import full_size
from benches.memory import rise
from benches.rows import Row
from qbias.measure import measure, measured
from qbias.metrics import hits, items_before, pair_scores, scorer, top_k_indices
from qbias.outcomes import outcomes_of, write_outcomes
from qbias.protocol import Protocol
from qbias.streamed import measure_stored
from qbias.tally import Tally

CHUNK, WIDTH, PROMPTS, CLASSES, CAPTIONS = 8192, full_size.WIDTH, 319, 52, 256
FEW, SOME, MANY = 10_000, 100_000, 1_000_000
MIB = 1 << 20
Unit = NDArray[np.float32]


def rows() -> list[Row]:
    """Memory in two processes, speed at two sizes in this one, then other ranks."""
    few, many = (memory_of(images) for images in (FEW, MANY))
    first, whole = (seconds(images) for images in (SOME, MANY))
    stored, embedded = other_ranks()
    return [
        Row(f"peak memory above imports, {FEW:,} images through every kind of metric", few / MIB, "MiB"),
        Row(f"  {MANY:,} images", many / MIB, "MiB"),
        Row("  ratio", many / few, "times", most=1.1),
        Row(f"scores and skews, {MANY:,} images x {PROMPTS} prompts x 3 attributes", MANY / whole.wall, "images/s"),
        Row("  by processor time", MANY / whole.cpu, "images/s"),
        Row(f"  seconds per image, {MANY:,} / {SOME:,} images (processor time)", whole.cpu / first.cpu * SOME / MANY, "times", most=1.1),
        Row("  float32 products of the same sizes alone", MANY / whole.plain, "images/s"),
        Row("other ranks from stored outcomes of four benchmarks at the demo's size", stored, "s", most=3),
        Row("  from embeddings", embedded, "s", most=3),
    ]


# ---- chunks of a benchmark of any size


def chunks(images: int) -> Iterator[tuple[int, Unit, pd.DataFrame]]:
    """First row, embeddings and columns of each chunk; the same rows whatever the number of images."""
    for first in range(0, images, CHUNK):
        rng, count = np.random.default_rng(first), min(CHUNK, images - first)
        columns: dict[str, Any] = {"label": rng.integers(0, CLASSES, count), "label2": -1}
        for name, share in full_size.SHARES.items():
            columns[name] = rng.choice(list(share), count, p=list(share.values())).astype(object)
        for name, sizes in full_size.FACES.items():
            share_G = np.array(list(sizes.values())) / sum(sizes.values())
            columns[f"face_{name}"] = rng.choice(list(sizes), count, p=share_G).astype(object)
        yield first, unit(rng, count), pd.DataFrame(columns)


def unit(rng: np.random.Generator, count: int) -> Unit:
    """Random rows of length 1."""
    row_ND = rng.standard_normal((count, WIDTH), dtype=np.float32)
    row_ND /= np.linalg.norm(row_ND, axis=1, keepdims=True)
    return row_ND


def search_tally() -> Tally:
    """Of faces under FairFace's attributes."""
    facts = {"attributes": {f"face_{name}": list(sizes) for name, sizes in full_size.FACES.items()}, "k": 1000, "desired": "dataset"}
    return Tally("fairface", "skew", facts, prompts=PROMPTS)


# ---- memory


def every_kind(images: int) -> None:
    """Classification with disparities, searches, and captions among the images, chunk by chunk."""
    rng = np.random.default_rng(1)
    class_CD, prompt_PD, caption_MD = (unit(rng, count) for count in (CLASSES, PROMPTS, CAPTIONS))
    pairs = [dict(zip(("name", "column", "first", "second"), pair, strict=True)) for pair in full_size.PAIRS]
    names = [f"class {number}" for number in range(CLASSES)]
    facts = {"classes": names, "ks": [1, 5], "pairs": pairs, "min_per_group": 25, "sign": "absolute", "class2": "each"}
    people, faces = Tally("facet", "classification", facts), search_tally()
    of_classes, of_prompts = scorer(class_CD), scorer(prompt_PD)
    own_M, own_index_M = pair_scores(caption_MD, next(chunks(CHUNK))[1][:CAPTIONS]), np.arange(CAPTIONS)
    rank_M = np.zeros(CAPTIONS, dtype=np.int64)
    for first, image_ND, frame in chunks(images):
        top_NK = top_k_indices(of_classes(image_ND), k=5)
        columns = {f"top_{rank + 1}": top_NK[:, rank] for rank in range(5)} | {
            f"hit_at_{k}": hits(frame["label"], top_NK, k=k) for k in (1, 5)
        }
        people.add("images", frame.assign(**columns), first=first)
        faces.add_scores(frame, of_prompts(image_ND), first=first)
        rank_M += items_before(caption_MD, image_ND, own_M, own_index_M, first=first)
    for tally in (people, faces):
        measured(tally, tally.kind)


def memory_of(images: int) -> int:
    """Peak resident bytes above the imports, in a process of its own."""
    command = [sys.executable, "-m", "benches.streaming", str(images)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parent.parent).stdout)  # noqa: S603


# ---- speed


@dataclass
class Seconds:
    """Wall and processor time of scores and skews, and wall time of plain float32 products of the same sizes."""

    wall: float = 0.0
    cpu: float = 0.0
    plain: float = 0.0


def seconds(images: int) -> Seconds:
    """Of the whole way from chunks of embeddings to metrics."""
    prompt_PD, faces, found = unit(np.random.default_rng(1), PROMPTS), search_tally(), Seconds()
    scores_of = scorer(prompt_PD)
    for first, image_ND, frame in chunks(images):
        started = time.perf_counter()
        image_ND @ prompt_PD.T
        found.plain += time.perf_counter() - started
        started, cpu = time.perf_counter(), time.process_time()
        faces.add_scores(frame, scores_of(image_ND), first=first)
        found.wall, found.cpu = found.wall + time.perf_counter() - started, found.cpu + time.process_time() - cpu
    started, cpu = time.perf_counter(), time.process_time()
    measured(faces, faces.kind)
    return Seconds(found.wall + time.perf_counter() - started, found.cpu + time.process_time() - cpu, found.plain)


# ---- other ranks


def other_ranks() -> tuple[float, float]:
    """Seconds for all metrics at other ranks: from stored outcomes, and from embeddings; four benchmarks of the demo's sizes."""
    demo = {
        "imagenet": full_size.imagenet(1092, 26, 80), "coco": full_size.coco(500, 2500), "facet": full_size.persons(2080, 13),
        "fairface": full_size.faces(2000, 240),
    }  # fmt: skip
    with TemporaryDirectory() as folder:
        for name, inputs in demo.items():
            write_outcomes(outcomes_of(*inputs, Protocol()), Path(folder) / name)
        started = time.perf_counter()
        for name, (dataset, *_) in demo.items():
            measure_stored(Path(folder) / name, **({"k": 300} if dataset.kind == "skew" else {"ks": [2, 4]}))
        stored = time.perf_counter() - started
    started = time.perf_counter()
    for dataset, image_ND, text_MD in demo.values():
        ranks = {"k": 300} if dataset.kind == "skew" else {"ks": [2, 4]}
        measure(outcomes_of(replace(dataset, facts={**dataset.facts, **ranks}), image_ND, text_MD, Protocol()))
    return stored, time.perf_counter() - started


if __name__ == "__main__":
    print(rise(lambda: every_kind(int(sys.argv[1]))))
