"""`kill -9` at random moments of the small study, each followed by the same command; and at named moments, for the tests."""

import json
import random
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from benches.reliability.checks import faults
from benches.reliability.dump import differences, dump
from benches.reliability.prepared import prepared, ready
from benches.reliability.study import Place, finished, killed, made_place, started

MOMENTS = {
    "weights saved, nothing logged": ("qbias.audit", "audit_of"),
    "model logged, no version": ("registry.versions", "_created"),
    "version made, run not ended": ("registry.versions", "link_version"),
    "embeddings made, nothing logged": ("qbias.evaluator", "store_outcomes"),
    "outcomes logged, metrics not": ("qbias.evaluator", "_log_conditions"),
    "report written, not logged": ("entrypoints.compare", "comparison_index"),
}
"""Named moments: the study's process is killed at the first call of this function of this module."""


@dataclass(frozen=True)
class Trial:
    """One disturbed study: at which second (or named moment) it was killed, whether it still ran, and what is wrong afterwards."""

    moment: str
    hit: bool
    faults: tuple[str, ...]


def reference(folder: Path) -> tuple[dict[str, Any], float]:
    """The dump of an undisturbed study, and how many seconds it took."""
    place = made_place(folder)
    ready()
    began = time.monotonic()
    code, output = finished(started(place))
    seconds = time.monotonic() - began
    if code:
        raise SystemExit(f"the undisturbed study failed:\n{output}")
    return seen(place)[0], seconds


def random_kills(
    folder: Path, expected: dict[str, Any], *, kills: int, longest_s: float, seed: int, side_by_side: int = 2
) -> Iterator[Trial]:
    """Trials as they end, killed at moments drawn evenly from the study's length, until so many found it running."""
    draw, number = random.Random(seed), count()  # noqa: S311 - moments, not secrets
    with ThreadPoolExecutor(side_by_side) as pool:
        while kills > 0:
            jobs = [(folder / f"kill-{next(number)}", draw.uniform(0, longest_s)) for _ in range(kills)]
            for trial in pool.map(lambda job: _trial(job[0], expected, after_s=job[1]), jobs):
                kills -= trial.hit
                yield trial


def named_kill(folder: Path, expected: dict[str, Any], moment: str) -> Trial:
    """One trial, killed at the first call of the moment's function."""
    place = made_place(folder)
    process = started(place, dies_at=MOMENTS[moment])
    status, output = finished(process)
    if status != -9:
        return Trial(moment, False, (f"the study ended with {status} and was not killed:\n{output}",))
    return Trial(moment, True, tuple(again(place, expected)))


def _trial(folder: Path, expected: dict[str, Any], *, after_s: float) -> Trial:
    place = made_place(folder)
    hit = killed(started(place), after_s)
    trial = Trial(f"{after_s:.2f} s", hit, tuple(again(place, expected)))
    if not trial.faults:
        shutil.rmtree(folder)
    return trial


def again(place: Place, expected: dict[str, Any], *, once: bool = True) -> Iterator[str]:
    """What is wrong after the same command once more.

    Parameters
    ----------
    place : where the disturbed study was. expected : the undisturbed one's dump.
    once : whether each thing must be there once; after processes that ran at once it may have been made by several, all alike.
    """
    code, output = finished(started(place))
    if code:
        yield f"the same command again ended with {code}:\n{output}"
        return
    found, wrong = seen(place)
    yield from wrong
    yield from differences(expected, found if once else {part: _distinct(rows) for part, rows in found.items()})


def _distinct(rows: list[Any]) -> list[Any]:
    return [row for place, row in enumerate(rows) if row not in rows[:place]]


def seen(place: Place) -> tuple[dict[str, Any], list[str]]:
    """A place's dump and faults, read by a process of its own: MLflow's current store is one for all threads."""
    code, output = finished(prepared(_write_seen, place, environment=place.environment(), printed=place.folder / "seen.txt"))
    if code:
        raise SystemExit(f"the store of {place.folder} cannot be read:\n{output}")
    found, wrong = json.loads((place.folder / "seen.json").read_bytes())
    return found, wrong


def _write_seen(place: Place) -> int:
    (place.folder / "seen.json").write_text(json.dumps([dump(), faults(place)]), encoding="utf-8")
    return 0
