"""Tar shards unpacked into the cache, once per content: images as plain files, and the raw labels of every sample.

Nothing of a shard is trusted: every header is checked before anything is written, and where anything is wrong nothing remains.
"""

import json
import tarfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

from qbias.benchmarks.problems import Problems
from qbias.digests import file_digest, json_digest
from qbias.store import cache_root, whole_folder

FORMAT = 1  # Of the unpacked folder: whoever writes something else there changes the number.
IMAGES, SAMPLES = "images", "samples.json"
SUFFIXES = ("webp", "png", "jpg", "jpeg")
NOTES = ("cls", "txt", "json")
ENDING = 2 * tarfile.RECORDSIZE  # Bytes, more than the zeros that tar ends with: a second archive behind the first one shows.
BROKEN = "write the shard, or fetch it, again: a plain tar, not compressed, and not the pointer that git-lfs leaves in its place"
NAMES = "names in a shard are relative and stay inside it: no '..', no backslash, no control character, no '.__'"
PLAIN = "a shard holds plain files: write it again with what its links lead to (tar --dereference --hard-dereference)"
UNIQUE = "a key names one sample of one shard, whose files stand one after the other, each once"
IMAGE = "a sample has one image: KEY.webp, .png, .jpg or .jpeg; the first dot of a file's name ends the key"
Sample = dict[str, str]
"""`place` and `image`, and the raw text of those of NOTES that the sample has; bytes that are not UTF-8 as lone surrogates."""


def unpacked(tars: Sequence[Path]) -> tuple[Path, list[Sample]]:
    """The folder of these shards' images in the cache, filled now if it is not there, and the samples in the shards' order.

    Raises
    ------
    ValueError
        If a shard is damaged, holds links or names that leave it, or samples that have no image or several, or share a key.
    """
    try:
        with ThreadPoolExecutor(4) as pool:
            digests = list(pool.map(file_digest, tars))
        home = cache_root() / "shards" / json_digest({"format": FORMAT, "shards": digests})
        if not home.is_dir():
            _unpack(tars, home)
        return home / IMAGES, json.loads((home / SAMPLES).read_bytes())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        where, remedy = cache_root() / "shards", "check space and permissions, or delete that folder (QBIAS_CACHE names the cache)"
        raise ValueError(f"{tars[0].parent}: the shards cannot be read, or unpacked into {where} ({error}); {remedy}") from None


def _unpack(tars: Sequence[Path], home: Path) -> None:
    """Images and raw labels of all samples into `home`; where anything is wrong, nothing remains."""
    problems = Problems(tars[0].parent)
    for tar in tars:
        _check_archive(tar, problems)
    problems.refuse()
    with whole_folder(home) as beside:
        seen: dict[str, str] = {}
        samples = [_written(tar, sample, beside / IMAGES, seen, problems) for tar in tars for sample in _samples(tar, problems)]
        if not samples:
            problems.add("all shards", "no sample in them", "put the samples into the shards that nshards.txt counts")
        problems.refuse()
        (beside / SAMPLES).write_text(json.dumps(samples), encoding="ascii")


def _check_archive(tar: Path, problems: Problems) -> None:
    """Look at every header and at the end: tarfile takes a damaged header for the end, and webdataset skips links, both in silence."""
    try:
        with tar.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as archive:
            for member in archive:
                _check_member(tar, member, problems)
            file.seek(archive.offset)
            ending = file.read(ENDING)
    except Exception as error:  # Damaged headers meet tarfile in many ways: ValueError, OverflowError, RecursionError...
        problems.add(tar.name, f"no tar archive, or a damaged one ({error})", BROKEN)
        return
    if len(ending) < tarfile.BLOCKSIZE or any(ending):
        problems.add(tar.name, f"cut off or damaged: no end of the archive at byte {archive.offset:,}", BROKEN)


def _check_member(tar: Path, member: tarfile.TarInfo, problems: Problems) -> None:
    if member.size < 0:  # Would lead tarfile back to where it came from, for ever.
        raise ValueError("a negative size")
    place, name = f"{tar.name} file {member.name!r}", PurePosixPath(member.name)
    leaves = name.is_absolute() or ".." in name.parts or "\\" in member.name
    if leaves or not member.name.isprintable() or not member.name or ".__" in member.name:
        problems.add(place, "its name is empty, leaves the folder or cannot be used", NAMES)
    if member.issparse() or not (member.isreg() or member.isdir()):
        problems.add(place, "a link, a device or a sparse file", PLAIN)


def _samples(tar: Path, problems: Problems) -> Iterator[dict[str, Any]]:
    """The samples as webdataset finds them, undecoded. It gets an open file: no path is taken for a URL, a pattern or a command."""
    from webdataset.tariterators import group_by_keys, tar_file_expander  # Imports torch.

    with tar.open("rb") as stream:
        try:
            yield from group_by_keys(tar_file_expander([{"url": tar.name, "stream": stream}]))
        except Exception as error:  # Above all, a file that stands twice in a sample. What follows the first argument is webdataset's own.
            problems.add(tar.name, f"webdataset cannot read it ({error.args[0]})", f"{BROKEN}; {UNIQUE}")


def _written(tar: Path, sample: dict[str, Any], images: Path, seen: dict[str, str], problems: Problems) -> Sample:
    """Write a sample's image below `images`, under its key; return its labels as raw text."""
    key = PurePosixPath(sample["__key__"]).as_posix()
    found = [suffix for suffix in SUFFIXES if suffix in sample]
    place, path = f"{tar.name} sample {key!r}", f"{key}.{found[0] if found else ''}"
    if key in seen:
        problems.add(place, f"the key stands in {seen[key]} before", UNIQUE)
    elif len(found) != 1:
        here = ", ".join(f".{suffix}" for suffix in sample if not suffix.startswith("__"))
        problems.add(place, f"{len(found)} images among its files ({here})", IMAGE)
    else:
        (images / path).parent.mkdir(parents=True, exist_ok=True)
        (images / path).write_bytes(sample[found[0]])
    seen.setdefault(key, tar.name)
    return {"place": place, "image": path} | {name: sample[name].decode("utf-8-sig", "surrogateescape") for name in NOTES if name in sample}
