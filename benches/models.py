"""Models: encoders against a bare loop over the same library, loading, bytes on disk, memory of a conversion.

A ViT-B/32 with drawn weights and a small CLIP of the toy world. Both sides of a ratio run in this process, one after the other in turn,
and the best time of each counts: what else runs on the machine only ever adds. Encoders and bare loops run on one thread, as every batch of
an evaluation does, and are compared by processor time. Then images are embedded as an evaluation does it, a batch on each core, against
the bare loop with as many threads as cores, by the clock.
"""

import logging
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benches.rows import Row
from qbias.digests import file_digest
from qbias.embed import embed_images
from qbias.encoder import Encoder, Pixels
from qbias.models import MODELS
from qbias.quantizers import QUANTIZERS, Coverage, load_encoder
from qbias.quantizers.artifact import Card, read_card
from qbias.quantizers.torch_encoder import empty_clip, load_clip, normalised
from tests.tiny_open_clip import drawn_model, save

ARCHITECTURE, TOY, ROUNDS = "ViT-B-32", "toy-s8-balanced", 5
FAST = ("fp32", "torch-int8", "ort-int8")
SMALL = ("torch-int8", "bnb-int8", "bnb-nf4")
Sides = dict[str, Callable[[], object]]
CONVERSION = """
import sys
from pathlib import Path
import open_clip, transformers
from qbias.convert import convert
def held(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))
before = held("VmRSS")
Path("/proc/self/clear_refs").write_text("5")
convert(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
print(held("VmHWM") - before)
"""
"""Prints how far a conversion raises the memory of a process that has imported the libraries (Linux)."""


def rows() -> list[Row]:
    """The ViT-B/32 first, then the small CLIP."""
    with TemporaryDirectory(prefix="qbias-bench-") as scratch, _quiet():
        home = Path(scratch)
        checkpoint = save(drawn_model(ARCHITECTURE), home / "drawn.safetensors")
        memory = conversion_memory(checkpoint, home / "vit")
        vit = quantized(home / "vit", home, [*FAST, *SMALL])
        toy = quantized(MODELS[TOY].folder(), home / "toy", FAST)
        return [
            *speeds("ViT-B/32", vit, batch_size=32, batches=1),
            *speeds(TOY, toy, batch_size=64, batches=16),
            side_by_side(TOY, toy["fp32"], batch_size=64, batches=64),
            Row("loading fp32 ViT-B/32 / (from_pretrained + sha256)", loading(vit["fp32"]), "ratio", 1.3),
            *(size(name, vit[name]) for name in SMALL),
            Row("conversion of ViT-B/32, rise of memory / checkpoint", memory / checkpoint.stat().st_size, "ratio", 2.2),
        ]


def quantized(baseline: Path, home: Path, names: Sequence[str]) -> dict[str, Path]:
    """The model's folder in each precision."""
    folders = {name: home / name for name in names}
    for name, folder in folders.items():
        QUANTIZERS[name].save(baseline, folder)
    return folders


def speeds(model: str, folders: Mapping[str, Path], *, batch_size: int, batches: int) -> list[Row]:
    """Time for the same images, ours over bare, for fp32; and what the speed-ups by quantization are, the library's over ours."""
    with _threads(1):
        seconds = _best(_sides(folders, batch_size, batches), time.process_time)
    found = [
        Row(f"{model}: fp32 encoder on one thread", batch_size * batches / seconds["ours fp32"], "images/s"),
        Row(f"{model}: fp32, encoder's time / bare loop's", seconds["ours fp32"] / seconds["bare fp32"], "ratio", 1 / 0.97),
    ]
    for name in FAST[1:]:
        ours, bare = (seconds[f"{side} fp32"] / seconds[f"{side} {name}"] for side in ("ours", "bare"))
        found += [
            Row(f"{model}: {name}, speed-up by the library alone", bare, "x"),
            Row(f"{model}: {name}, that / the encoder's", bare / ours, "ratio", 1.05),
        ]
    return found


def _sides(folders: Mapping[str, Path], batch_size: int, batches: int) -> Sides:
    """For each precision, the encoder on stored pixels, and a bare loop of the library on tensors made before."""
    encoders = {name: load_encoder(folders[name]) for name in FAST}
    pieces = np.split(_pixels(encoders["fp32"], batch_size * batches), batches)
    tensors = [normalised(piece, encoders["fp32"].preprocessing) for piece in pieces]
    session = _session(folders["ort-int8"] / "vision.onnx")

    def ours(encoder: Encoder) -> Callable[[], object]:
        return lambda: [encoder.images(piece) for piece in pieces]

    return {f"ours {name}": ours(encoder) for name, encoder in encoders.items()} | {
        "bare fp32": _bare_loop(load_clip(folders["fp32"]).eval(), tensors),
        "bare torch-int8": _bare_loop(_torch_int8(folders["fp32"]), tensors),
        "bare ort-int8": lambda: [session.run(None, {"pixel_values": tensor.numpy()}) for tensor in tensors],
    }


def side_by_side(model: str, folder: Path, *, batch_size: int, batches: int) -> Row:
    """Seconds of `embed_images` as evaluations call it, over those of a bare loop with as many threads as this machine has cores."""
    with _threads(1):
        encoder = load_encoder(folder)
    pixel_NRR3 = _pixels(encoder, batch_size * batches)
    ids = [f"{number:06}" for number in range(len(pixel_NRR3))]
    bare = _bare_loop(load_clip(folder).eval(), [normalised(piece, encoder.preprocessing) for piece in np.split(pixel_NRR3, batches)])

    def ours() -> None:
        with _threads(1):
            embed_images(encoder, pixel_NRR3, ids, batch_size=batch_size, advance=lambda count: None)

    with _threads(os.cpu_count() or 1):
        seconds = _best({"ours": ours, "bare": bare})
    return Row(f"{model}: fp32 on all cores, embed_images' time / bare loop's", seconds["ours"] / seconds["bare"], "ratio", 1 / 0.97)


def _pixels(encoder: Encoder, count: int) -> Pixels:
    side = encoder.preprocessing.resolution
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def _bare_loop(model: Any, tensors: Sequence[Any]) -> Callable[[], object]:
    """The image tower on tensors that are ready, as short as it can be written."""
    import torch

    def work() -> None:
        with torch.inference_mode():
            for tensor in tensors:
                model.get_image_features(pixel_values=tensor)

    return work


def _torch_int8(folder: Path) -> Any:
    """What the library makes of the same model, without this project."""
    import torch

    return torch.ao.quantization.quantize_dynamic(load_clip(folder).eval(), {torch.nn.Linear}, dtype=torch.qint8)  # type: ignore[no-untyped-call]


def _session(graph: Path) -> Any:
    """The library's session over the graph that its quantizer wrote, with its own settings but for one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return onnxruntime.InferenceSession(graph.as_posix(), options, providers=["CPUExecutionProvider"])


def loading(folder: Path) -> float:
    """Seconds of `load_encoder` over those of transformers' own loading plus one pass of sha256 over the same files."""

    def bare() -> None:
        load_clip(folder)
        for file in folder.iterdir():
            file_digest(file)

    seconds = _best({"ours": lambda: load_encoder(folder), "bare": bare})
    return seconds["ours"] / seconds["bare"]


def size(name: str, folder: Path) -> Row:
    """All bytes of the folder over the floor: covered weights at the method's bits with its scales, and the rest in float32."""
    card = read_card(folder)
    covered, total = card.coverage.parameters_quantized, card.coverage.parameters_total
    floor = covered * QUANTIZERS[name].bits / 8 + 4 * (total - covered) + 4 * scales(card, folder)
    stored = sum(file.stat().st_size for file in folder.iterdir())
    return Row(f"ViT-B/32 {name}, bytes on disk / floor of {floor / 1e6:.1f} MB", stored / floor, "ratio", 1.05)


def scales(card: Card, folder: Path) -> int:
    """How many float32 scales the method itself keeps: one a matrix (torch-int8), an output row (bnb-int8), 64 weights (nf4)."""
    coverage: Coverage = card.coverage
    if card.quantizer == "torch-int8":
        return coverage.quantized
    if card.quantizer == "bnb-nf4":
        return coverage.parameters_quantized // 64
    linears = {name: module for name, module in empty_clip(folder).named_modules() if hasattr(module, "out_features")}
    return sum(module.out_features for name, module in linears.items() if name not in coverage.kept_float)


def conversion_memory(checkpoint: Path, out: Path) -> int:
    """Bytes by which converting the checkpoint to `out` raises the memory of a process of its own."""
    command = [sys.executable, "-c", CONVERSION, ARCHITECTURE, str(checkpoint), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).resolve().parent.parent)  # noqa: S603
    return int(done.stdout.split()[-1])


def _best(sides: Sides, clock: Callable[[], float] = time.perf_counter) -> dict[str, float]:
    """Least time of each, in turns; the first turn is not timed."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(1 + ROUNDS):
        for name, work in sides.items():
            started = clock()
            work()
            seconds[name].append(clock() - started)
    return {name: min(times[1:]) for name, times in seconds.items()}


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Torch with this many threads an operation."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the libraries' remarks on drawn weights and deprecations."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
