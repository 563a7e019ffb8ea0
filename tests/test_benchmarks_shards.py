"""WebDataset shards: real tars, written by webdataset and by tarfile, and every way in which they can be wrong."""

import gzip
import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
import webdataset
from hypothesis import given, settings
from hypothesis import strategies as st
from webdataset import tariterators

from qbias.benchmarks.content import check_images
from qbias.benchmarks.problems import Problems
from qbias.benchmarks.shards import Shards, read_shards

PROJECT = Path(__file__).resolve().parent.parent
ONE = {"a.jpg": "image a", "a.cls": "0", "a.txt": "a robot", "a.json": '{"size": "small"}'}
TWO = {"b.png": "image b", "b.cls": "1", "b.txt": "a badge", "b.json": '{"size": 2}'}


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Of this file's own: what is in it is found by content, so the tests can share it."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QBIAS_CACHE", str(folder))
        yield folder


def packed(members: Mapping[str, str | bytes] | Sequence[tarfile.TarInfo | tuple[str, str]]) -> bytes:
    """A tar of these files, in order; a TarInfo stands for a member without content."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for member in members.items() if isinstance(members, Mapping) else members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
                continue
            name, content = member
            data = content if isinstance(content, bytes) else content.encode()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def laid_out(folder: Path, *shards: bytes | Mapping[str, str | bytes], **texts: str) -> Path:
    """The shards of split "test", and text files beside it."""
    (folder / "test").mkdir(parents=True, exist_ok=True)
    (folder / "test" / "nshards.txt").write_text(f"{len(shards)}\n")
    for number, shard in enumerate(shards):
        (folder / "test" / f"{number}.tar").write_bytes(shard if isinstance(shard, bytes) else packed(shard))
    for name, text in texts.items():
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    return folder


def read(folder: Path, *, label: bool = False, captions: bool = False, fields: Sequence[str] = ()) -> Shards:
    return read_shards(folder, split="test", label=label, captions=captions, fields=fields)


def refused(folder: Path, *, label: bool = False, captions: bool = False, fields: Sequence[str] = ()) -> str:
    with pytest.raises(ValueError, match=r".") as error:
        read(folder, label=label, captions=captions, fields=fields)
    assert str(folder) in str(error.value)
    return str(error.value)


def unpacked(shards: Shards) -> dict[str, bytes]:
    return {path.relative_to(shards.root).as_posix(): path.read_bytes() for path in shards.root.rglob("*") if path.is_file()}


def test_what_webdataset_writes_is_read_back_in_order(tmp_path: Path) -> None:
    folder = laid_out(tmp_path, classnames="crane\nhammer\ncrane\n\n", zeroshot_classification_templates="a {c}.\nart of {c}, {c}\n")
    samples = [("s1", "webp", 2, {"size": "small"}), ("dir/s0", "png", 0, {"size": 3, "other": []}), ("s2", "jpeg", 10, {"size": None})]
    for number, rows in enumerate((samples[:2], samples[2:])):
        with webdataset.TarWriter(str(folder / "test" / f"{number}.tar"), encoder=True) as writer:
            for key, suffix, label, notes in rows:
                writer.write({"__key__": key, suffix: b"image " + key.encode(), "cls": label, "json": notes, "pickle": b"left alone"})
    (folder / "test" / "nshards.txt").write_text(" 2")
    found = read(folder, label=True, fields=("size",))
    assert found.classes == ("crane", "hammer", "crane")
    assert found.templates == ("a {}.", "art of {}, {}")
    assert found.sheet.index.tolist() == ["0.tar sample 's1'", "0.tar sample 'dir/s0'", "1.tar sample 's2'"]
    assert found.sheet.to_dict("list") == {
        "image": ["s1.webp", "dir/s0.png", "s2.jpeg"],
        "label": ["2", "0", "10"],
        "size": ["small", "3", ""],
    }
    assert unpacked(found) == {"s1.webp": b"image s1", "dir/s0.png": b"image dir/s0", "s2.jpeg": b"image s2"}


def test_every_caption_is_a_row_as_it_is_written(tmp_path: Path) -> None:
    texts = {"a.jpg": "x", "a.txt": "\ufeffone \n\n\u00e9t\u00e9\r\n", "b.jpg": "y", "b.txt": "two"}
    found = read(laid_out(tmp_path, texts), captions=True)
    assert found.sheet.to_dict("list") == {"image": ["a.jpg", "a.jpg", "b.jpg"], "caption": ["one ", "\u00e9t\u00e9", "two"]}
    assert found.sheet.index.tolist() == ["0.tar sample 'a'", "0.tar sample 'a'", "0.tar sample 'b'"]
    assert (found.classes, found.templates) == (None, None)


def test_labels_and_fields_have_one_plain_form(tmp_path: Path) -> None:
    notes = '\ufeff{"x": 1.10, "y": " big ", "place": 1e400, "z": ' + "9" * 5000 + "}"
    shards = {"a.JPG": "x", "a.cls": " 007\n", "a.json": notes, "b.jpg": "y", "b.cls": "0", "b.json": "{}", "c.jpg": "z", "c.cls": "1"}
    found = read(laid_out(tmp_path, shards), label=True, fields=("y", "x", "place", "z")).sheet
    assert found.columns.tolist() == ["image", "label", "y", "x", "place", "z"]
    assert found.iloc[0].tolist() == ["a.jpg", "7", "big", "1.10", "1e400", "9" * 5000]
    assert found.iloc[1].tolist() == ["b.jpg", "0", "", "", "", ""]
    assert found.iloc[2].tolist() == ["c.jpg", "1", "", "", "", ""]


def test_what_tar_itself_writes_of_a_folder_is_read(tmp_path: Path) -> None:
    for name, content in {**ONE, "deep/er/c.png": "image c", ".hidden": "", "._a.jpg": "left by another system"}.items():
        (tmp_path / "files" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "files" / name).write_text(content)
    folder = laid_out(tmp_path, b"")
    subprocess.run(["tar", "-cf", str(folder / "test" / "0.tar"), "--sort=name", "-C", str(tmp_path / "files"), "."], check=True)
    assert unpacked(read(folder)) == {"a.jpg": b"image a", "deep/er/c.png": b"image c"}


def test_a_second_read_opens_no_shard_and_a_changed_shard_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = laid_out(tmp_path, ONE, {"b.jpg": "second read"})
    first = read(folder)
    with monkeypatch.context() as patch:
        patch.setattr(tariterators, "tar_file_expander", None)
        patch.setattr(tarfile, "open", None)
        again = read(folder)
        assert again.root == first.root
        assert again.sheet.equals(first.sheet)
        assert "1.tar sample 'b': it has no .cls" in refused(folder, label=True)
    laid_out(tmp_path, ONE, {"b.jpg": "changed"})
    changed = read(folder)
    assert changed.root != first.root
    assert unpacked(changed) == {"a.jpg": b"image a", "b.jpg": b"changed"}
    assert unpacked(first)["b.jpg"] == b"second read"


def test_the_order_of_the_shards_counts(tmp_path: Path) -> None:
    roots = [read(laid_out(tmp_path / str(number), *shards)).root for number, shards in enumerate([(ONE, TWO), (TWO, ONE)])]
    assert roots[0] != roots[1]


@pytest.mark.parametrize("name", ["{0..3}", "pipe:touch evil", "http:", "a#b?c;d", "-", "a::b", "${HOME}", " x%20y.yaml"])
def test_no_folder_is_taken_for_something_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    laid_out(Path(name), {"a.jpg": f"in {name}"})
    assert unpacked(read(Path(name))) == {"a.jpg": f"in {name}".encode()}
    assert os.listdir(tmp_path) == [name]


def test_no_environment_of_webdataset_changes_what_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {
        "RANK": "1",
        "WORLD_SIZE": "4",
        "WORKER": "1",
        "NUM_WORKERS": "4",
        "WDS_CACHE": "/nothing",
        "GOPEN_REWRITE": "/=pipe:false ",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert list(unpacked(read(laid_out(tmp_path, {"a.jpg": "x1"}, {"b.jpg": "x2"}, {"c.jpg": "x3"})))) != []
    assert read(tmp_path).sheet["image"].tolist() == ["a.jpg", "b.jpg", "c.jpg"]


@pytest.mark.parametrize("count", ["", "two", "0", "-1", "1.0", "1" * 7, "9" * 5000, "\u0661", "1 2"])
def test_nshards_is_a_number(tmp_path: Path, count: str) -> None:
    folder = laid_out(tmp_path, ONE)
    (folder / "test" / "nshards.txt").write_text(count, encoding="utf-8")
    told = refused(folder)
    assert "nshards.txt" in told
    assert len(told) < 500


def test_missing_parts_are_named(tmp_path: Path) -> None:
    assert "nshards.txt: cannot be read" in refused(tmp_path)
    folder = laid_out(tmp_path, ONE, TWO, TWO, TWO)
    for number in (1, 2, 3):
        (folder / "test" / f"{number}.tar").unlink()
    (folder / "test" / "2.tar").mkdir()
    os.mkfifo(folder / "test" / "3.tar")
    told = refused(folder)
    assert [f"{number}.tar: there is no such file" in told for number in range(4)] == [False, True, True, True]
    for split in ("..", "test/../test", "", "/test", ".", "a\0b"):
        with pytest.raises(ValueError, match="split"):
            read_shards(folder, split=split, label=False, captions=False, fields=())


def with_size(size: bytes) -> bytes:
    """A tar whose second member says that it is so large; its checksum is right."""
    whole = bytearray(packed({"a.jpg": "x", "b.jpg": "y"}))
    header = whole[1024:1536]
    header[124:136] = size
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    whole[1024:1536] = header
    return bytes(whole)


GOOD = packed(ONE)
END = len(ONE) * 1024
BROKEN = {
    "empty": b"",
    "no tar": b"version https://git-lfs.github.com/spec/v1\n" * 30,
    "compressed": gzip.compress(GOOD),
    "cut in a header": GOOD[:1200],
    "cut in a file": GOOD[:2000],
    "cut behind a header": GOOD[:1536],
    "cut between files": GOOD[:2048],
    "cut at the end": GOOD[:END],
    "half an end": GOOD[: END + 300],
    "damaged header": GOOD[:1030] + b"x" + GOOD[1031:],
    "two archives": GOOD + packed(TWO),
    "negative size": with_size(b"\xff" * 10 + b"\xfe\x00"),
    "endless": with_size(b"7" * 11 + b"\0"),
    "more than endless": with_size(b"\x80" + b"\x7f" * 11),
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_damaged_shard_is_never_read_in_part(tmp_path: Path, cache: Path, content: bytes) -> None:
    before = sorted(cache.rglob("*"))
    told = refused(laid_out(tmp_path, TWO, content, b"not a tar either"))
    assert "problem(s)\n  1.tar: " in told
    assert "\n  2.tar: no tar archive" in told
    assert sorted(cache.rglob("*")) == before


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.mark.parametrize(
    "name", ["../a.jpg", "x/../../a.jpg", "/a.jpg", "..", "", "x\\a.jpg", "x\na.jpg", "a\udcff.jpg", "a.__bad__", "\x1b[2J.jpg"]
)
def test_names_that_leave_the_shard_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(tariterators, "tar_file_expander", None)  # Refused from its header: nothing is written.
    told = refused(laid_out(tmp_path, packed([("ok.jpg", "x"), member(name), member("../folder", tarfile.DIRTYPE)])))
    assert f"0.tar file {name!r}: its name is empty, leaves" in told
    assert "0.tar file '../folder': its name" in told
    assert "webdataset" not in told


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    told = refused(laid_out(tmp_path, packed([("ok.jpg", "x"), member("a.jpg", kind, "/etc/hostname")])))
    assert "0.tar file 'a.jpg': a link, a device or a sparse file" in told


def test_a_sparse_file_is_refused_though_it_is_small(tmp_path: Path) -> None:
    with (tmp_path / "a.jpg").open("wb") as file:
        file.truncate(1 << 40)
    folder = laid_out(tmp_path, b"")
    subprocess.run(["tar", "-cSf", str(folder / "test" / "0.tar"), "-C", str(tmp_path), "a.jpg"], check=True)
    assert (folder / "test" / "0.tar").stat().st_size < 100_000
    assert "0.tar file 'a.jpg': a link, a device or a sparse file" in refused(folder)


@pytest.mark.parametrize(
    ("shards", "told"),
    [
        ([{"a.jpg": "x"}, {"a.jpg": "y"}], "1.tar sample 'a': the key stands in 0.tar before"),
        ([{"a.jpg": "x"}, {"b.jpg": "y", "./a.png": "z"}], "1.tar sample 'a': the key stands in 0.tar before"),
        ([{"a.jpg": "x", "b.jpg": "y", "a.cls": "1"}], "0.tar sample 'a': the key stands in 0.tar before"),
        ([{"a.jpg": "x", "a.JPG": "y"}], "0.tar: webdataset cannot read it (a.JPG: duplicate file name"),
        ([{"a.cls": "1", "a.txt": "x"}], "0.tar sample 'a': 0 images among its files (.cls, .txt)"),
        ([{"a.v2.jpg": "x"}], "0.tar sample 'a': 0 images among its files (.v2.jpg)"),
        ([{"a.jpg": "x", "a.png": "y"}], "0.tar sample 'a': 2 images among its files (.jpg, .png)"),
        ([{"README": "x"}, {}], "all shards: no sample in them"),
    ],
)
def test_samples_that_are_none_are_refused(tmp_path: Path, cache: Path, shards: list[dict[str, str]], told: str) -> None:
    before = sorted(cache.rglob("*"))
    assert told in refused(laid_out(tmp_path, *shards))
    assert sorted(cache.rglob("*")) == before


@pytest.mark.parametrize("content", ["", "one", "-1", "1.0", "1" * 7, "\u0661", b"\xff", b"\x80\x04K\x01."])
def test_a_label_is_a_whole_number(tmp_path: Path, content: str | bytes) -> None:
    told = refused(laid_out(tmp_path, {"a.jpg": "x", "a.cls": content, "b.jpg": "y", "c.jpg": "z", "c.cls": "1"}), label=True)
    assert "0.tar sample 'a': its .cls is " in told
    assert "0.tar sample 'b': it has no .cls" in told
    assert "sample 'c'" not in told
    assert told.isascii() or "\u0661" in told


@pytest.mark.parametrize("content", ["", " \n\t\n", b"caption \xff"])
def test_a_caption_is_there_and_text(tmp_path: Path, content: str | bytes) -> None:
    told = refused(laid_out(tmp_path, {"a.jpg": "x", "a.txt": content, "b.jpg": "y", "c.jpg": "z", "c.txt": "fine"}), captions=True)
    assert "0.tar sample 'a': its .txt is missing, blank or not UTF-8" in told
    assert "0.tar sample 'b': its .txt is missing" in told
    assert "sample 'c'" not in told


@pytest.mark.parametrize(
    "content", ["", "[]", "1", "{", b'{"size": "\xff"}', b'{"size": "small", "x": "\xff"}', "[" * 100_000, '{"size": ']
)
def test_json_is_an_object(tmp_path: Path, content: str | bytes) -> None:
    told = refused(laid_out(tmp_path, {"a.jpg": "x", "a.json": content} | TWO), fields=("size",))
    assert "0.tar sample 'a': " in told
    assert "its .json is no JSON object" in told
    assert "sample 'b'" not in told


@pytest.mark.parametrize("value", ["true", "[]", "{}", "NaN", "-Infinity", '"\\ud800"'])
def test_a_field_is_a_string_or_a_number(tmp_path: Path, value: str) -> None:
    folder = laid_out(tmp_path, {"a.jpg": "x", "a.json": f'{{"size": {value}}}'} | TWO)
    assert "0.tar sample 'a': 'size' in its .json is no text and no number" in refused(folder, fields=("size",))


def test_a_field_that_no_sample_has_is_refused(tmp_path: Path) -> None:
    told = refused(laid_out(tmp_path, ONE, TWO), fields=("size", "sise"))
    assert "no sample's .json has 'sise'" in told
    assert "'size'" not in told


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("classnames", "", "line 1: '' is no entry"),
        ("classnames", "a\n\nb\n \nc", "line 4: '' is no entry"),
        ("zeroshot_classification_templates", " \n", "line 1: '' is no entry"),
        ("zeroshot_classification_templates", "a {c}\na {}\n{c} {x}\n", "line 2: 'a {}' is no entry"),
        ("zeroshot_classification_templates", "a {c}\na {}\n{c} {x}\n", "line 3: '{c} {x}' is no entry"),
    ],
)
def test_text_files_with_gaps_are_refused(tmp_path: Path, name: str, text: str, told: str) -> None:
    found = refused(laid_out(tmp_path, ONE, **{name: text}))
    assert f"{name}.txt" in found
    assert told in found


def test_names_that_cannot_be_files_are_refused(tmp_path: Path) -> None:
    for number, names in enumerate([["x" * 300 + ".jpg"], ["a.jpg", "a.jpg/b.jpg"]]):
        told = refused(laid_out(tmp_path / str(number), {name: name for name in names}))
        assert names[-1] in told or "a.jpg" in told


def test_a_cache_that_cannot_be_used_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("QBIAS_CACHE", str(tmp_path / "file"))
    assert "QBIAS_CACHE" in refused(laid_out(tmp_path, ONE))


def test_a_damaged_cache_is_noticed(tmp_path: Path) -> None:
    folder = laid_out(tmp_path, {"a.jpg": "of a damaged cache", "b.jpg": "too"})
    found = read(folder)
    (found.root / "b.jpg").unlink()
    problems = Problems(found.root)
    check_images(found.root, found.sheet["image"].tolist(), found.sheet.index.tolist(), problems)
    with pytest.raises(ValueError, match=r"1 problem.*\n  0\.tar sample 'b': there is no image"):
        problems.refuse()
    for content in (b'[{"place"', b'["\xff"]'):
        (found.root.parent / "samples.json").write_bytes(content)
        assert str(found.root.parent.parent) in refused(folder)
    (found.root.parent / "samples.json").unlink()
    assert str(found.root.parent.parent) in refused(folder)


def test_reading_benchmarks_imports_no_torch() -> None:
    code = "import sys, qbias.benchmarks.shards; print([n for n in ('torch', 'webdataset') if n in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def result(folder: Path, shard: bytes) -> str:
    """What reading says of this shard; anything but a ValueError goes on up."""
    laid_out(folder, shard)
    try:
        return f"{folder}: {len(read(folder, label=True, captions=True, fields=('size',)).sheet)} rows"
    except ValueError as error:
        return str(error)


@settings(max_examples=60, deadline=None)
@given(content=st.one_of(st.binary(max_size=1500), st.binary(max_size=300).map(lambda data: packed({"a.jpg": "x", "a.json": data}))))
def test_any_bytes_give_samples_or_a_valueerror(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.getbasetemp() / "bytes"
    assert str(folder) in result(folder, content)


@settings(max_examples=150, deadline=None)
@given(
    cut=st.integers(0, END + 511), flips=st.lists(st.tuples(st.integers(0, END - 1), st.integers(0, 7)), max_size=3), ended=st.booleans()
)
def test_any_damage_gives_samples_or_a_valueerror(
    tmp_path_factory: pytest.TempPathFactory, cut: int, flips: list[tuple[int, int]], ended: bool
) -> None:
    folder = tmp_path_factory.getbasetemp() / "damage"
    whole = bytearray(GOOD)
    for byte, bit in flips:
        whole[byte] ^= 1 << bit
    told = result(folder, bytes(whole) if ended else bytes(whole[:cut]))
    assert str(folder) in told
    assert ended or "rows" not in told, "a shard that was cut off was read"


@settings(max_examples=100, deadline=None)
@given(
    at=st.integers(0, 500),
    field=st.binary(min_size=1, max_size=12),
    kind=st.sampled_from([b"0", b"1", b"5", b"L", b"K", b"S", b"x", b"g", b"7"]),
)
def test_any_header_gives_samples_or_a_valueerror(tmp_path_factory: pytest.TempPathFactory, at: int, field: bytes, kind: bytes) -> None:
    """The checksum is right, so that tarfile believes the rest."""
    header = bytearray(GOOD[:512])
    header[156:157] = kind
    header[at : at + len(field)] = field
    del header[512:]
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    folder = tmp_path_factory.getbasetemp() / "header"
    assert str(folder) in result(folder, bytes(header) + GOOD[512:])
