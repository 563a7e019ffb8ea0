"""Simulated outcomes of a classification benchmark with a truth that is known by construction.

Shapes: N images, C classes, G two groups.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benches.calibration.claims import Random
from qbias.records import Evaluation, Outcomes, Pair, Pairing

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
PAIR = Pair("sides", "side", "first", "second")
BENCHMARK = "simulated"


@dataclass(frozen=True)
class World:
    """Images with class and group (sizes fixed), and the chances of a cell: to be found before, then to be lost or gained.

    A cell is a class and a group; the true gap change of a class is the difference of its two cells' `gain - loss`.
    """

    size_CG: Ints
    recall_CG: Floats
    gain_CG: Floats
    loss_CG: Floats

    @property
    def changes_C(self) -> Floats:
        """True gap change of each class."""
        net_CG = self.gain_CG - self.loss_CG
        return np.asarray(net_CG[:, 0] - net_CG[:, 1])

    @property
    def label_N(self) -> Ints:
        """Class of each image."""
        return np.repeat(np.arange(len(self.size_CG)), self.size_CG.sum(axis=1))

    @property
    def group_N(self) -> Ints:
        """Group of each image."""
        return np.repeat(np.tile([0, 1], len(self.size_CG)), self.size_CG.ravel())

    def outcomes(self, random: Random) -> tuple[Bools, Bools]:
        """Hits before and after, each image by itself."""
        place = (self.label_N, self.group_N)
        chance_N, before_N = random.random(len(place[0])), random.random(len(place[0])) < self.recall_CG[place]
        gain_N = self.gain_CG[place] / np.maximum(1 - self.recall_CG[place], 1e-12)
        loss_N = self.loss_CG[place] / np.maximum(self.recall_CG[place], 1e-12)
        return before_N, np.where(before_N, chance_N >= loss_N, chance_N < gain_N)


def drawn_world(random: Random, *, classes: int, least: int, most: int, churn: float, shift: float = 0.0) -> World:
    """A world of uneven classes: sizes, recalls of .3 to .95, and flips of a share `churn` of the images (of at most what recall allows).

    `shift` is the part of each cell's flips by which gains and losses differ, to either side.
    """
    shape = (classes, 2)
    recall_CG = random.uniform(0.3, 0.95, (classes, 1)) + random.normal(0, 0.04, shape)
    recall_CG = recall_CG.clip(0.3, 0.95)
    half_CG = np.minimum(churn / 2, 0.45 * (1 - recall_CG))
    lean_CG = shift * random.uniform(-1, 1, shape)
    size_CG = np.exp(random.uniform(np.log(least), np.log(most + 1), shape)).astype(np.int64)
    return World(size_CG, recall_CG, half_CG * (1 + lean_CG), half_CG * (1 - lean_CG))


def swapped(random: Random, before_N: Bools, after_N: Bools) -> tuple[Bools, Bools]:
    """Nothing planted: every image's two outcomes changed over with probability one half."""
    turn_N = random.random(len(before_N)) < 0.5
    return np.where(turn_N, after_N, before_N), np.where(turn_N, before_N, after_N)


def paired(
    label_N: Ints, group_N: Ints, top_2N: tuple[Ints, Ints], *, classes: int, second_N: Ints | None = None, floor: int = 25
) -> Pairing:
    """Baseline and candidate as a study holds them; `top_2N` are the first predictions of both, `second_N` second labels (-1: none)."""
    facts = {
        "classes": [f"class {number}" for number in range(classes)], "ks": [1], "pairs": [asdict(PAIR)], "min_per_group": floor,
        "sign": "absolute", "class2": "each", "groups": [],
    }  # fmt: skip
    second = np.full(len(label_N), -1) if second_N is None else second_N
    side_N = np.where(group_N == 0, PAIR.first, PAIR.second)
    sides = [_outcomes(label_N, second, side_N, top_N, facts) for top_N in top_2N]
    return Pairing(*(_evaluation(name, number, found) for number, (name, found) in enumerate(zip(("fp32", "int8"), sides, strict=True))))


def hits_as_predictions(label_N: Ints, hit_N: Bools, classes: int) -> Ints:
    """First predictions that are right where there is a hit, and the next class where there is none."""
    return np.where(hit_N, label_N, (label_N + 1) % classes)


def _outcomes(label_N: Ints, second_N: Ints, side_N: NDArray[np.str_], top_N: Ints, facts: Mapping[str, Any]) -> Outcomes:
    ids = np.arange(len(label_N)).astype(str)
    frame = pd.DataFrame({"id": ids, "label": label_N, "label2": second_N, "side": side_N, "top_1": top_N, "hit_at_1": top_N == label_N})
    return Outcomes(BENCHMARK, "classification", facts, {"images": frame}, "data", "prompts", {}, "protocol")


def _evaluation(quantizer: str, number: int, outcomes: Outcomes) -> Evaluation:
    return Evaluation(
        model="model", quantizer=quantizer, version=str(number + 1), baseline_version="1", source="drawn", size="small",
        run_id=quantizer, weights_sha256=quantizer, machine={}, outcomes={BENCHMARK: outcomes}, metrics={},
    )  # fmt: skip
