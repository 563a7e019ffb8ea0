"""A planted change is found with the right sign, place and size; where nothing was planted, nothing is found. Through a study's own code.

Shapes: N images, C classes, R replications.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from benches.calibration.claims import Claim, Random, Simulation, claim
from benches.calibration.intervals import BAND
from benches.calibration.worlds import BENCHMARK, Bools, Ints, World, drawn_world, hits_as_predictions, paired, swapped
from qbias.pairwise import PairStatistics
from qbias.pairwise.classification import classification_changes
from qbias.records import Pairing
from qbias.significance.records import AnalysisPlan

DRAWS = 500
CLASSES = 20
CHURN = 0.05
EXTREMES = ("min_absolute", "max_absolute", "min_signed", "max_signed")
SIZES, SHARES = (25, 50, 100, 200), (0.0, 0.05, 0.1, 0.2, 0.3, 0.4)
POWER, STRONG = 0.8, 2.8
"""Power that a planted change must reach where its share times the root of the group's size is at least so much."""


def statistics(random: Random, pairing: Pairing) -> PairStatistics:
    """What a study computes for this pair."""
    return classification_changes(pairing, BENCHMARK, AnalysisPlan((), (), seed=int(random.integers(2**31)), draws=DRAWS))


def nothing(random: Random, replications: int, *, churn: float, second: float) -> list[Claim]:
    """Each image's two outcomes swapped with probability one half; a share `second` of the images carries a second class."""
    world = drawn_world(random, classes=CLASSES, least=25, most=200, churn=churn)
    found_R, mcnemar_R, swaps_R = [], [], []
    for _ in range(replications):
        found = statistics(random, _nothing(random, world, second))
        found_R.append(any(row.outside for row in found.bands if row.subject == "gap"))
        mcnemar_R.append(found.mcnemar[0].p <= 0.05)
        p_values = {row.metric: row.p for row in found.swaps}
        swaps_R.append([p_values[f"{BENCHMARK}/sides/{name}_disparity_at_1"] <= 0.05 for name in EXTREMES])
    where = f"{CLASSES} classes, 25 to 200 persons per group, churn {100 * churn:g} %, {100 * second:g} % of images with a second class"
    return [
        claim("band points at any class, nothing planted", where, found_R, most=0.05),
        claim("McNemar's test rejects, nothing planted", where, mcnemar_R, most=0.05),
        *(
            claim(f"swap permutation rejects for {name.replace('_', ' ')} disparity, nothing planted", where, row, most=0.05)
            for name, row in zip(EXTREMES, np.array(swaps_R).T, strict=True)
        ),
    ]


def _nothing(random: Random, world: World, second: float) -> Pairing:
    label_N = world.label_N
    other_N = (label_N + random.integers(1, CLASSES, len(label_N))) % CLASSES
    second_N = np.where(random.random(len(label_N)) < second, other_N, -1)
    before_N, after_N = world.outcomes(random)
    # A miss of the first class may be a hit of the second.
    top_2N = [_tops(random, label_N, second_N, hit_N) for hit_N in swapped(random, before_N, after_N)]
    same_N = before_N == after_N
    first_N, last_N = top_2N[0], np.where(same_N, top_2N[0], top_2N[1])
    return paired(label_N, world.group_N, (first_N, last_N), classes=CLASSES, second_N=second_N)


def _tops(random: Random, label_N: Ints, second_N: Ints, hit_N: Bools) -> Ints:
    wrong_N = np.where((second_N >= 0) & (random.random(len(label_N)) < 0.5), second_N, (label_N + 1) % CLASSES)
    return np.where(hit_N, label_N, wrong_N)


def power(random: Random, replications: int, *, size: int) -> list[Claim]:
    """Shares of the first group's predictions in one class turned from right to wrong, beside churn that changes nothing."""
    world = with_class(drawn_world(random, classes=CLASSES, least=25, most=200, churn=CHURN), size)
    rows, every = [], []
    for share in SHARES:
        planted = round(share * size)
        seen_R = [seen(random, world, planted, -planted / size) for _ in range(replications)]
        every += seen_R
        where = f"{100 * planted / size:.3g} % of a group of {size} persons in 1 of {CLASSES} classes"
        bound = POWER if planted / size * size**0.5 >= STRONG else None
        if planted:
            at = {"size": float(size), "share": planted / size}
            rows.append(claim("planted change found, right place and sign", where, [row.found for row in seen_R], least=bound, at=at))
    where = f"group of {size} persons, all shares and none"
    return [
        *rows,
        claim("band points at another class or sign", where, [row.wrong for row in every], most=0.05),
        claim("band holds the planted change", where, [row.held for row in every], least=BAND),
        claim("change seen less change planted, mean", where, [row.error for row in every], most=0.0, least=0.0),
    ]


def with_class(world: World, size: int) -> World:
    """The world with a first class of this many persons in each group and a recall of .8, so that there is something to lose."""
    first = {"size_CG": size, "recall_CG": 0.8, "gain_CG": CHURN / 2, "loss_CG": CHURN / 2}
    return World(**{name: np.vstack([np.full((1, 2), value), getattr(world, name)[1:]]) for name, value in first.items()})


@dataclass(frozen=True)
class Seen:
    """One replication: found as planted; another class or the other sign pointed at; size held by the band; estimate less truth."""

    found: bool
    wrong: bool
    held: bool
    error: float


def seen(random: Random, world: World, planted: int, truth: float) -> Seen:
    """Turn so many right predictions of the first class and group into wrong ones, and look at the band; `truth` is the change planted."""
    label_N, group_N = world.label_N, world.group_N
    before_N, after_N = swapped(random, *world.outcomes(random))
    there = np.flatnonzero((label_N == 0) & (group_N == 0) & after_N & before_N)
    if len(there) < planted:
        raise RuntimeError(f"{planted} flips asked of {len(there)} predictions")
    after_N[random.permutation(there)[:planted]] = False
    tops = [hits_as_predictions(label_N, hit_N, CLASSES) for hit_N in (before_N, after_N)]
    bands = statistics(random, paired(label_N, group_N, (tops[0], tops[1]), classes=CLASSES)).bands
    (band,) = [row for row in bands if row.subject == "gap"]
    first, *others = band.entries
    wrong = first.low > 0 or bool(set(band.outside) & set(others)) or (not planted and first.high < 0)
    return Seen(first.high < 0, wrong, first.low <= truth <= first.high, first.difference - truth)


def simulations() -> Sequence[Simulation]:
    """All of this file."""
    return (
        *(
            Simulation(f"nothing {churn} {second}", "Nothing planted", partial(nothing, churn=churn, second=second), 1000)
            for churn, second in ((0.02, 0.0), (0.1, 0.0), (0.1, 0.2))
        ),
        *(Simulation(f"planted {size}", "A planted change", partial(power, size=size), 200) for size in SIZES),
    )
