"""docs/reliability.md: the counts as a table, with what was done and how to do it again."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass

from qbias.environment import library_version

HEAD = """# Reliability, counted

Made by `python -m benches.reliability --kills {kills} --seed {seed}`. A small study (one toy CLIP, fp32 and torch-int8, forty images of
`examples/robots`; {seconds:.0f} s undisturbed on the machine it was made on, libraries imported) is disturbed, then the same command is run
once more. What the store holds then must equal an undisturbed study's, ids, times and version numbers aside: versions with the sha256 of
their files, finished evaluations with metrics, parameters and outcomes, finished comparisons with their reports. Besides, no version stands
twice, no run claims FINISHED without its artifacts, no run is left RUNNING, no logged model is left without a version, and no half-written
file is left.

| disturbance | trials | of these in time | wrong afterwards |
|---|---|---|---|
"""
TAIL = """
In time: the process still ran when it was killed (a late moment finds it ended), or the cache had files to damage. Moments are drawn evenly
from the study's length; each trial has a store and a cache of its own. `tests/test_reliability.py` runs the named moments.

{machine}
"""


@dataclass(frozen=True)
class Count:
    """One kind of disturbance: how many trials, in how many it came in time, after how many something was wrong."""

    what: str
    trials: int
    hit: int
    wrong: int


def document(counts: Sequence[Count], *, kills: int, seed: int, seconds: float) -> str:
    """The page in Markdown."""
    rows = "".join(f"| {row.what} | {row.trials} | {row.hit} | {row.wrong} |\n" for row in counts)
    libraries = ", ".join(f"{name} {library_version(name)}" for name in ("mlflow", "torch"))
    machine = f"Linux {platform.release()}, Python {platform.python_version()}, {libraries}."
    return HEAD.format(kills=kills, seed=seed, seconds=seconds) + rows + TAIL.format(machine=machine)
