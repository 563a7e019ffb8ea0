"""Why extremes over classes get no interval: what the two usual bootstrap intervals of Min/Max disparities would cover.

The library makes none of these; they are built here only to be measured. Shapes: C classes, B resamples, R replications.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from benches.calibration.claims import Claim, Random, Simulation, claim
from benches.calibration.intervals import holds
from benches.calibration.worlds import Floats

DRAWS = 300
CLASSES, PERSONS, CHURN = 20, 50, 0.06
SETTINGS = ("no class has a gap", "gaps of all sizes, unchanged", "one large gap, unchanged", "one class opens a gap")
NAMES = ("Min disparity", "Max disparity", "Min signed disparity", "Max signed disparity")


def gaps(setting: str) -> tuple[Floats, Floats]:
    """True gaps of each class before and after."""
    before = {
        SETTINGS[1]: np.linspace(-0.15, 0.2, CLASSES), SETTINGS[2]: np.where(np.arange(CLASSES), 0.0, 0.3),
    }.get(setting, np.zeros(CLASSES))  # fmt: skip
    return before, np.where(np.arange(CLASSES), before, 0.05) if setting == SETTINGS[3] else before


def extremes(gap: Floats) -> Floats:
    """Min and Max of |gap|, and of the gap, over the last axis, in a new last axis."""
    size = np.abs(gap)
    return np.stack([size.min(axis=-1), size.max(axis=-1), gap.min(axis=-1), gap.max(axis=-1)], axis=-1)


def covered(random: Random, replications: int, *, setting: str) -> list[Claim]:
    """Percentile and basic intervals of a version's extremes, and of their change."""
    before_C, after_C = gaps(setting)
    chance_CG4 = _chances(before_C, after_C)
    truth_V4 = np.stack([extremes(after_C), extremes(after_C) - extremes(before_C)])
    inside: list[Floats] = []
    for _ in range(replications):
        drawn_CG4 = random.multinomial(PERSONS, chance_CG4)
        seen_V4 = _values(drawn_CG4)
        again_BV4 = _values(random.multinomial(PERSONS, drawn_CG4 / PERSONS, size=(DRAWS, CLASSES, 2)))
        low_V4, high_V4 = np.quantile(again_BV4, (0.025, 0.975), axis=0)
        basic = (2 * seen_V4 - high_V4, 2 * seen_V4 - low_V4)
        inside.append(np.stack([holds((low_V4, high_V4), truth_V4), holds(basic, truth_V4)]))
    shares = np.array(inside)
    return [
        claim(f"{method} interval of {of} holds it", f"{name}, {setting}", shares[:, kind, value, place])
        for value, of in enumerate(("an extreme", "an extreme's change"))
        for kind, method in enumerate(("percentile", "basic"))
        for place, name in enumerate(NAMES)
    ]


def _chances(before_C: Floats, after_C: Floats) -> Floats:
    """Chances of hit and hit, hit and miss, miss and hit, miss and miss, per class and group."""
    recall_CG, later_CG = (0.6 + np.stack([gap, -gap], axis=1) / 2 for gap in (before_C, after_C))
    lost_CG = CHURN / 2 + np.maximum(recall_CG - later_CG, 0)
    gained_CG = lost_CG + later_CG - recall_CG
    return np.stack([recall_CG - lost_CG, lost_CG, gained_CG, 1 - recall_CG - gained_CG], axis=2)


def _values(drawn: NDArray[np.int64]) -> Floats:
    """Extremes after, and their change, from counts (..., C, 2, 4)."""
    share = drawn / PERSONS
    before, after = share[..., 0] + share[..., 1], share[..., 0] + share[..., 2]
    first, second = (extremes(side[..., 0] - side[..., 1]) for side in (before, after))
    return np.stack([second, second - first], axis=-2)


def simulations() -> Sequence[Simulation]:
    """All of this file."""
    section = "Why extremes get no interval"
    return tuple(Simulation(f"extremes {setting}", section, partial(covered, setting=setting), 1000) for setting in SETTINGS)
