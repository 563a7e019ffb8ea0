"""`python -m benches.reliability [--kills 100] [--seed 0]`: disturb a small study in every way, count, and write docs/reliability.md."""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benches.reliability.disturbances import DAMAGE, at_once, damaged_cache, full_disk, read_only_cache
from benches.reliability.document import Count, document
from benches.reliability.kills import MOMENTS, Trial, named_kill, random_kills, reference

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"


def main() -> int:
    """Run all disturbances and write the document; exit code 1 if anything was wrong."""
    parser = argparse.ArgumentParser(prog="python -m benches.reliability", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="kills at random moments that find the study running")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--only-kills", action="store_true", help="only these; they are counted here, and the document stays as it is")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="reliability-") as scratch:
        folder = Path(scratch)
        expected, seconds = reference(folder / "reference")
        counts = []
        kills = random_kills(folder, expected, kills=options.kills, longest_s=seconds, seed=options.seed)
        others = iter(()) if options.only_kills else _disturbances(folder, expected)
        for what, trials in (*others, ("kill -9 at random moments", kills)):
            own = [_told(what, trial) for trial in trials]
            counts.append(Count(what, len(own), sum(trial.hit for trial in own), sum(bool(trial.faults) for trial in own)))
    if options.only_kills:
        print(counts[0])
    else:
        DOCUMENT.write_text(document(counts, kills=options.kills, seed=options.seed, seconds=seconds), encoding="utf-8")
    return int(any(count.wrong for count in counts))


def _disturbances(folder: Path, expected: dict[str, Any]) -> Iterator[tuple[str, Iterator[Trial]]]:
    yield "kill -9 at named moments", (named_kill(folder / "named", expected, moment) for moment in MOMENTS)
    single = [partial(damaged_cache, folder / "damaged", expected, how) for how in DAMAGE]
    yield "damaged cache files", (trial() for trial in single)
    if os.geteuid() == 0:
        disks = (full_disk, read_only_cache)
        yield "disk full, read-only cache", (trial(folder / "disk", expected) for trial in disks)
    yield "several processes at once", (at_once(folder / "crowd", expected, processes) for processes in (2, 8))


def _told(what: str, trial: Trial) -> Trial:
    print(f"{what}: {trial.moment}: {'ok' if not trial.faults else '; '.join(trial.faults)}", flush=True)
    return trial


if __name__ == "__main__":
    sys.exit(main())
