"""`python -m benches.parity FOLDER`: how many of your own photographs qbias treats exactly as open_clip does; nothing is downloaded.

First the pixels: `qbias.preprocess.crop` against open_clip's evaluation transform, bit by bit. Then zero-shot predictions of one
architecture with drawn weights: measured here from the converted model, against open_clip's own zero-shot code, for ImageNet's class
names. Drawn weights know no class, so the predictions mean nothing; two routes that agree on them agree on trained ones.
"""

import argparse
import logging
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

from qbias.environment import one_thread_per_batch
from qbias.preprocess import FORMATS, crop
from tests.tiny_open_clip import drawn_model
from tests.zero_shot import TOP, Predicted, converted_encoder, measured_predictions, reference_predictions, reference_transform

ARCHITECTURE, RESOLUTION = "ViT-B-32-quickgelu", 224
NEAR = 1e-5
"""Cosines closer than this may change places by the order of float sums (two ImageNet class names stand twice: those are equal)."""


def main(arguments: Sequence[str]) -> int:
    """Compare pixels and predictions, print the counts; 0 when the pixels of every image are equal and no prediction really differs."""
    parser = argparse.ArgumentParser(prog="python -m benches.parity", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, help="searched for images, subfolders too")
    parser.add_argument("--limit", type=int, help="use this many images, evenly spread (default: all)")
    parser.add_argument("--classes", type=int, default=100, help="use ImageNet's first so many class names, of 1,000 (default: 100)")
    options = parser.parse_args(arguments)
    files = photographs(options.folder)
    if not files or options.classes <= TOP or (options.limit is not None and options.limit < 1):
        parser.error(f"give a folder with images ({len(files)} in {options.folder}), a limit of at least 1, and more than {TOP} classes")
    files = files[:: max(1, len(files) // options.limit)][: options.limit] if options.limit else files
    logging.disable(logging.WARNING)  # open_clip warns that the weights are drawn
    usable, differing = compare_pixels(files)
    unequal = compare_predictions(options.folder, usable, options.classes) if usable else 0
    return int(differing > 0 or unequal > 0)


def photographs(folder: Path) -> list[Path]:
    """Every file below `folder` whose name ends as an image's of the formats read here, sorted."""
    endings = {ending for ending, kind in Image.registered_extensions().items() if kind in FORMATS}
    return sorted(file for file in folder.rglob("*") if file.suffix.lower() in endings and file.is_file())


def compare_pixels(files: Sequence[Path]) -> tuple[list[Path], int]:
    """Print how many images are bit-equal; the images that both can read, and how many differ."""
    from open_clip import image_transform

    # Without the last two steps, ToTensor and Normalize: uint8 pixels.
    steps = image_transform(RESOLUTION, is_train=False).transforms[:-2]
    modes: Counter[str] = Counter()
    usable, differing, refused = [], [], []
    for file in files:
        theirs, mode = _reference_pixels(file, steps)
        try:
            ours = crop(file, RESOLUTION)
        except ValueError as error:
            refused.append(f"{error}; open_clip {'reads it' if theirs is not None else 'cannot either'}")
            continue
        modes[mode] += 1
        usable += [file] if theirs is not None else []
        differing += [f"{file} ({mode})"] if theirs is None or not np.array_equal(ours, theirs) else []
    kinds, count = ", ".join(f"{count} {mode}" for mode, count in modes.most_common()), modes.total()
    print(f"pixels: {count - len(differing)} of {count} images bit-equal to open_clip's transform at {RESOLUTION} ({kinds})")
    for what, some in (("differs", differing), ("not read", refused)):
        print("".join(f"  {what}: {one}\n" for one in some[:20]), end="")
    return usable, len(differing)


def _reference_pixels(file: Path, steps: Sequence[Any]) -> tuple[np.ndarray | None, str]:
    """What open_clip's steps make of a file (None where it cannot be read), and the file's format and mode."""
    try:
        with Image.open(file) as image:
            kind, made = f"{image.format} {image.mode}", image
            for step in steps:
                made = step(made)
            return np.asarray(made), kind
    except Exception:  # Pillow's readers raise whatever a damaged file makes them trip over.
        return None, "unreadable for open_clip"


def compare_predictions(folder: Path, files: list[Path], classes: int) -> int:
    """Print how many predictions are equal and how far the embeddings are apart; how many differ beyond rounding."""
    import open_clip

    names, simple = open_clip.IMAGENET_CLASSNAMES[:classes], open_clip.SIMPLE_IMAGENET_TEMPLATES
    templates = [template("{}") for template in simple]
    model = drawn_model(ARCHITECTURE)
    theirs = reference_predictions(model, ARCHITECTURE, reference_transform(model), files, names, templates)
    with TemporaryDirectory(prefix="qbias-parity-") as place:
        os.environ["QBIAS_CACHE"] = f"{place}/cache"
        one_thread_per_batch()
        encoder = converted_encoder(model, ARCHITECTURE, Path(place))
        ours = measured_predictions(encoder, folder, files, names, templates)
    print(f"zero-shot, {ARCHITECTURE} with drawn weights, {len(names)} classes x {len(templates)} templates:")
    return _report(ours, theirs)


def _report(ours: Predicted, theirs: Predicted) -> int:
    """Counts, distances, and the scores of open_clip between which predictions changed places; how many of these are no near tie."""
    apart_ND = ours.image_ND.astype(np.float64) - theirs.image_ND
    # Of unit rows, 1 - cosine is half the squared distance, which rounding does not hide.
    cosine, coordinate = (apart_ND**2).sum(axis=1).max() / 2, np.abs(apart_ND).max()
    print(f"  embeddings: largest 1 - cosine {cosine:.1e}, largest difference of a coordinate {coordinate:.1e}")
    for k in (1, TOP):
        equal_N = (ours.top_NK[:, :k] == theirs.top_NK[:, :k]).all(axis=1)
        print(f"  top {k}: {np.count_nonzero(equal_N)} of {len(equal_N)} predictions equal, in order")
    best_N2 = -np.sort(-theirs.score_NC, axis=1)[:, :2]
    lead_N, first_N = best_N2[:, 0] - best_N2[:, 1], ours.top_NK[:, 0] != theirs.top_NK[:, 0]
    print(f"  {len(set(theirs.top_NK[:, 0]))} classes predicted; cosine of the first less the second: at least {lead_N.min():.1e}")
    if first_N.any():
        print(f"  where the first differs: {lead_N[first_N].min():.1e} to {lead_N[first_N].max():.1e}")
    rows, ranks = np.nonzero(ours.top_NK != theirs.top_NK)
    swapped = np.abs(theirs.score_NC[rows, ours.top_NK[rows, ranks]] - theirs.score_NC[rows, theirs.top_NK[rows, ranks]])
    if len(rows):
        print(f"  {len(rows)} places of {theirs.top_NK.size} differ, between classes whose cosines differ by at most {swapped.max():.1e}")
    return int(np.count_nonzero(swapped > NEAR))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
