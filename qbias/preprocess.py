"""Resize and crop: exactly what open_clip's reference transform gives before ToTensor, with Pillow alone.

Order of the reference: bicubic resize of the short side in the image's own mode, centre crop, then RGB. The order shows: a palette
image is resized by nearest neighbour, because Pillow has no bicubic for palettes. EXIF rotation is not applied there, nor here.
"""

import json
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from qbias.digests import bytes_digest
from qbias.encoder import Pixels, Preprocessing

PREPROCESSING = "preprocessor_config.json"
BICUBIC = 3
MOST_PIXELS = 1 << 28
"""An image is refused where the resized one would have more pixels (a strip of 1 x 65,500 becomes 224 x 14 million)."""


def crop(image: bytes | Path, resolution: int) -> Pixels:
    """The square of `resolution` pixels that a model sees of an image: short side resized (bicubic), centre cropped, RGB.

    Bit-equal to open_clip's evaluation transform before ToTensor. Images smaller than `resolution` are enlarged.

    Parameters
    ----------
    image : an encoded image (JPEG, PNG, ... as Pillow reads them) or the path of one.
    resolution : R, side of the square in pixels.

    Returns
    -------
    (R, R, 3) uint8.

    Raises
    ------
    ValueError
        If the image cannot be decoded or is too long a strip; the message names it.
    """
    try:
        with Image.open(BytesIO(image) if isinstance(image, bytes) else image) as opened:
            width, height = _resized(opened.size, resolution)
            if width * height > MOST_PIXELS:
                raise ValueError(f"{opened.width} x {opened.height} pixels is too long a strip to resize to {resolution}")
            left, top = round((width - resolution) / 2), round((height - resolution) / 2)
            box = (left, top, left + resolution, top + resolution)
            square = opened.resize((width, height), Image.Resampling.BICUBIC).crop(box)
            return np.array(square.convert("RGB"), dtype=np.uint8)
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, Image.DecompressionBombError) as error:
        raise ValueError(f"cannot read {_image_name(image)}: {error}. Replace the file or take its row out") from error


def _resized(size: tuple[int, int], resolution: int) -> tuple[int, int]:
    """Width and height after the short side became `resolution`; the long side is cut to a whole number."""
    width, height = size
    if width <= height:
        return resolution, int(resolution * height / width)
    return int(resolution * width / height), resolution


def _image_name(image: bytes | Path) -> str:
    if isinstance(image, Path):
        return f"image {image}"
    return f"image of {len(image)} bytes (sha256 {bytes_digest(image)[:12]})"


def read_preprocessing(folder: Path) -> Preprocessing:
    """What a transformers CLIP folder says about its input, from preprocessor_config.json.

    Raises
    ------
    ValueError
        If the file is missing or unreadable, or asks for something other than the reference: bicubic, a square, short side = crop.
    """
    file = folder / PREPROCESSING
    try:
        asked: dict[str, Any] = json.loads(file.read_text())
        sides = {_side(asked["size"]), _side(asked["crop_size"])}
        mean, std = (tuple(map(float, asked[name])) for name in ("image_mean", "image_std"))
    except FileNotFoundError:
        raise ValueError(f"{file} is missing: a model folder needs it beside config.json") from None
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file} cannot be read ({error!r}): it needs size, crop_size, image_mean and image_std") from error
    steps = ("do_resize", "do_center_crop", "do_rescale", "do_normalize")
    off = [step for step in steps if not asked.get(step, True)]
    rescale = float(asked.get("rescale_factor", 1 / 255))
    if off or len(sides) != 1 or asked.get("resample", BICUBIC) != BICUBIC or abs(rescale * 255 - 1) > 1e-6:
        raise ValueError(
            f"{file} asks for another preprocessing than open_clip's reference (off: {', '.join(off) or 'nothing'}; sides: "
            f"{sorted(sides)}; resample: {asked.get('resample', BICUBIC)}; rescale: {rescale}): only bicubic resize of the short "
            "side, a centre crop of the same size, and (x / 255 - mean) / std are supported"
        )
    if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
        raise ValueError(f"{file}: image_mean={mean} and image_std={std} need three numbers each, std above 0")
    return Preprocessing(resolution=sides.pop(), mean=(mean[0], mean[1], mean[2]), std=(std[0], std[1], std[2]))


def _side(size: int | Mapping[str, int]) -> int:
    """One side in pixels from any of the spellings in use: 224, {shortest_edge: 224}, {height: 224, width: 224}."""
    sides = {size} if isinstance(size, int) else set(size.values())
    if len(sides) != 1:
        raise ValueError(f"{size} is not a square")
    return int(sides.pop())
