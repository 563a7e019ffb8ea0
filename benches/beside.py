"""Zero-shot evaluation of the same open_clip ViT-B/32 on the same images by CLIP_benchmark and by this project, in turn, in this process.

CLIP_benchmark's side is its own `evaluate` over its own kind of DataLoader (the worker processes of its command line, torch on all cores,
float32): it reads and decodes, embeds prompts and images, and counts. Ours is all that an evaluation does once a model is loaded: a digest
of every file, decoding into the pixel store, embedding, outcomes and their files, metrics. Both start with nothing stored. Then the same
for five precisions, where CLIP_benchmark decodes five times and we once. Clock time of the median round counts, and the processor time of
both with their worker processes stands beside it. Images: as in `speed`.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from benches.models import ARCHITECTURE, _quiet, _threads, quantized
from benches.rows import Row
from benches.speed import CLASSES, PRECISIONS, PROTOCOL, Piece, _cache, _photographs, bare, ours
from qbias.convert import convert
from qbias.encoder import Encoder
from qbias.quantizers import load_encoder
from qbias.quantizers.ort import TOWERS, OrtEncoder
from tests.tiny_open_clip import drawn_model, save

IMAGES, FEW, ROUNDS, WORKERS = 256, 64, 5, 4
"""Images of a round, for one model and for five precisions; rounds of each side; worker processes of CLIP_benchmark's command line."""


def rows() -> list[Row]:
    """One model, then five precisions of it."""
    with tempfile.TemporaryDirectory(prefix="qbias-bench-") as scratch, _quiet(), _cache(Path(scratch) / "cache"):
        home = Path(scratch)
        photos = _photographs(home / "drawn")
        model = drawn_model(ARCHITECTURE)
        baseline = convert(ARCHITECTURE, save(model, home / "drawn.safetensors"), home / "baseline")
        with _threads(1):
            encoders = {name: load_encoder(folder) for name, folder in quantized(baseline, home, PRECISIONS).items()}
        one = _compared("one model", {"fp32": model}, {"fp32": encoders["fp32"]}, photos, home, count=IMAGES)
        theirs = {name: Towers(encoder) for name, encoder in encoders.items()}
        five = _compared("five precisions", theirs, encoders, photos, home, count=FEW)
        return [*one, *five, *_allowed(encoders, photos, home)]


class Towers:
    """An encoder of ours as what CLIP_benchmark asks for: its library's own towers, without this project's loop around them."""

    def __init__(self, encoder: Encoder) -> None:
        """Keep the library's model or sessions."""
        self._encoder = encoder

    def encode_image(self, tensor: Any) -> Any:
        """(N, D) embeddings of normalised images."""
        return self._called("vision", tensor)

    def encode_text(self, tensor: Any) -> Any:
        """(M, D) embeddings of token ids."""
        return self._called("text", tensor)

    def _called(self, tower: str, tensor: Any) -> Any:
        import torch

        if isinstance(self._encoder, OrtEncoder):
            name, output = TOWERS[tower]
            return torch.from_numpy(self._encoder._sessions[tower].run([output], {name: tensor.numpy()})[0])
        model: Any = self._encoder.model  # type: ignore[attr-defined]
        return (model.get_image_features if tower == "vision" else model.get_text_features)(tensor)


def _compared(
    what: str, theirs: Mapping[str, Any], encoders: Mapping[str, Encoder], photos: Sequence[Path], home: Path, *, count: int
) -> list[Row]:
    """Clock and processor time of both sides, a round of each in turn."""
    taken: dict[str, list[tuple[float, float]]] = {"theirs": [], "ours": []}
    for number in range(1 + ROUNDS):
        piece = Piece(f"{what} {number}", photos, count, home)

        def evaluate(piece: Piece = piece) -> None:
            for model in theirs.values():
                clip_benchmark(model, piece, resolution=next(iter(encoders.values())).preprocessing.resolution)

        with _threads(os.cpu_count() or 1):
            taken["theirs"].append(_taken(evaluate))
        with _threads(1):
            taken["ours"].append(_taken(lambda piece=piece: ours(piece, encoders)))  # type: ignore[misc]
        print(f"{what}, round {number}: {taken['theirs'][-1][0]:.1f} s, ours {taken['ours'][-1][0]:.1f} s", file=sys.stderr, flush=True)
    # The first round of each also loads kernels and lays out weights.
    clock, processor = ({side: statistics.median(one[which] for one in times[1:]) for side, times in taken.items()} for which in (0, 1))
    ratios = [their[0] / our[0] for their, our in zip(taken["theirs"][1:], taken["ours"][1:], strict=True)]
    return [
        Row(f"{what}: CLIP_benchmark, {count} images, {CLASSES} prompts", clock["theirs"], "s"),
        Row("  ours", clock["ours"], "s"),
        Row("  CLIP_benchmark's / ours", statistics.median(ratios), "times", least=1.0),
        Row("  by rounds, the least", min(ratios), "times"),
        Row("  by rounds, the most", max(ratios), "times"),
        Row("  the same of processor time", processor["theirs"] / processor["ours"], "times"),
    ]


def clip_benchmark(model: Any, piece: Piece, *, resolution: int) -> dict[str, float]:
    """CLIP_benchmark's zero-shot evaluation of a model with `encode_image` and `encode_text`."""
    import open_clip
    from clip_benchmark.metrics import zeroshot_classification
    from torch.utils.data import DataLoader

    # Its own line gives an array of one number to float(), which numpy 2.4 refuses.
    zeroshot_classification.accuracy = _accuracy
    zeroshot_classification.tqdm = lambda some: some
    dataset = piece.dataset()
    files, labels = [dataset.root / path for path in dataset.images["path"]], list(dataset.images["label"])
    images = Folder(files, labels, dataset.facts["classes"], open_clip.image_transform(resolution, is_train=False))
    loader: Any = DataLoader(images, batch_size=PROTOCOL.batch_size, shuffle=False, num_workers=WORKERS)  # type: ignore[arg-type]
    tokenizer = open_clip.get_tokenizer(ARCHITECTURE)
    words = ["a photo of a {c}"]
    found: dict[str, float] = zeroshot_classification.evaluate(model, loader, tokenizer, images.classes, words, "cpu", amp=False)
    return found


class Folder:
    """Images with labels, as torchvision's ImageFolder gives them."""

    def __init__(self, files: Sequence[Path], labels: Sequence[int], classes: Sequence[str], transform: Callable[[Any], Any]) -> None:
        """Keep what is asked for."""
        self.files, self.labels, self.classes, self.transform = files, labels, list(classes), transform

    def __len__(self) -> int:
        """How many images."""
        return len(self.files)

    def __getitem__(self, row: int) -> tuple[Any, int]:
        """A transformed image and its label."""
        with Image.open(self.files[row]) as image:
            return self.transform(image.convert("RGB")), int(self.labels[row])


def _accuracy(output: Any, target: Any, topk: tuple[int, ...] = (1,)) -> list[float]:
    """What CLIP_benchmark's function of this name gives where it runs."""
    hits = output.topk(max(topk), 1).indices == target[:, None]
    return [float(hits[:, :k].any(dim=1).float().mean()) for k in topk]


def _allowed(encoders: Mapping[str, Encoder], photos: Sequence[Path], home: Path) -> list[Row]:
    """What decoding once instead of for each precision can save, by processor time: decoding's share of evaluations that decode each."""
    with _threads(1):
        taken = bare(Piece("allowed", photos, FEW, home), encoders)
    each, forward = len(encoders) * taken["decode"], taken["forward"]
    return [
        Row("decoding's share of five evaluations that decode each", each / (each + forward), "of 1"),
        Row("decoding once instead of five times allows", (each + forward) / (taken["decode"] + forward), "times"),
    ]


def _taken(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock, and of processor with ended child processes."""
    clock, before = time.perf_counter(), os.times()
    work()
    after = os.times()
    return time.perf_counter() - clock, sum(after[:4]) - sum(before[:4])
