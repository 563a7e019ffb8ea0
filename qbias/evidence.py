"""evidence_of: every statistic of a comparison, from the stored outcomes of its pairs and a plan made beforehand. No model, no store.

Each cell (precision and metric) gets the paper's test and what stands beside it (cells.py), each pair what its images say (pairwise/),
each version's extremes their null, and each open choice of the protocol its other values (sensitivity.py).
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

from qbias.cells import cells_of
from qbias.comparison import Comparison
from qbias.pairwise import JointChanges, PairStatistics, classification, retrieval, skew
from qbias.pairwise.nulls import extreme_nulls
from qbias.pairwise.skew import Rankings
from qbias.records import Insufficient, Kind, Pairing
from qbias.sensitivity import sensitivity_of
from qbias.significance import AnalysisPlan
from qbias.significance.dependence import heterogeneity
from qbias.significance.records import CellEvidence, Evidence, ExtremeNull, NoiseArm

NO_NOISE = "No A/A arm was measured, so a change cannot be told from what another batch or rounding of the same model does."


def evidence_of(comparison: Comparison, plan: AnalysisPlan, *, noise: Sequence[NoiseArm] = ()) -> Evidence:
    """All statistics of a comparison; the same inputs give the same numbers.

    Parameters
    ----------
    comparison : its pairings hold the outcomes.
    plan : endpoints, margins, error rate, seed and draws, declared before the data is seen.
    noise : A/A arms of the same models.

    Returns
    -------
    Evidence. What could not be computed is not in it, or stands in its `notes`.
    """
    by_model = [[row for row in comparison.pairings if row.candidate.model == model] for model in comparison.models]
    # Array arithmetic lets other threads run; every statistic has a random generator of its own, so their order changes nothing.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        models = list(pool.map(partial(_of_model, plan=plan), by_model))
    pairs = [found for model in models for found in model.pairs]
    cells = cells_of(comparison, plan, noise=noise)
    notes = [] if noise else [NO_NOISE]
    cells = tuple(_heterogeneous(cell, comparison, plan, notes) for cell in cells)
    return Evidence(
        plan=plan,
        cells=cells,
        changes=tuple(row for found in pairs for row in found.changes),
        mcnemar=tuple(row for found in pairs for row in found.mcnemar),
        churn=tuple(row for found in pairs for row in found.churn),
        bands=tuple(row for found in pairs for row in found.bands),
        swaps=tuple(row for found in pairs for row in found.swaps),
        nulls=tuple(row for model in models for row in model.nulls),
        noise=tuple(noise),
        sensitivity=sensitivity_of(comparison, cells, plan),
        notes=tuple(dict.fromkeys(notes)),
    )


@dataclass(frozen=True)
class _OfModel:
    """What the outcomes of one model's versions say."""

    pairs: tuple[PairStatistics, ...]
    nulls: tuple[ExtremeNull, ...]


def _of_model(pairings: Sequence[Pairing], *, plan: AnalysisPlan) -> _OfModel:
    """All pairs of one model, and every version's nulls; the ranked lists, some 10 MB a version, are given up after it."""
    rankings = Rankings()
    versions = {id(side): side for row in pairings for side in (row.baseline, row.candidate)}
    return _OfModel(
        pairs=tuple(pair_statistics(pairing, name, plan, rankings=rankings) for pairing in pairings for name in pairing.candidate.outcomes),
        nulls=tuple(row for side in versions.values() for row in extreme_nulls(side, plan, rankings=rankings)),
    )


def pair_statistics(
    pairing: Pairing, benchmark: str, plan: AnalysisPlan, *, rankings: Rankings | None = None, tests: bool = True
) -> PairStatistics:
    """What one pair's images say on one benchmark; the same inputs give the same numbers, whatever else is computed.

    Parameters
    ----------
    pairing : baseline and candidate with the same images, checked by qbias/pairing.py. benchmark : one that both were measured on.
    plan : confidence, seed and draws. rankings : to spare ranking lists again that another pair has.
    tests : False leaves out the swap tests, which need no interval and take the most time.

    Returns
    -------
    PairStatistics. What `measure` gives no number for is not in it.
    """
    kind = pairing.candidate.outcomes[benchmark].kind
    if kind == "skew":
        return skew.skew_changes(pairing, benchmark, plan, rankings=rankings, tests=tests)
    if kind == "retrieval":
        return retrieval.retrieval_changes(pairing, benchmark, plan)
    return classification.classification_changes(pairing, benchmark, plan, tests=tests)


JOINT: dict[Kind, Callable[[Sequence[Pairing], str], JointChanges | Insufficient]] = {
    "classification": classification.joint_changes,
    "retrieval": retrieval.joint_changes,
    "skew": skew.joint_changes,
}


def _heterogeneous(cell: CellEvidence, comparison: Comparison, plan: AnalysisPlan, notes: list[str]) -> CellEvidence:
    """The cell with Cochran's Q, if it is a primary one with a test; `notes` takes why there is none."""
    if cell.role != "primary" or isinstance(cell.test, Insufficient):
        return cell
    metric = cell.member or cell.metric
    pairings = [
        row for row in comparison.pairings if row.candidate.quantizer == cell.quantizer and row.candidate.model in cell.test.differences
    ]
    kind = pairings[0].candidate.outcomes[metric.partition("/")[0]].kind
    joint = JOINT[kind](pairings, metric)
    name = f"{cell.quantizer} {metric}"
    found = (
        joint
        if isinstance(joint, Insufficient)
        else heterogeneity(joint.models, joint.change_M, joint.covariance_MM, name=name, confidence=1 - plan.alpha)
    )
    if isinstance(found, Insufficient):
        notes.append(f"No heterogeneity for {name}: {found.reason}.")
        return cell
    return replace(cell, heterogeneity=found)
