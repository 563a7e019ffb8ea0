"""Resize and crop: exactly what open_clip's reference transform gives before ToTensor, with Pillow alone.

Order of the reference: bicubic resize of the short side in the image's own mode, centre crop, then RGB. The order shows: a palette
image is resized by nearest neighbour, because Pillow has no bicubic for palettes. EXIF rotation is not applied there, nor here (for TIFF
files Pillow applies it itself, there and here). Of an animation the first frame counts.

Which images are refused depends on the file and Pillow's version alone: not on the model's resolution, the number of threads, Python's
warning filters, or the programs and Pillow plugins that a machine happens to have.
"""

import json
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from qbias.digests import bytes_digest
from qbias.encoder import Pixels, Preprocessing

PREPROCESSING = "preprocessor_config.json"
BICUBIC = 3
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
"""What is read, whatever the file's name says. Some of Pillow's other formats start programs (EPS) or need plugins."""
MOST_PIXELS = 89_478_485
"""A larger image is refused: where Pillow begins to warn of a decompression bomb. As RGB it fills 340 MiB."""
MOST_STRETCHED = 500
"""A strip with a long side of more than so many short sides is refused: its resized form would fill the memory."""


class BadImage(ValueError):
    """An image that cannot be used.

    Attributes
    ----------
    reason : what is wrong with it, without its name.
    lasting : whether the reason lies in the file's content; otherwise (permissions, memory) another try may end otherwise.
    """

    def __init__(self, name: str, reason: str, lasting: bool) -> None:
        super().__init__(name, reason, lasting)
        self.name, self.reason, self.lasting = name, reason, lasting

    def __str__(self) -> str:
        return f"cannot read {self.name}: {self.reason}. Replace the file or take its row out"


class Room:
    """Room for so many pixels in memory at a time; who finds too little waits."""

    def __init__(self, pixels: int) -> None:
        """Start with all of it free."""
        self.free = pixels
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, pixels: int) -> Iterator[None]:
        """Take room for `pixels` (at most all there is) until the block ends."""
        with self._changed:
            self._changed.wait_for(lambda: self.free >= pixels)
            self.free -= pixels
        try:
            yield
        finally:
            with self._changed:
                self.free += pixels
                self._changed.notify_all()


ROOM = Room(MOST_PIXELS)
"""Shared by all threads of the process: many small images are decoded at a time, or one large one."""
_WARNED_AS_ERROR = threading.Lock()


def crop(image: bytes | Path, resolution: int) -> Pixels:
    """The square of `resolution` pixels that a model sees of an image: short side resized (bicubic), centre cropped, RGB.

    Bit-equal to open_clip's evaluation transform before ToTensor. Images smaller than `resolution` are enlarged.

    Parameters
    ----------
    image : an encoded image (of one of FORMATS) or the path of one.
    resolution : R, side of the square in pixels.

    Returns
    -------
    (R, R, 3) uint8.

    Raises
    ------
    BadImage
        If the image cannot be decoded, has more than MOST_PIXELS or is too long a strip; a ValueError whose message names it.
    """
    try:
        try:
            return _square(image, resolution)
        except Warning:
            # Under `python -W error` Pillow's remarks (damaged EXIF, a palette's transparency) stop it; without, the image is used.
            # The filters belong to the whole process, so one thread at a time may change them.
            with _WARNED_AS_ERROR, warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return _square(image, resolution)
    except Exception as error:
        # Pillow's readers raise whatever a damaged file makes them trip over: OSError, SyntaxError, struct.error, KeyError, ...
        lasting = not isinstance(error, MemoryError) and getattr(error, "errno", None) is None
        raise BadImage(_image_name(image), _reason(error), lasting) from error


def _square(image: bytes | Path, resolution: int) -> Pixels:
    # A path given to Pillow is mapped into memory, where some damaged files look otherwise than their bytes do.
    with BytesIO(image) if isinstance(image, bytes) else image.open("rb") as file, Image.open(file, formats=FORMATS) as opened:
        pixels, short, long = opened.width * opened.height, min(opened.size), max(opened.size)
        if pixels > MOST_PIXELS:
            raise ValueError(f"{opened.width} x {opened.height} pixels are more than {MOST_PIXELS:,}, perhaps a decompression bomb")
        if long > MOST_STRETCHED * short:
            raise ValueError(f"{opened.width} x {opened.height} pixels are a strip of more than 1 : {MOST_STRETCHED}")
        width, height = _resized(opened.size, resolution)
        left, top = round((width - resolution) / 2), round((height - resolution) / 2)
        with ROOM.taken(min(pixels + width * height, MOST_PIXELS)):
            square = opened.resize((width, height), Image.Resampling.BICUBIC).crop((left, top, left + resolution, top + resolution))
            # Only a remark about the alpha of some palettes depends on it: the conversion to RGB drops transparency.
            square.info.pop("transparency", None)
            return np.array(square.convert("RGB"), dtype=np.uint8)


def _reason(error: Exception) -> str:
    """What is wrong with an image, from what reading it raised; without the file's name, which the caller knows."""
    if isinstance(error, UnidentifiedImageError):
        return f"it is empty, or damaged from its first bytes on, or of no format that is read here ({', '.join(FORMATS)})"
    if isinstance(error, MemoryError):
        return "there is not enough memory to decode it"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    known = isinstance(error, OSError | ValueError | SyntaxError | Image.DecompressionBombError)
    return str(error) if known and str(error) else repr(error)


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
