"""The table of all simulations, and how they are run: side by side, with the same results whatever ran beside them."""

import multiprocessing
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

from benches.calibration import extremes, intervals, models, planted, sharing, skews
from benches.calibration.claims import Claim, Simulation
from benches.calibration.document import SECTIONS

SIMULATIONS = tuple(row for part in (models, sharing, intervals, skews, planted, extremes) for row in part.simulations())
PROCESSES = 2
Work = tuple[Simulation, float]


def run(chosen: Sequence[Simulation], *, size: float = 1.0, processes: int = PROCESSES) -> dict[str, list[Claim]]:
    """All claims by section, in the order of the table.

    Every simulation has its own generator, so the number of processes changes nothing but the time.

    Parameters
    ----------
    chosen : simulations. size : replications as a multiple of those declared (at least 20 each). processes : 1 is this one alone.
    """
    work = [(row, size) for row in reversed(chosen)]  # the longest stand last in the table and start first
    made = [*map(_claims, work)] if processes == 1 else _side_by_side(work, processes)
    found: dict[str, list[Claim]] = {section: [] for section in SECTIONS}
    for row, claims in zip(chosen, reversed(made), strict=True):
        found[row.section] += claims
    return {section: claims for section, claims in found.items() if claims}


def _side_by_side(work: Sequence[Work], processes: int) -> list[list[Claim]]:
    for library in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[library] = "1"  # read by the new processes: with more threads than cores they wait for each other
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        made = []
        for claims in pool.map(_claims, work):
            made.append(claims)
            print(f"\r{len(made)} of {len(work)} simulations", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return made


def _claims(work: Work) -> list[Claim]:
    simulation, size = work
    return simulation.claims(size)
