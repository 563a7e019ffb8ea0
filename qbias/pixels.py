"""Images -> pixels, decoded once and kept; and which images cannot be decoded, so that both sides of a pair leave out the same ones.

Shapes: N images, R resolution.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from qbias.benchmarks.content import without
from qbias.benchmarks.problems import Problems
from qbias.decode import Advance, faults
from qbias.digests import json_digest
from qbias.environment import library_version
from qbias.pixel_store import StoredPixels
from qbias.preprocess import FORMATS, MOST_PIXELS, MOST_STRETCHED, crop
from qbias.records import Dataset
from qbias.store import cache_root, whole_file

LOG = logging.getLogger(__name__)
OnBadImage = Literal["fail", "skip"]
TRIED_AT = 8
"""Resolution at which images are tried: any will do, because whether an image is usable does not depend on it."""
REMEDY = "replace the file, or take its row out, or leave out all such images on both sides of every pair with on_bad_image=skip"


@dataclass(frozen=True)
class Unreadable:
    """An image that cannot be decoded: its row number in the dataset, its id, its path below the dataset's root, and why."""

    row: int
    id: str
    path: str
    reason: str


def usable(dataset: Dataset, *, on_bad_image: OnBadImage, advance: Advance = lambda count: None) -> tuple[Dataset, tuple[Unreadable, ...]]:
    """The images that can be decoded, and the others.

    Parameters
    ----------
    dataset : as `load` gives it.
    on_bad_image : `fail` refuses a dataset with undecodable images; `skip` leaves them out.
    advance : see Advance.

    Returns
    -------
    `dataset` itself and no row where every image can be decoded; else the dataset less the bad ones (`skip`), and their list by row.

    Raises
    ------
    ValueError
        On images that cannot be decoded under `fail`, listing all of them (up to 20, and how many more); under `skip` if none can.
    """
    if on_bad_image not in get_args(OnBadImage):
        raise ValueError(f"on_bad_image={on_bad_image!r}: choose one of {', '.join(get_args(OnBadImage))}")
    bad = unreadable(dataset, advance=advance)
    if on_bad_image == "fail":
        _refuse(dataset, bad)
    if not bad:
        return dataset, ()
    rest = without(dataset, [one.row for one in bad])
    _keep(_answer_file(rest), {})
    return rest, bad


def unreadable(dataset: Dataset, *, advance: Advance = lambda count: None) -> tuple[Unreadable, ...]:
    """Every image that cannot be decoded, by row; none is kept in memory or on disk, the answer is (in the cache).

    The answer depends on the files' content and Pillow's version. Where a file could not be opened or memory ran out, it may be another
    next time, so it is not kept.

    Raises
    ------
    ValueError
        If another library told Pillow to fill up truncated images.
    """
    file = _answer_file(dataset)
    reasons = _kept(file)
    if reasons is None:
        bad = faults([dataset.root / path for path in dataset.images["path"]], lambda file: crop(file, TRIED_AT), advance)
        reasons = {row: fault.reason for row, fault in bad.items()}
        if all(fault.lasting for fault in bad.values()):
            _keep(file, reasons)
    return _named(dataset, reasons)


def _answer_file(dataset: Dataset) -> Path:
    facts = [dataset.digest, library_version("pillow"), FORMATS, MOST_PIXELS, MOST_STRETCHED]
    return cache_root() / "unreadable" / f"{json_digest(facts)}.json"


def pixels(dataset: Dataset, resolution: int, *, advance: Advance = lambda count: None) -> StoredPixels:
    """Every image of `dataset` as the reference preprocessing leaves it before mean and std; decoded once and kept.

    Returns
    -------
    (N, R, R, 3) uint8 in the dataset's own order, read from disk as needed (see StoredPixels).

    Raises
    ------
    ValueError
        If images cannot be decoded; all of them are listed (up to 20, and how many more). If there is no room for the pixels (NoRoom).
    """
    stored = StoredPixels(dataset, resolution)
    bad = stored.complete(advance)
    _refuse(dataset, _named(dataset, {row: fault.reason for row, fault in bad.items()}))
    return stored


def _named(dataset: Dataset, reasons: Mapping[int, str]) -> tuple[Unreadable, ...]:
    ids, paths = dataset.images["id"].tolist(), dataset.images["path"].tolist()
    return tuple(Unreadable(row, ids[row], paths[row], reason) for row, reason in reasons.items())


def _refuse(dataset: Dataset, bad: Sequence[Unreadable]) -> None:
    problems = Problems(dataset.root)
    for one in bad:
        problems.add(f"image {one.path!r} (row {one.row})", f"cannot be decoded: {one.reason}", REMEDY)
    problems.refuse()


def _keep(file: Path, reasons: Mapping[int, str]) -> None:
    rows = [[row, reason] for row, reason in reasons.items()]
    try:
        with whole_file(file) as beside:
            beside.write_text(json.dumps({"rows": rows, "sha256": json_digest(rows)}), encoding="utf-8")
    except OSError as error:
        LOG.warning("which images can be decoded is not kept, and is found out again next time: %s", error)


def _kept(file: Path) -> dict[int, str] | None:
    """Row -> reason as `_keep` wrote them, or None where there is no such file or it was damaged (it is then made again)."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return dict(found["rows"]) if found["sha256"] == json_digest(found["rows"]) else None
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
