"""qbias.preprocess: bit-equal to open_clip's reference transform, and clear about what it cannot read."""

import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qbias.encoder import Pixels, Preprocessing
from qbias.preprocess import crop, read_preprocessing
from tests.tiny import MEAN, RESOLUTION, STD

SIZES = [(64, 64), (65, 64), (67, 101), (101, 67), (30, 20), (1, 1), (3, 200), (223, 97), (256, 256)]


def drawn(mode: str, size: tuple[int, int]) -> Image.Image:
    """A noisy image of any mode; the seed follows from size and mode."""
    generator = np.random.default_rng([*size, *mode.encode()])
    width, height = size
    if mode == "I;16":
        return Image.fromarray(generator.integers(0, 1 << 16, (height, width), dtype=np.uint16))
    if mode in ("1", "P"):
        colours = Image.fromarray(generator.integers(0, 256, (height, width, 3), dtype=np.uint8))
        return colours.convert(mode)
    bands = {"L": (), "LA": (2,), "RGB": (3,), "RGBA": (4,), "CMYK": (4,)}[mode]
    values = generator.integers(0, 256, (height, width, *bands), dtype=np.uint8)
    return Image.fromarray(values).convert(mode) if mode in ("L", "RGB") else Image.frombytes(mode, size, values.tobytes())


def encoded(image: Image.Image, kind: str) -> bytes:
    """The bytes of an image file."""
    file = BytesIO()
    image.save(file, kind)
    return file.getvalue()


def reference(content: bytes, resolution: int) -> Pixels:
    """What open_clip's own transform gives before ToTensor: its first steps, up to the conversion to RGB."""
    open_clip = pytest.importorskip("open_clip", reason="the reference implementation")
    steps = open_clip.image_transform(resolution, is_train=False).transforms[:-2]
    image = Image.open(BytesIO(content))
    for step in steps:
        image = step(image)
    return np.asarray(image)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("RGB", "JPEG"),
        ("L", "JPEG"),
        ("CMYK", "JPEG"),
        ("RGB", "PNG"),
        ("L", "PNG"),
        ("LA", "PNG"),
        ("RGBA", "PNG"),
        ("P", "PNG"),
        ("1", "PNG"),
        ("I;16", "PNG"),
        ("P", "GIF"),
        ("RGB", "BMP"),
        ("I;16", "TIFF"),
        ("RGBA", "WEBP"),
    ],
)
def test_equals_the_reference_transform(mode: str, kind: str, size: tuple[int, int]) -> None:
    """Every mode and size gives the reference's bytes, at the resolution of the demo and at an odd one."""
    content = encoded(drawn(mode, size), kind)
    for resolution in (RESOLUTION, 37):
        pixels = crop(content, resolution)
        assert (pixels.dtype.name, pixels.shape) == ("uint8", (resolution, resolution, 3))
        np.testing.assert_array_equal(pixels, reference(content, resolution))


def test_a_path_and_its_bytes_are_the_same(tmp_path: Path) -> None:
    """Files are read like bytes, whatever their name says, and rotation marks are not applied (as in the reference)."""
    image = drawn("RGB", (40, 70))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "picture.jpg", exif=exif)
    content = (tmp_path / "picture.jpg").read_bytes()
    np.testing.assert_array_equal(crop(tmp_path / "picture.jpg", 32), crop(content, 32))
    np.testing.assert_array_equal(crop(content, 32), reference(content, 32))


def test_pixels_own_their_memory() -> None:
    """The array can be written to and outlives the image."""
    pixels = crop(encoded(drawn("RGB", (64, 64)), "PNG"), 64)
    pixels[0, 0] = 7
    assert pixels.flags.owndata


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no image at all",
        encoded(drawn("RGB", (50, 50)), "JPEG")[:400],
        encoded(drawn("RGB", (50, 50)), "PNG")[:-500],
        b"\x89PNG\r\n\x1a\n" + b"\0" * 40,
    ],
)
def test_undecodable_images_are_named(content: bytes, tmp_path: Path) -> None:
    """Bytes are named by length and digest, files by their path."""
    with pytest.raises(ValueError, match=f"image of {len(content)} bytes"):
        crop(content, 64)
    (tmp_path / "broken.jpg").write_bytes(content)
    with pytest.raises(ValueError, match=r"broken\.jpg"):
        crop(tmp_path / "broken.jpg", 64)


def test_missing_files_and_long_strips_are_refused(tmp_path: Path) -> None:
    """A strip whose resized form would fill the memory is refused before it is made."""
    with pytest.raises(ValueError, match=r"absent\.png"):
        crop(tmp_path / "absent.png", 64)
    with pytest.raises(ValueError, match="too long a strip"):
        crop(encoded(Image.new("L", (1, 65_000)), "PNG"), 224)


def written(folder: Path, **changes: object) -> Path:
    """A folder with a preprocessor_config.json, changed here and there (None: left out)."""
    asked: dict[str, object] = {
        "size": {"shortest_edge": 64},
        "crop_size": {"height": 64, "width": 64},
        "image_mean": MEAN,
        "image_std": STD,
        "resample": 3,
    }
    kept = {name: value for name, value in (asked | changes).items() if value is not None}
    (folder / "preprocessor_config.json").write_text(json.dumps(kept))
    return folder


@pytest.mark.parametrize("changes", [{}, {"size": 64, "crop_size": 64}, {"size": {"height": 64, "width": 64}}, {"resample": None}])
def test_preprocessing_is_read(tmp_path: Path, changes: dict[str, object]) -> None:
    """All spellings of a size in use mean the same."""
    assert read_preprocessing(written(tmp_path, **changes)) == Preprocessing(64, MEAN, STD)


@pytest.mark.parametrize(
    "changes",
    [
        {"size": {"shortest_edge": 72}},
        {"crop_size": {"height": 64, "width": 48}},
        {"resample": 2},
        {"do_center_crop": False},
        {"rescale_factor": 1.0},
        {"image_mean": None},
        {"image_std": (0.5, 0.5)},
        {"image_std": (0.5, 0.5, 0.0)},
        {"image_mean": 0.5},
    ],
)
def test_other_preprocessings_are_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    """What the reference does not do is refused, naming the file."""
    with pytest.raises(ValueError, match=r"preprocessor_config\.json"):
        read_preprocessing(written(tmp_path, **changes))


def test_a_missing_or_damaged_file_is_named(tmp_path: Path) -> None:
    """No file, or no JSON in it."""
    with pytest.raises(ValueError, match=r"preprocessor_config\.json is missing"):
        read_preprocessing(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text("{")
    with pytest.raises(ValueError, match="cannot be read"):
        read_preprocessing(tmp_path)
