"""qbias.preprocess: bit-equal to open_clip's reference transform, and clear about what it cannot read."""

import importlib
import json
import pickle
import struct
import subprocess
import sys
import threading
import warnings
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from qbias import preprocess
from qbias.encoder import Pixels, Preprocessing
from qbias.preprocess import MOST_PIXELS, MOST_STRETCHED, ROOM, BadImage, Room, crop, read_preprocessing
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


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """The bytes of an image file."""
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def reference(content: bytes, resolution: int) -> Pixels:
    """What open_clip's own transform gives before ToTensor: its first steps, up to the conversion to RGB."""
    open_clip = pytest.importorskip("open_clip", reason="the reference implementation")
    steps = open_clip.image_transform(resolution, is_train=False).transforms[:-2]
    image = Image.open(BytesIO(content))
    with warnings.catch_warnings():
        # Pillow remarks that a palette's alpha is lost.
        warnings.simplefilter("ignore")
        for step in steps:
            image = step(image)
    return np.asarray(image)


def palette(size: tuple[int, int]) -> Image.Image:
    return drawn("P", size)


def rotated(size: tuple[int, int], kind: str) -> bytes:
    """An image with the mark of a camera held upright."""
    exif = Image.Exif()
    exif[0x0112] = 6
    file = BytesIO()
    drawn("RGB", size).save(file, kind, exif=exif)
    return file.getvalue()


def animated(size: tuple[int, int], kind: str) -> bytes:
    file = BytesIO()
    first, second = drawn("RGB", size), drawn("L", size).convert("RGB")
    first.save(file, kind, save_all=True, append_images=[second])
    return file.getvalue()


KINDS: dict[str, Callable[[tuple[int, int]], bytes]] = {
    "JPEG": lambda size: encoded(drawn("RGB", size), "JPEG"),
    "grey JPEG": lambda size: encoded(drawn("L", size), "JPEG"),
    "CMYK JPEG": lambda size: encoded(drawn("CMYK", size), "JPEG"),
    "EXIF-rotated JPEG": lambda size: rotated(size, "JPEG"),
    "PNG": lambda size: encoded(drawn("RGB", size), "PNG"),
    "grey PNG": lambda size: encoded(drawn("L", size), "PNG"),
    "grey PNG with alpha": lambda size: encoded(drawn("LA", size), "PNG"),
    "grey PNG with a transparent grey": lambda size: encoded(drawn("L", size), "PNG", transparency=7),
    "PNG with alpha": lambda size: encoded(drawn("RGBA", size), "PNG"),
    "PNG with a transparent colour": lambda size: encoded(drawn("RGB", size), "PNG", transparency=(1, 2, 3)),
    "palette PNG": lambda size: encoded(palette(size), "PNG"),
    "palette PNG with a transparent colour": lambda size: encoded(palette(size), "PNG", transparency=3),
    "palette PNG with alpha": lambda size: encoded(palette(size), "PNG", transparency=bytes(range(200))),
    "1-bit PNG": lambda size: encoded(drawn("1", size), "PNG"),
    "16-bit grey PNG": lambda size: encoded(drawn("I;16", size), "PNG"),
    "EXIF-rotated PNG": lambda size: rotated(size, "PNG"),
    "animated PNG": lambda size: animated(size, "PNG"),
    "GIF": lambda size: encoded(palette(size), "GIF"),
    "GIF with a transparent colour": lambda size: encoded(palette(size), "GIF", transparency=3),
    "animated GIF": lambda size: animated(size, "GIF"),
    "BMP": lambda size: encoded(drawn("RGB", size), "BMP"),
    "16-bit grey TIFF": lambda size: encoded(drawn("I;16", size), "TIFF"),
    "EXIF-rotated TIFF": lambda size: rotated(size, "TIFF"),
    "WebP": lambda size: encoded(drawn("RGB", size), "WEBP"),
    "WebP with alpha": lambda size: encoded(drawn("RGBA", size), "WEBP"),
    "animated WebP": lambda size: animated(size, "WEBP"),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_equals_the_reference_transform(kind: str, size: tuple[int, int]) -> None:
    """Every kind and size gives the reference's bytes, at the resolution of the demo and at an odd one."""
    content = KINDS[kind](size)
    for resolution in (RESOLUTION, 37):
        pixels = crop(content, resolution)
        assert (pixels.dtype.name, pixels.shape) == ("uint8", (resolution, resolution, 3))
        np.testing.assert_array_equal(pixels, reference(content, resolution))


def test_a_path_and_its_bytes_are_the_same(tmp_path: Path) -> None:
    """Files are read like bytes, whatever their name says."""
    for number, kind in enumerate(KINDS):
        content = KINDS[kind]((40, 70))
        (tmp_path / f"{number}.jpg").write_bytes(content)
        np.testing.assert_array_equal(crop(tmp_path / f"{number}.jpg", 32), crop(content, 32))


def test_a_path_and_its_bytes_are_the_same_where_pillow_would_differ(tmp_path: Path) -> None:
    """Pillow maps plain files into memory, and reads this one (1 bit a pixel, it says) only there."""
    content = bytearray(encoded(drawn("L", (12, 10)), "BMP"))
    content[28] = 1
    (tmp_path / "a.bmp").write_bytes(content)
    with Image.open(tmp_path / "a.bmp") as opened:
        opened.load()
    for image in (bytes(content), tmp_path / "a.bmp"):
        with pytest.raises(BadImage):
            crop(image, 8)


def test_usable_images_are_read_without_remarks() -> None:
    """No warning for a palette whose alpha is lost, as it is for every other kind."""
    with warnings.catch_warnings(record=True) as remarks:
        warnings.simplefilter("always")
        for kind in KINDS.values():
            crop(kind((40, 30)), 8)
    assert remarks == []


def test_pixels_own_their_memory() -> None:
    """The array can be written to and outlives the image."""
    pixels = crop(encoded(drawn("RGB", (64, 64)), "PNG"), 64)
    pixels[0, 0] = 7
    assert pixels.flags.owndata


def chunk(name: bytes, data: bytes) -> bytes:
    """One chunk of a PNG file."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(*, width: int = 8, height: int = 8, before: bytes = b"", data: bytes | None = None) -> bytes:
    """An 8-bit grey PNG whose header says what it is told to, with chunks `before` its `data`."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    filled = chunk(b"IDAT", zlib.compress(bytes(9 * 8)) if data is None else data)
    return b"\x89PNG\r\n\x1a\n" + header + before + filled + chunk(b"IEND", b"")


def cut(kind: str) -> bytes:
    """The first half of an image file."""
    content = KINDS[kind]((50, 50))
    return content[: len(content) // 2]


HEADER = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)
SPOILT = png().replace(b"IDAT", b"IDAT\0", 1)
BAD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "it is empty"),
    "text": (b"no image at all\n" * 9, "of no format that is read here"),
    "a script that Pillow would run": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "of no format that is read here"),
    "half a JPEG": (cut("JPEG"), "truncated"),
    "half a PNG": (cut("PNG"), "truncated"),
    "half a WebP": (cut("WebP"), ""),
    "half a GIF": (cut("GIF"), "truncated"),
    "half a BMP": (cut("BMP"), "truncated"),
    "half a TIFF": (cut("16-bit grey TIFF"), ""),
    "a PNG that ends after its header": (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, ""),
    "a PNG with a chunk moved by a byte": (SPOILT, ""),
    "a PNG with a wrong checksum": (png().replace(HEADER, HEADER[:-1] + b"\1"), ""),
    "a PNG with broken zlib data": (png(data=b"\x78\x9c" + b"\xff" * 30), "broken data stream"),
    "a PNG with an endless text": (png(before=chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 21)))), "too large"),
    "a PNG with a short header": (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", b"\0" * 5) + chunk(b"IEND", b""), ""),
    "a bomb": (png(width=100_000, height=100_000), "bomb"),
    "a bomb of a size that Pillow only warns of": (png(width=10_000, height=10_000), "bomb"),
    "a long strip": (png(width=1, height=501), "strip"),
}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_undecodable_images_are_named(kind: str, tmp_path: Path) -> None:
    """Bytes are named by length and digest, files by their path; the fault lies in the content, and no room stays taken."""
    content, reason = BAD[kind]
    with pytest.raises(BadImage, match=f"image of {len(content)} bytes") as told:
        crop(content, 64)
    assert reason in told.value.reason
    assert told.value.lasting
    (tmp_path / "broken.jpg").write_bytes(content)
    with pytest.raises(ValueError, match=r"broken\.jpg"):
        crop(tmp_path / "broken.jpg", 64)
    assert ROOM.free == MOST_PIXELS


def test_well_made_files_of_these_builders_are_read() -> None:
    """The builders of bad files spoil what they say and nothing else."""
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 19)))
    for content in (png(), png(before=text), png(height=500, width=1, data=zlib.compress(bytes(2 * 500)))):
        assert crop(content, 8).shape == (8, 8, 3)


def test_what_cannot_be_opened_is_named_and_may_be_another_next_time(tmp_path: Path) -> None:
    """A missing file, a folder, a link to itself."""
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    for name in ("absent.png", "folder.png", "loop.png"):
        with pytest.raises(BadImage, match=name) as told:
            crop(tmp_path / name, 64)
        assert not told.value.lasting
        assert str(tmp_path) not in told.value.reason


@pytest.mark.parametrize("resolution", [1, 8, 224, 336])
def test_which_strips_are_refused_does_not_depend_on_the_resolution(resolution: int) -> None:
    """A strip is refused by its shape, on its side or upright, before its resized form is made."""
    for longest, longer in (((1, MOST_STRETCHED), (1, MOST_STRETCHED + 1)), ((2 * MOST_STRETCHED, 2), (2 * MOST_STRETCHED + 1, 2))):
        assert crop(encoded(Image.new("L", longest), "PNG"), resolution).shape == (resolution, resolution, 3)
        with pytest.raises(BadImage, match="strip"):
            crop(encoded(Image.new("L", longer), "PNG"), resolution)


@pytest.mark.parametrize("size", [(10_000, 10_000), (8_946, 10_003), (100_000, 100_000)])
def test_bombs_are_refused_whatever_python_does_with_warnings(size: tuple[int, int]) -> None:
    """Refused with one reason, where a warning is an error and where it is none; the filters are as before."""
    content, before = png(width=size[0], height=size[1]), list(warnings.filters)
    told = []
    for action in ("error", "ignore"):
        with warnings.catch_warnings():
            warnings.simplefilter(action)
            with pytest.raises(BadImage) as refused:
                crop(content, 64)
        told.append(refused.value.reason)
    assert told[0] == told[1]
    assert list(warnings.filters) == before


def damaged_exif() -> tuple[bytes, bytes]:
    """A JPEG whose EXIF block promises more than it has, and the same without that block."""
    block = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 40) + struct.pack("<HHII", 0x011A, 5, 1, 9_000)
    image = drawn("RGB", (40, 30))
    return encoded(image, "JPEG", exif=block), encoded(image, "JPEG")


def test_images_that_pillow_remarks_on_are_read_whatever_python_does_with_warnings() -> None:
    """Damaged EXIF is common in photographs; it is no part of the picture."""
    damaged, plain = damaged_exif()
    with pytest.warns(UserWarning, match="Truncated File Read"):
        reference(damaged, 32)
    for action in ("error", "ignore"):
        with warnings.catch_warnings():
            warnings.simplefilter(action)
            np.testing.assert_array_equal(crop(damaged, 32), crop(plain, 32))


def test_a_huge_exif_block_is_read_over() -> None:
    """As much EXIF as a JPEG can hold."""
    image = drawn("RGB", (40, 30))
    exif = Image.Exif()
    exif[0x010E] = "x" * 65_000
    np.testing.assert_array_equal(crop(encoded(image, "JPEG", exif=exif), 32), crop(encoded(image, "JPEG"), 32))


SHORT_OF_MEMORY = """
import resource, sys, pathlib
from qbias.preprocess import BadImage, crop
used = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20), resource.RLIM_INFINITY))
try:
    crop(pathlib.Path(sys.argv[1]), 8)
except BadImage as error:
    print(error.lasting, error.reason)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the process's size is read from /proc")
def test_too_little_memory_is_told_and_may_be_more_next_time(tmp_path: Path) -> None:
    """An image within the limits, in a process that may not grow."""
    rows = zlib.compressobj(1)
    data = b"".join(rows.compress(bytes(9_001)) for _ in range(9_000)) + rows.flush()
    (tmp_path / "large.png").write_bytes(png(width=9_000, height=9_000, data=data))
    code = [sys.executable, "-c", SHORT_OF_MEMORY, str(tmp_path / "large.png")]
    shown = subprocess.run(code, capture_output=True, text=True, check=True, cwd=Path(__file__).parent.parent)
    assert shown.stdout == "False there is not enough memory to decode it\n"


def test_the_room_is_shared() -> None:
    """Who finds too little room waits until another leaves."""
    room, order = Room(10), []

    def small() -> None:
        with room.taken(4):
            order.append("entered")

    thread = threading.Thread(target=small)
    with room.taken(5), room.taken(2):
        thread.start()
        thread.join(timeout=0.1)  # It cannot enter; without the wait it could not show that it does.
        order.append("left")
    thread.join()
    assert order == ["left", "entered"]
    assert room.free == 10


def test_an_image_takes_room_for_itself_and_its_resized_form(monkeypatch: pytest.MonkeyPatch) -> None:
    """In pixels, and never more than there is."""
    taken = []

    class Counted(Room):
        def taken(self, pixels: int) -> AbstractContextManager[None]:
            taken.append(pixels)
            return super().taken(pixels)

    monkeypatch.setattr(preprocess, "ROOM", Counted(MOST_PIXELS))
    crop(encoded(drawn("L", (30, 20)), "PNG"), 10)
    crop(encoded(Image.new("1", (500, 1)), "PNG"), 600)
    assert taken == [30 * 20 + 15 * 10, MOST_PIXELS]


def test_the_error_travels_between_processes() -> None:
    """Errors of worker processes are pickled."""
    with pytest.raises(BadImage) as told:
        crop(b"", 8)
    copy = pickle.loads(pickle.dumps(told.value))  # noqa: S301 - made a moment ago
    assert (str(copy), copy.reason, copy.lasting) == (str(told.value), told.value.reason, told.value.lasting)


def test_nothing_that_the_project_imports_makes_pillow_fill_up_truncated_images() -> None:
    """The switch is global, so any library could turn it on."""
    for library in ("open_clip", "torchvision", "transformers", "timm", "mlflow", "matplotlib.pyplot"):
        importlib.import_module(library)
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


FUZZED = {
    kind: KINDS[kind]((12, 10)) for kind in ("JPEG", "PNG", "palette PNG with alpha", "WebP", "animated GIF", "BMP", "EXIF-rotated TIFF")
}


@pytest.mark.parametrize("kind", FUZZED)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_gives_an_image_or_the_one_error(kind: str, tmp_path: Path, data: st.DataObject) -> None:
    """Bytes changed and the end cut off: an array or a BadImage, the same from a path as from bytes."""
    content = bytearray(FUZZED[kind])
    places = st.integers(0, len(content) - 1)
    for place, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=6)):
        content[place] = value
    file = tmp_path / "fuzzed"
    file.write_bytes(content[: data.draw(st.one_of(st.just(len(content)), places))])
    told = []
    for image in (file, file.read_bytes()):
        try:
            pixels = crop(image, 8)
            assert (pixels.dtype.name, pixels.shape) == ("uint8", (8, 8, 3))
            told.append(pixels.tobytes())
        except BadImage as error:
            str(error).encode()
            told.append(b"")
    assert told[0] == told[1]
    assert ROOM.free == MOST_PIXELS


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
