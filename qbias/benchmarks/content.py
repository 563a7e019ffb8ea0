"""What a dataset is made of: image files inside its folder, an order that is its own, and digests over all of it."""

import hashlib
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qbias.benchmarks.problems import Problems
from qbias.digests import file_digest, json_digest
from qbias.pipeline import side_by_side
from qbias.records import Dataset, Kind

HASHERS, PIECE = 8, 64
LEAVES = "image paths are relative to the dataset's folder and stay inside it: no '..', no absolute path, no link that leads out"


def canonical_order(ids: Iterable[str]) -> NDArray[np.intp]:
    """Row numbers in the order of the sha256 of each id: which images share a batch, and which a limit keeps (not to be written to)."""
    return _order(tuple(ids))


@lru_cache(maxsize=8)
def _order(ids: tuple[str, ...]) -> NDArray[np.intp]:
    """Kept, because each precision of each model asks for the same ones."""
    keys = [hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest() for name in ids]
    order = np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.intp)
    order.setflags(write=False)
    return order


def check_images(root: Path, paths: Sequence[str], places: Sequence[str], problems: Problems) -> None:
    """Add a problem for each image path that leaves `root` or at which there is no file.

    Parameters
    ----------
    root : the dataset's folder (it may itself be a link; what is inside it may not lead out).
    paths : image paths relative to `root`, POSIX form.
    places : where each path was found, for the message ("line 7").
    problems : where offenders are added.
    """
    real_root = os.path.realpath(root)
    parents: dict[PurePosixPath, bool] = {}
    for path, place in zip(paths, places, strict=True):
        pure = PurePosixPath(path)
        if not _plain(path, pure):
            problems.add(place, f"image path {path!r} leaves {root}", LEAVES)
            continue
        if pure.parent not in parents:
            parents[pure.parent] = _inside(real_root, root / pure.parent)
        _check_file(root / pure, parents[pure.parent], real_root, place, problems)


def _plain(path: str, pure: PurePosixPath) -> bool:
    return bool(path) and not pure.is_absolute() and ".." not in pure.parts and "\\" not in path and "\0" not in path


def _inside(real_root: str, path: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(real_root)


def _check_file(file: Path, parent_inside: bool, real_root: str, place: str, problems: Problems) -> None:
    """One `lstat` per image: only links need the slow look at where they lead."""
    try:
        mode = os.lstat(file).st_mode
        inside = parent_inside and (not stat.S_ISLNK(mode) or _inside(real_root, file))
        there = stat.S_ISREG(mode) or file.is_file()
    except (OSError, ValueError):
        inside, there = parent_inside, False
    if not inside:
        problems.add(place, f"image path {str(file)!r} leads out of the dataset's folder through a link", LEAVES)
    elif not there:
        problems.add(place, f"there is no image {str(file)!r}", "complete the image folder, or take the row out")


def finished(dataset: Dataset, *, limit: int | None) -> Dataset:
    """The dataset cut to its limit, with its digests."""
    whole = limit is None or limit >= len(dataset.images)
    cut = dataset if whole else _only(dataset, np.sort(canonical_order(dataset.images["id"])[:limit]))
    ids, files = list(cut.images["id"]), _file_digests(cut.root, list(cut.images["path"]))
    return replace(
        cut,
        digest=_content_digest(cut, files),
        prompts_sha256=json_digest(list(cut.texts["text"])),
        images_digest=json_digest([[ids[row], files[row]] for row in canonical_order(ids).tolist()]),
    )


def without(dataset: Dataset, rows: Sequence[int]) -> Dataset:
    """A finished dataset less some of its images, as if its files had never named them; digests are computed anew.

    A caption goes with its image; the texts of other kinds stay. The number of images left out is added to
    `facts["skipped_images"]`, which is no part of the digest: what was left out does not show in the rows that are there.

    Parameters
    ----------
    dataset : as `finished` gives it.
    rows : numbers of image rows.

    Raises
    ------
    ValueError
        If no image is left.
    """
    left_out = set(rows)
    kept = [row for row in range(len(dataset.images)) if row not in left_out]
    if not kept:
        raise ValueError(f"{dataset.root}: none of the {len(dataset.images)} images of {dataset.benchmark!r} is left; replace the files")
    skipped = dataset.facts.get("skipped_images", 0) + len(dataset.images) - len(kept)
    cut = _only(dataset, np.array(kept, dtype=np.intp))
    return finished(replace(cut, facts={**cut.facts, "skipped_images": skipped}), limit=None)


def _only(dataset: Dataset, kept: NDArray[np.intp]) -> Dataset:
    """Some images, by ascending row number; a caption stays with its image. The digests still have to be made."""
    images, texts = dataset.images.iloc[kept].reset_index(drop=True), dataset.texts
    if dataset.kind == "retrieval":
        new_row = {int(old): new for new, old in enumerate(kept)}
        texts = texts[texts["image"].isin(list(new_row))].reset_index(drop=True)
        texts = texts.assign(image=texts["image"].map(new_row).astype("int64"))
    return replace(dataset, images=images, texts=texts, digest="", prompts_sha256="", images_digest="")


def _content_digest(dataset: Dataset, files: Sequence[str]) -> str:
    """sha256 over the rows (labels, groups, which text belongs to what) and every image file's bytes; not over the texts.

    A benchmark of one's own adds `facts["definition"]`: all that its file says and that can change a number.
    """
    rows: dict[str, Any] = {str(name): column.tolist() for name, column in dataset.images.items()}
    links: dict[str, Any] = {str(name): column.tolist() for name, column in dataset.texts.items() if name != "text"}
    content: dict[str, Any] = {"images": rows, "texts": links, "files": list(files)}
    if "definition" in dataset.facts:
        content["definition"] = dataset.facts["definition"]
    return json_digest(content)


def _file_digests(root: Path, paths: Sequence[str]) -> list[str]:
    """Reading and hashing both let go of the interpreter lock, so threads help."""

    def digest(path: str) -> str | OSError:
        try:
            return file_digest(os.path.join(root, path))
        except OSError as error:
            return error

    # Small files are hashed faster than they are handed to a thread: some at a time.
    pieces = [paths[start : start + PIECE] for start in range(0, len(paths), PIECE)]
    found = [one for piece in side_by_side(pieces, lambda piece: [digest(path) for path in piece], workers=HASHERS) for one in piece]
    problems = Problems(root)
    for path, one in zip(paths, found, strict=True):
        if isinstance(one, OSError):
            problems.add(f"image {path!r}", f"cannot be opened ({one.strerror})", "make it a file that you may read, or take its row out")
    problems.refuse()
    return [one for one in found if isinstance(one, str)]


def unfinished(
    benchmark: str, kind: Kind, root: Path, images: Mapping[str, Any], texts: Mapping[str, Any], facts: Mapping[str, Any]
) -> Dataset:
    """A loader's result before its limit and digests, which `finished` adds."""
    return Dataset(benchmark, kind, root, pd.DataFrame(dict(images)), pd.DataFrame(dict(texts)), facts, "", "")


def class_texts(classes: Sequence[str], templates: Sequence[str]) -> dict[str, list[Any]]:
    """Every class in every template, `{}` standing for the class: row = class * templates + template."""
    count = len(templates)
    return {
        "text": [template.replace("{}", name) for name in classes for template in templates],
        "class": [number for number in range(len(classes)) for _ in range(count)],
        "template": list(range(count)) * len(classes),
    }


def first_difference(here: Mapping[str, int], published: Mapping[str, int]) -> str | None:
    """The first published count that the files do not have, in words; None where all agree."""
    for name, count in published.items():
        if here.get(name, 0) != count:
            return f"{name}: {here.get(name, 0):,} here, {count:,} published"
    return None
