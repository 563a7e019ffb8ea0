"""Intervals and bands of one pair's changes over images: how often they hold the truth, which is known by construction.

Counts are drawn where the library needs no more than counts. Shapes: R replications, C classes, S strata, I images with their captions.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from benches.calibration.claims import Claim, Random, Simulation, claim
from benches.calibration.worlds import Floats, drawn_world
from qbias.pairwise.classification import SMOOTHING
from qbias.significance.bands import band
from qbias.significance.bootstrap import Counts, Studentized, cluster_studentized, intervals, resampled, studentized

DRAWS = 500
LEAST, MOST, BAND = 0.93, 0.97, 0.94
FEW = (
    "too wide: where hardly an image flips, smoothing and the normal floor keep an interval (without either it covers .39 to .92); "
    "approximate there, at least 95 % in every setting tried"
)
FEW_CAPTIONS = (
    "too wide: where few captions change, the resampled quantile is larger than the normal one, which covers .958; approximate there, "
    "at least 95 % in every setting tried"
)
"""Why an interval of rare flips misses its upper bound: found by taking the parts away one by one."""
Bools = NDArray[np.bool_]


def drawn_counts(random: Random, gain_S: Floats, loss_S: Floats, size_S: NDArray[np.int64]) -> Counts:
    """Gains and losses of images that are drawn one by one from a population with these chances."""
    drawn_S3 = random.multinomial(size_S, np.column_stack([gain_S, loss_S, 1 - gain_S - loss_S]))
    return Counts(drawn_S3[:, 0], drawn_S3[:, 1], size_S)


def holds(ends: tuple[Floats, Floats], truth: Floats | float) -> Bools:
    """Whether the truth lies between the ends, rounding aside."""
    return np.asarray((ends[0] - 1e-9 <= truth) & (truth <= ends[1] + 1e-9))


def coverage(what: str, setting: str, covered: Sequence[Bools] | Sequence[bool], few: bool) -> Claim:
    """A claim of 93 to 97 %; with the reason for too much where few images flip and it is too much."""
    found = claim(what, setting, [np.mean(row) for row in covered], most=MOST, least=LEAST)
    wide = few and found.verdict == "missed" and found.estimate > MOST
    return (
        claim(what, setting, [np.mean(row) for row in covered], most=MOST, least=LEAST, reason=FEW_CAPTIONS if "retrieval" in what else FEW)
        if wide
        else found
    )


def accuracy(random: Random, replications: int, *, images: int, churn: float) -> list[Claim]:
    """Accuracy: one stratum; two of three flips are losses."""
    gain, loss, size = np.array([churn / 3]), np.array([2 * churn / 3]), np.array([images])
    covered = []
    for _ in range(replications):
        found = drawn_counts(random, gain, loss, size)
        again = resampled(found, draws=DRAWS, random=random)
        covered.append(holds(intervals(studentized(found, again, np.array([[1 / images]]), smoothing=0.5)), float((gain - loss)[0])))
    return [coverage("interval of an accuracy's change", f"{images:,} images, churn {100 * churn:g} %", covered, images * churn < 20)]


def one_gap(random: Random, replications: int, *, sizes: tuple[int, int], churn: float) -> list[Claim]:
    """One class's gap; in the first group most flips are losses, in the second gains and losses are even."""
    gain, loss, size = churn * np.array([0.25, 0.5]), churn * np.array([0.75, 0.5]), np.array(sizes)
    weight_TS, truth = np.array([[1 / sizes[0], -1 / sizes[1]]]), float((gain - loss) @ [1, -1])
    covered = []
    for _ in range(replications):
        found = drawn_counts(random, gain, loss, size)
        again = resampled(found, draws=DRAWS, random=random)
        covered.append(holds(intervals(studentized(found, again, weight_TS, smoothing=SMOOTHING)), truth))
    where = f"{sizes[0]} and {sizes[1]} persons, churn {100 * churn:g} %"
    return [coverage("interval of one class's gap change", where, covered, min(sizes) * churn < 10)]


def classes(random: Random, replications: int, *, count: int, churn: float) -> list[Claim]:
    """All classes of a pair of groups: each by itself, the macro gap, and the simultaneous band, from the same resamples."""
    world = drawn_world(random, classes=count, least=25, most=200, churn=churn, shift=0.6)
    weight_CS = (np.eye(count)[:, :, None] * (np.array([1, -1]) / world.size_CG)[None]).reshape(count, -1)
    strata, truth_C = 2 * count, world.changes_C
    each, macro, together = [], [], []
    for _ in range(replications):
        found = drawn_counts(random, world.gain_CG.ravel(), world.loss_CG.ravel(), world.size_CG.ravel())
        again = resampled(found, draws=DRAWS, random=random)
        by_class = studentized(found, again, weight_CS, smoothing=SMOOTHING)
        mean = studentized(found, again, weight_CS.mean(axis=0, keepdims=True), smoothing=0.5 / strata)
        each.append(holds(intervals(by_class), truth_C))
        macro.append(holds(intervals(mean), float(truth_C.mean())))
        together.append(_band_holds(by_class, truth_C))
    where = f"{count} classes, 25 to 200 persons per group, churn {100 * churn:g} %"
    return [
        coverage("interval of each class's gap change", where, each, churn < 0.1),
        coverage("interval of the macro gap's change", where, macro, False),
        claim("band holds all classes at once", where, together, least=BAND),
    ]


def _band_holds(found: Studentized, truth_T: Floats) -> bool:
    low_T, high_T, _ = band(found)
    return bool(holds((low_T, high_T), truth_T).all())


def retrieval(random: Random, replications: int, *, images: int, churn: float) -> list[Claim]:
    """Recall over captions, four to seven of an image, that rise and fall together."""
    covered = []
    for _ in range(replications):
        size_I = random.integers(4, 8, images)
        gain_I, loss_I = (_uneven(random, share, images) for share in (0.4 * churn, 0.6 * churn))
        still_I = 1 - gain_I - loss_I
        drawn_I3 = random.multinomial(size_I, np.column_stack([gain_I, loss_I, still_I]))
        found = cluster_studentized(drawn_I3[:, 0] - drawn_I3[:, 1], size_I, draws=DRAWS, random=random)
        covered.append(holds(intervals(found), -0.2 * churn))
    where = f"{images:,} images with 4 to 7 captions, churn {100 * churn:g} %"
    return [coverage("interval of a retrieval recall's change", where, covered, images * churn < 20)]


def _uneven(random: Random, share: float, images: int) -> Floats:
    """Chances of this mean that are near 0 for most images and up to a half for some."""
    return np.asarray(0.5 * random.beta(2 * share, 1 - 2 * share, images))


def simulations() -> Sequence[Simulation]:
    """All of this file."""
    section = "Intervals and bands over images"
    pairs = ((25, 25), (25, 200), (100, 100), (500, 500))
    return (
        *(
            Simulation(f"accuracy {images} {churn}", section, partial(accuracy, images=images, churn=churn), 4000)
            for images in (200, 1000, 20_000)
            for churn in (0.01, 0.15)
        ),
        *(
            Simulation(f"gap {sizes} {churn}", section, partial(one_gap, sizes=sizes, churn=churn), 4000)
            for sizes in pairs
            for churn in (0.01, 0.05, 0.15)
        ),
        *(
            Simulation(f"classes {count} {churn}", section, partial(classes, count=count, churn=churn), 2000 if count < 50 else 1000)
            for count in (10, 20, 50)
            for churn in (0.01, 0.05, 0.15)
        ),
        *(
            Simulation(f"retrieval {images} {churn}", section, partial(retrieval, images=images, churn=churn), 2000)
            for images in (100, 500)
            for churn in (0.02, 0.15)
        ),
    )
