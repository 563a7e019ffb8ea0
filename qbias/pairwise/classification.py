"""One pair on one classification benchmark: accuracy, recall gaps and churn, image by image.

The unit of accuracy and churn is the image. The unit of recall gaps is the positive: an image with a second label is two of them, in two
classes, and strata (class x group, sizes fixed) take them as independent. Swaps keep them together.

Shapes: N positives, E eligible classes, S strata (E x 3: in the first group, in the second, in both), B draws, M models.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qbias.families import name_part
from qbias.metrics import macro_gap, members, values
from qbias.pairwise import JointChanges, PairStatistics, generator, unlike
from qbias.pairwise.cells import GapCells, extremes, gap_cells
from qbias.pairwise.groups import accuracy_bands
from qbias.prepared import Prepared
from qbias.records import Insufficient, Pair, Pairing
from qbias.significance.bands import band
from qbias.significance.bootstrap import Resamples, Studentized, counts, intervals, resampled, studentized
from qbias.significance.flips import mcnemar, wilson
from qbias.significance.joint import change_covariance
from qbias.significance.records import AnalysisPlan, Band, BandEntry, GroupChurn, ImageChange, McNemar, SwapTest
from qbias.significance.swaps import swap_p, swapped_hits

IMAGES = "studentized bootstrap over images"
POSITIVES = "studentized bootstrap over positives within class and group"
SMOOTHING = 0.25
"""Images added to the gained and to the lost of each group of a class: together half a flipped image per group."""


@dataclass(frozen=True)
class _Sides:
    """Both sides of a pairing on one benchmark, with what every record of it says."""

    pairing: Pairing
    before: Prepared
    after: Prepared

    @property
    def version(self) -> dict[str, str]:
        return {"model": self.pairing.candidate.model, "quantizer": self.pairing.candidate.quantizer}

    @property
    def ks(self) -> list[int]:
        """The ranks at which an image can be missed."""
        return [k for k in self.before.ks if k < len(self.before.classes)]

    def generator(self, plan: AnalysisPlan, *names: str) -> np.random.Generator:
        return generator(plan.seed, *self.version.values(), *names)


def classification_changes(pairing: Pairing, benchmark: str, plan: AnalysisPlan, *, tests: bool = True) -> PairStatistics:
    """All that one pair's outcomes on a classification benchmark say, under the names that `measure` logs.

    - changes: accuracy@k (images drawn anew), each pair's macro gap@k and each eligible class's gap (positives drawn anew within class and
      group). A class's gap is no logged metric; it stands as `<benchmark>/<pair>/<class>/gap_at_<k>`, with an interval of its own;
    - mcnemar: accuracy@k; churn: first predictions, of all images and of every group that occurs;
    - bands: gap changes of all eligible classes of each pair at each k; accuracy changes of all groups of each attribute (groups.py);
    - swaps: the minimum and maximum disparities, which no bootstrap covers.

    What `measure` gives no number for (k takes all classes, no eligible class, no image) is left out here too. An image with a second
    label is two positives; strata take them as independent, swaps turn them together.

    Parameters
    ----------
    pairing : baseline and candidate with the same images, checked by qbias/pairing.py. benchmark : a classification benchmark of both.
    plan : confidence, seed and number of draws. tests : False leaves out the swap tests.

    Returns
    -------
    PairStatistics.
    """
    sides = _sides(pairing, benchmark)
    if sides.before.outcomes.frames["images"].empty:
        return PairStatistics()
    accuracies = [_accuracy(sides, k, plan) for k in sides.ks]
    changes = [row[0] for row in accuracies]
    bands: list[Band] = []
    swaps: list[SwapTest] = []
    for pair, k, cells in _gaps(sides):
        again = resampled(cells.counts, draws=plan.draws, random=sides.generator(plan, benchmark, pair.name, str(k)))
        changes.append(_macro(sides, pair, k, cells, again, plan))
        classes = studentized(cells.counts, again, cells.weight_ES, smoothing=SMOOTHING)
        changes += _classes(sides, pair, k, cells, classes, plan)
        bands.append(_band(sides, pair, k, cells, classes, plan))
        swaps += _swaps(sides, pair, k, cells, plan) if tests else ()
    bands += accuracy_bands(pairing, sides.before, sides.after, plan)
    return PairStatistics(tuple(changes), tuple(row[1] for row in accuracies), tuple(_churn(sides, plan)), tuple(bands), tuple(swaps))


def _sides(pairing: Pairing, benchmark: str) -> _Sides:
    before, after = (Prepared(side.outcomes[benchmark]) for side in (pairing.baseline, pairing.candidate))
    return _Sides(pairing, before, after)


def _gaps(sides: _Sides) -> Iterator[tuple[Pair, int, GapCells]]:
    """The pairs and ks that have an eligible class."""
    for pair in sides.before.pairs:
        for k in sides.ks:
            cells = gap_cells(sides.before, sides.after, pair, k)
            if cells.classes:
                yield pair, k, cells


def _change(
    sides: _Sides, metric: str, value_2: Sequence[float], ends: tuple[float, float], n: int, method: str, plan: AnalysisPlan
) -> ImageChange:
    before, after = map(float, value_2)
    return ImageChange(
        **sides.version, metric=metric, baseline=before, candidate=after, difference=after - before, low=ends[0], high=ends[1],
        confidence=plan.confidence, n=n, method=method, draws=plan.draws, seed=plan.seed,
    )  # fmt: skip


def _hits(sides: _Sides, k: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    before, after = (side.outcomes.frames["images"][f"hit_at_{k}"].to_numpy(dtype=bool) for side in (sides.before, sides.after))
    return before, after


def _accuracy(sides: _Sides, k: int, plan: AnalysisPlan) -> tuple[ImageChange, McNemar]:
    metric = f"{sides.before.benchmark}/accuracy_at_{k}"
    before_N, after_N = _hits(sides, k)
    found, images = counts(before_N, after_N, np.zeros(len(before_N), dtype=np.int64), strata=1), len(before_N)
    again = resampled(found, draws=plan.draws, random=sides.generator(plan, metric))
    (low,), (high,) = intervals(studentized(found, again, np.array([[1 / images]]), smoothing=0.5), confidence=plan.confidence)
    flips = mcnemar(before_N, after_N)
    change = _change(sides, metric, (before_N.mean(), after_N.mean()), (float(low), float(high)), images, IMAGES, plan)
    return change, McNemar(**sides.version, metric=metric, gained=flips.gained, lost=flips.lost, n=flips.n, images=images, p=flips.p)


def _macro(sides: _Sides, pair: Pair, k: int, cells: GapCells, again: Resamples, plan: AnalysisPlan) -> ImageChange:
    found = studentized(cells.counts, again, cells.weight_ES.mean(axis=0, keepdims=True), smoothing=cells.sharing)
    (low,), (high,) = intervals(found, confidence=plan.confidence)
    values_2 = [macro_gap(side.gaps[pair.name, k]) for side in (sides.before, sides.after)]
    metric = f"{sides.before.benchmark}/{name_part(pair.name)}/macro_gap_at_{k}"
    return _change(sides, metric, values_2, (float(low), float(high)), int(cells.size_E3.sum()), POSITIVES, plan)


def _classes(sides: _Sides, pair: Pair, k: int, cells: GapCells, found: Studentized, plan: AnalysisPlan) -> Iterator[ImageChange]:
    """The gap change of each eligible class, each by itself: many of them are read with the band."""
    gaps_2 = (side.gaps[pair.name, k] for side in (sides.before, sides.after))
    before_E, after_E = (gaps.gap_C[gaps.eligible_C] for gaps in gaps_2)
    low_E, high_E = intervals(found, confidence=plan.confidence)
    for place, name in enumerate(cells.classes):
        metric = f"{sides.before.benchmark}/{name_part(pair.name)}/{name_part(name)}/gap_at_{k}"
        ends, n = (float(low_E[place]), float(high_E[place])), int(cells.size_E3[place].sum())
        yield _change(sides, metric, (before_E[place], after_E[place]), ends, n, POSITIVES, plan)


def _band(sides: _Sides, pair: Pair, k: int, cells: GapCells, found: Studentized, plan: AnalysisPlan) -> Band:
    low_E, high_E, critical = band(found, confidence=plan.confidence)
    size_E2 = cells.size_E3[:, :2] + cells.size_E3[:, 2:]
    gaps_2 = (side.gaps[pair.name, k] for side in (sides.before, sides.after))
    numbers = (found.change_T, low_E, high_E, *size_E2.T, *(gaps.gap_C[gaps.eligible_C] for gaps in gaps_2))
    rows = zip(cells.classes, *(column.tolist() for column in numbers), strict=True)
    return Band(
        **sides.version, benchmark=sides.before.benchmark, slice_=pair.name, k=k, subject="gap",
        entries=tuple(BandEntry(*row) for row in rows), confidence=plan.confidence, critical=critical, draws=plan.draws, seed=plan.seed,
    )  # fmt: skip


def _swaps(sides: _Sides, pair: Pair, k: int, cells: GapCells, plan: AnalysisPlan) -> Iterator[SwapTest]:
    name, sign = f"{sides.before.benchmark}/{name_part(pair.name)}", sides.before.facts["sign"]
    random = sides.generator(plan, name, str(k), "swap")
    flips = cells.before_N, cells.after_N, cells.image_N, cells.cell_N
    hits_2BS = swapped_hits(*flips, cells=cells.size_E3.size, draws=plan.draws, random=random)
    before, after = (extremes(hits_BS @ cells.weight_ES.T, sign) for hits_BS in hits_2BS)
    seen = [side.gaps[pair.name, k] for side in (sides.before, sides.after)]
    first, second = (extremes(gaps.gap_C[gaps.eligible_C][None], sign) for gaps in seen)
    for statistic in first:
        difference = float(second[statistic][0] - first[statistic][0])
        p = swap_p(difference, after[statistic] - before[statistic])
        yield SwapTest(**sides.version, metric=f"{name}/{statistic}_at_{k}", difference=difference, p=p, draws=plan.draws, seed=plan.seed)


def _churn(sides: _Sides, plan: AnalysisPlan) -> Iterator[GroupChurn]:
    """Changed first predictions of all images, and of each group of each attribute."""
    before_N, after_N = (side.outcomes.frames["images"]["top_1"].to_numpy() for side in (sides.before, sides.after))
    changed_N = before_N != after_N
    insides = {("", ""): np.ones(len(changed_N), dtype=bool)}
    for attributes, group_N in sides.before.group_columns.items():
        if len(attributes) == 1:
            insides |= {(attributes[0], group): members(group_N, group) for group in values(group_N)}
    for (attribute, group), inside_N in insides.items():
        changed, images = int(np.count_nonzero(changed_N & inside_N)), int(np.count_nonzero(inside_N))
        low, high = wilson(changed, images, confidence=plan.confidence)
        yield GroupChurn(
            **sides.version, benchmark=sides.before.benchmark, attribute=attribute, group=group, changed=changed, images=images,
            share=changed / images, low=low, high=high, confidence=plan.confidence,
        )  # fmt: skip


def joint_changes(pairings: Sequence[Pairing], metric: str) -> JointChanges | Insufficient:
    """The change of accuracy@k or of a macro gap@k in each model, and the covariance of these changes over the shared images.

    Images (of accuracy) or positives within class and group (of a macro gap) are drawn anew, the same ones for every model; this is the
    exact limit of that bootstrap. A model whose changes flip other images than the others' has covariance 0 with them.

    Parameters
    ----------
    pairings : those of one quantizer. metric : a logged name, such as `facet/accuracy_at_1` or `facet/gender_mf/macro_gap_at_5`.

    Returns
    -------
    JointChanges, or Insufficient where there is no pairing, the models were measured on different images, or the metric is none of these
    two or has no value.
    """
    benchmark, _, rest = metric.partition("/")
    if short := unlike(pairings, benchmark, metric):
        return short
    models = tuple(pairing.candidate.model for pairing in pairings)
    sides = [_sides(pairing, benchmark) for pairing in pairings]
    for k in sides[0].ks:
        if rest == f"accuracy_at_{k}" and (images := len(sides[0].before.outcomes.frames["images"])):
            delta_NM = np.column_stack([np.subtract(*_hits(row, k)[::-1], dtype=np.int8) for row in sides])
            return JointChanges(models, *change_covariance(delta_NM, np.full(images, 1 / images), np.zeros(images)))
        for pair in sides[0].before.pairs:
            if rest == f"{name_part(pair.name)}/macro_gap_at_{k}":
                return _joint_gaps(models, sides, pair, k, metric)
    return Insufficient(metric, "no accuracy or macro gap of this name is measured", {"models": len(models)})


def _joint_gaps(models: tuple[str, ...], sides: Sequence[_Sides], pair: Pair, k: int, metric: str) -> JointChanges | Insufficient:
    cells = gap_cells(sides[0].before, sides[0].after, pair, k)
    if not cells.classes:
        return Insufficient(metric, "no class is eligible", {"models": len(models), "eligible_classes": 0})
    inside = cells.cell_N >= 0
    hit_M2 = [(row.before.positives.hit_N[k], row.after.positives.hit_N[k]) for row in sides]
    delta_NM = np.column_stack([np.subtract(after, before, dtype=np.int8)[inside] for before, after in hit_M2])
    stratum_N = cells.cell_N[inside]
    return JointChanges(models, *change_covariance(delta_NM, cells.weight_ES.mean(axis=0)[stratum_N], stratum_N))
