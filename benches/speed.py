"""One evaluation, and five precisions of one model, against what they cannot do without: one decode pass and the bare forward passes.

Ours is all that an evaluation does once a model is loaded: read and check the data set (a digest of every file), decode into the pixel
store, embed through the embedding store, outcomes and their files, metrics. The other side decodes every image once with the reference
preprocessing and runs the library's own towers, a batch on each core, on tensors that were made before. Both sides do a piece of the data
set in turn, in this process, so that whatever else the machine does meets both; compared is the processor time of the whole process, all
threads (waiting for the disk is not in it). Photographs come from the folder that QBIAS_BENCH_PHOTOS names, each under as many ids as are
needed, or are drawn. QBIAS_BENCH_SECONDS is the processor time that the other side should take at least (60).
"""

import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benches.models import ARCHITECTURE, TOY, _quiet, _threads, quantized
from benches.rows import Row
from qbias.benchmarks.content import canonical_order, class_texts, finished, unfinished
from qbias.convert import convert
from qbias.decode import PIECE, in_threads
from qbias.embed import batches
from qbias.encoder import Encoder
from qbias.models import MODELS
from qbias.passes import PASSES
from qbias.preprocess import crop
from qbias.protocol import Protocol
from qbias.quantizers import load_encoder
from qbias.quantizers.ort import TOWERS, OrtEncoder
from qbias.quantizers.torch_encoder import TorchEncoder, normalised
from qbias.records import Dataset
from qbias.streamed import store_outcomes
from qbias.subject import Subject
from tests.tiny_open_clip import drawn_model, save

PRECISIONS = ("fp32", "bnb-int8", "bnb-nf4", "torch-int8", "ort-int8")
PROTOCOL = Protocol()
TURNS, CLASSES = 4, 40
"""At least so many pieces, and more until the time is made up."""


def rows() -> list[Row]:
    """A ViT-B/32 with drawn weights, then a small CLIP of the drawn world: one precision, then five."""
    with tempfile.TemporaryDirectory(prefix="qbias-bench-") as scratch, _quiet(), _threads(1), _cache(Path(scratch) / "cache"):
        home = Path(scratch)
        photos = _photographs(home / "drawn")
        vit = convert(ARCHITECTURE, save(drawn_model(ARCHITECTURE), home / "drawn.safetensors"), home / "baseline")
        found = []
        for model, baseline in (("ViT-B/32", vit), (TOY, MODELS[TOY].folder())):
            folders = quantized(baseline, home / model.replace("/", "-"), PRECISIONS)
            for names in (PRECISIONS[:1], PRECISIONS):
                encoders = {name: load_encoder(folders[name]) for name in names}
                found += compared(f"{model}, {len(names)} precision{'s' * (len(names) > 1)}", encoders, photos, home)
        return found


def compared(what: str, encoders: Mapping[str, Encoder], photos: Sequence[Path], home: Path) -> list[Row]:
    """Processor time of ours over the other side's, of the same again over the first time, and what the time went to."""
    size = PROTOCOL.batch_size
    # The first calls also load kernels and lay out weights: the second tell how many images make the time up.
    for turn in ("first", "second"):
        taken = _both(Piece(f"{what} {turn}", photos, 2 * size, home), encoders)
    least = float(os.environ.get("QBIAS_BENCH_SECONDS", "60"))
    each = max(1, math.ceil(2 * least / sum(taken[name] for name in OTHER) / TURNS))
    pieces: list[Piece] = []
    turns: list[dict[str, float]] = []
    while len(turns) < TURNS or sum(turn[name] for turn in turns for name in OTHER) < least:
        pieces.append(Piece(f"{what} {len(pieces)}", photos, each * size, home))
        turns.append(_both(pieces[-1], encoders))
    total = {name: sum(turn[name] for turn in turns) for name in turns[0]}
    before, again = PASSES.now(), 0.0
    for piece in pieces:
        again += _processor(lambda piece=piece: ours(piece, encoders))  # type: ignore[misc]
    if (PASSES.now() - before).images:
        raise SystemExit("the same again went through the model")
    other = sum(total[name] for name in OTHER)
    return [
        Row(f"{what}: {sum(piece.count for piece in pieces):,} images, decode and bare forward passes", other, "s of processor"),
        Row("  decoding's share of that", total["decode"] / other, "of 1"),
        Row("  an evaluation / that", total["ours"] / other, "ratio", 1.08),
        Row("  by turns, the least", min(turn["ours"] / sum(turn[name] for name in OTHER) for turn in turns), "ratio"),
        Row("  by turns, the most", max(turn["ours"] / sum(turn[name] for name in OTHER) for turn in turns), "ratio"),
        Row("  the same again / the first time", again / total["ours"], "ratio", 0.02),
    ]


OTHER = ("decode", "forward")


@dataclass(frozen=True)
class Piece:
    """So many images, and prompts that no other piece has."""

    name: str
    photos: Sequence[Path]
    count: int
    home: Path

    def dataset(self) -> Dataset:
        """Read and checked, as a loader does it."""
        root = Path("/")
        paths = [str(self.photos[number % len(self.photos)])[1:] for number in range(self.count)]
        ids = [f"{self.name} {number} {path}" for number, path in enumerate(paths)]
        classes = [f"{self.name} thing {number}" for number in range(CLASSES)]
        images = {"id": ids, "path": paths, "label": [number % CLASSES for number in range(self.count)], "label2": [-1] * self.count}
        facts = {"classes": classes, "templates": ["a photo of a {}"], "ks": [1, 5], "pairs": [], "class2": "each", "min_per_group": 25}
        facts |= {"sign": "absolute"}
        texts = class_texts(classes, ["a photo of a {}"])
        return finished(unfinished("bench", "classification", root, images, texts, facts), limit=None)


def _both(piece: Piece, encoders: Mapping[str, Encoder]) -> dict[str, float]:
    """Seconds of processor: ours, and what `bare` gives."""
    return {"ours": _processor(lambda: ours(piece, encoders))} | bare(piece, encoders)


def bare(piece: Piece, encoders: Mapping[str, Encoder]) -> dict[str, float]:
    """Seconds of processor of decoding once, and of all forward passes, whose tensors are made before the clock starts."""
    dataset = piece.dataset()
    resolution = next(iter(encoders.values())).preprocessing.resolution
    files = [dataset.root / path for path in dataset.images["path"]]
    pixel_NRR3 = np.empty((len(files), resolution, resolution, 3), np.uint8)

    def decode() -> None:
        def work(some: slice) -> None:
            for row in range(some.start, some.stop):
                pixel_NRR3[row] = crop(files[row], resolution)

        list(in_threads(batches(len(files), PIECE), work))

    found = {"decode": _processor(decode), "forward": 0.0}
    order, texts = canonical_order(dataset.images["id"]), list(dataset.texts["text"])
    for encoder in encoders.values():
        work = [
            _bare(encoder, "vision", normalised(pixel_NRR3[order[some]], encoder.preprocessing))
            for some in batches(len(files), PROTOCOL.batch_size)
        ]
        tokens = [encoder._tokenizer(texts[some]) for some in batches(len(texts), PROTOCOL.batch_size)]  # type: ignore[attr-defined]
        work += [_bare(encoder, "text", some) for some in tokens]
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            found["forward"] += _processor(lambda pool=pool, work=work: list(pool.map(lambda one: one(), work)))  # type: ignore[misc]
    return found


def ours(piece: Piece, encoders: Mapping[str, Encoder]) -> None:
    """The whole evaluation of every precision."""
    dataset = piece.dataset()
    for name, encoder in encoders.items():
        subject = Subject(name, _no_predict, encoder, f"{piece.name} {name}")
        image_ND, text_MD = subject.embeddings(dataset, PROTOCOL)
        with tempfile.TemporaryDirectory(dir=piece.home) as folder:
            store_outcomes(dataset, image_ND, text_MD, PROTOCOL, Path(folder))


def _bare(encoder: Encoder, tower: str, values: Any) -> Callable[[], object]:
    """One forward pass as short as the library lets it be written."""
    import torch

    if isinstance(encoder, OrtEncoder):
        name, output = TOWERS[tower]
        array = values if isinstance(values, np.ndarray) else values.numpy()
        return lambda: encoder._sessions[tower].run([output], {name: array})
    model = encoder.model if isinstance(encoder, TorchEncoder) else None
    tensor = torch.from_numpy(values) if isinstance(values, np.ndarray) else values
    call = getattr(model, "get_image_features" if tower == "vision" else "get_text_features")

    def work() -> object:
        with torch.inference_mode():
            return call(tensor)

    return work


def _processor(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def _no_predict(frame: object) -> Any:
    raise AssertionError("our own models embed through the Encoder")


def _photographs(folder: Path) -> list[Path]:
    """The photographs of QBIAS_BENCH_PHOTOS, or 200 drawn ones of 500 x 375: smooth areas with noise."""
    if named := os.environ.get("QBIAS_BENCH_PHOTOS"):
        return sorted(Path(named).resolve().rglob("*.jpg"))
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(200):
        areas = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize((500, 375), Image.Resampling.BICUBIC)
        noisy = np.asarray(areas, np.int16) + rng.integers(-12, 13, (375, 500, 3), dtype=np.int16)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / f"{number:03}.jpg", quality=90)
    return sorted(folder.iterdir())


@contextmanager
def _cache(folder: Path) -> Iterator[None]:
    """The cache in a folder of its own."""
    before = os.environ.get("QBIAS_CACHE")
    os.environ["QBIAS_CACHE"] = str(folder)
    try:
        yield
    finally:
        os.environ.pop("QBIAS_CACHE")
        if before is not None:
            os.environ["QBIAS_CACHE"] = before
