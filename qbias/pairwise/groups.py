"""Accuracy of every group of an attribute at once: one pair on one classification benchmark, a band for each attribute and k.

Strata are combinations of groups: an image whose cell names two groups (FACET's skin tone by any vote) is a stratum of its own that counts
in both. Sizes are fixed.

Shapes: N images, G groups, S strata, B draws.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from qbias.families import name_part
from qbias.metrics import members
from qbias.pairwise import generator
from qbias.prepared import Prepared
from qbias.records import Pairing
from qbias.significance.bands import band
from qbias.significance.bootstrap import counts, resampled, studentized
from qbias.significance.records import AnalysisPlan, Band, BandEntry

SMOOTHING = 0.5
"""Images added to the gained and to the lost of each stratum, as for the accuracy of all images."""


def accuracy_bands(pairing: Pairing, before: Prepared, after: Prepared, plan: AnalysisPlan) -> Iterator[Band]:
    """Changes of the accuracy@k of all groups of each attribute, and of each two attributes together, each in one band.

    The groups are those that worst-group accuracy compares: of `min_per_group` images, if two are; no band where fewer are, or where k
    takes all classes. Images are drawn anew within strata, so groups that share images vary together.

    Parameters
    ----------
    pairing : baseline and candidate. before, after : their outcomes on one classification benchmark. plan : confidence, seed and draws.

    Yields
    ------
    Bands with the subject `accuracy`; `n_first` is a group's number of images.
    """
    for attributes, group_N in before.group_columns.items():
        slice_ = "-and-".join(map(name_part, attributes))
        for k in before.ks:
            if groups := before.compared_groups(attributes, k):
                yield _band(pairing, (before, after), (slice_, k), groups, group_N, plan)


def _band(
    pairing: Pairing,
    sides: tuple[Prepared, Prepared],
    place: tuple[str, int],
    groups: tuple[str, ...],
    group_N: NDArray[np.object_],
    plan: AnalysisPlan,
) -> Band:
    (slice_, k), benchmark = place, sides[0].benchmark
    before_N, after_N = (side.outcomes.frames["images"][f"hit_at_{k}"].to_numpy(dtype=bool) for side in sides)
    cells, stratum_N = np.unique(group_N.astype(str), return_inverse=True)
    inside_GS = np.array([members(cells.tolist(), group) for group in groups])
    found = counts(before_N, after_N, stratum_N, strata=len(cells))
    size_G = inside_GS @ found.size_S
    model, quantizer = pairing.candidate.model, pairing.candidate.quantizer
    again = resampled(found, draws=plan.draws, random=generator(plan.seed, model, quantizer, benchmark, slice_, str(k), "accuracy"))
    resamples = studentized(found, again, inside_GS / size_G[:, None], smoothing=SMOOTHING)
    low_G, high_G, critical = band(resamples, confidence=plan.confidence)
    accuracy_2G = [inside_GS @ np.bincount(stratum_N[hit_N], minlength=len(cells)) / size_G for hit_N in (before_N, after_N)]
    numbers = (resamples.change_T, low_G, high_G, size_G, np.zeros_like(size_G), *accuracy_2G)
    entries = tuple(BandEntry(*row) for row in zip(groups, *(column.tolist() for column in numbers), strict=True))
    return Band(
        model=model, quantizer=quantizer, benchmark=benchmark, slice_=slice_, k=k, subject="accuracy", entries=entries,
        confidence=plan.confidence, critical=critical, draws=plan.draws, seed=plan.seed,
    )  # fmt: skip
