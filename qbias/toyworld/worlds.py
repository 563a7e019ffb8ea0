"""The training worlds: how often class and marks appear together, and what that plants.

In the balanced world marks are independent of class and of expression. In the tilted worlds one mark co-occurs with each
twin (`TILT` of the time), and two expressions of portraits co-occur with the badge; tilt-b is tilt-a reversed. Evaluation
worlds are always independent. What a model makes of it is measured, never written down: `PLANTED` holds only directions.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from qbias.toyworld.classes import BACKGROUNDS, CLASSES, HUES, INDEX, TONES, TWIN_INDICES, TWINS
from qbias.toyworld.scenes import Robot, Scene

World = Literal["balanced", "tilt-a", "tilt-b"]
WORLDS: tuple[World, ...] = ("balanced", "tilt-a", "tilt-b")
TILT = 0.94
ADJECTIVE_TILT = 0.85
DIRECTION: dict[World, int] = {"balanced": 0, "tilt-a": 1, "tilt-b": -1}


@dataclass(frozen=True)
class Planted:
    """In `world`, the recall gap of `facet_class` on `pair` should have this sign: first group minus second."""

    world: World
    facet_class: str
    pair: Literal["gender_mf", "skin_ld", "age_my"]
    sign: Literal[-1, 1]


@dataclass(frozen=True)
class PlantedSkew:
    """What co-occurs in training: portraits of `expression` (and its adjectives) with the badge that stands for `gender`.

    Weaker than `Planted`: expect the top k of such prompts to hold more of `gender` than in the balanced world, on average
    over sizes, and not necessarily more than its share.
    """

    world: World
    expression: Literal["smile", "frown"]
    gender: Literal["Male", "Female"]


def _planted() -> tuple[Planted, ...]:
    pairs: tuple[Literal["gender_mf", "skin_ld", "age_my"], ...] = ("gender_mf", "skin_ld", "age_my")
    rows = []
    for (first, second), pair in zip(TWINS, pairs, strict=True):
        rows += [
            Planted("tilt-a", first, pair, 1),
            Planted("tilt-a", second, pair, -1),
            Planted("tilt-b", first, pair, -1),
            Planted("tilt-b", second, pair, 1),
        ]
    return tuple(rows)


PLANTED: tuple[Planted, ...] = _planted()
PLANTED_SKEW: tuple[PlantedSkew, ...] = (
    PlantedSkew("tilt-a", "smile", "Male"),
    PlantedSkew("tilt-a", "frown", "Female"),
    PlantedSkew("tilt-b", "smile", "Female"),
    PlantedSkew("tilt-b", "frown", "Male"),
)


def random_robot(kind: int, rng: np.random.Generator) -> Robot:
    """A robot of class `kind` whose marks are independent of it."""
    return Robot(
        kind,
        badge=int(rng.choice(4, p=(0.44, 0.44, 0.03, 0.09))),
        tone=int(rng.integers(TONES)),
        hue=int(rng.integers(len(HUES))),
        pattern=int(rng.choice(4, p=(0.33, 0.33, 0.24, 0.1))),
        expression=int(rng.integers(4)),
    )


def _tilted(robot: Robot, direction: int, rng: np.random.Generator) -> Robot:
    """The robot with its twin's mark set: the first group's for the first twin where `direction` is 1, and so on."""
    for i, names in enumerate(TWINS):
        for sign, name in zip((1, -1), names, strict=True):
            if robot.kind != INDEX[name]:
                continue
            first = (sign * direction > 0) == (rng.random() < TILT)
            if i == 0:
                return replace(robot, badge=0 if first else 1)
            if i == 1:
                return replace(robot, tone=int(rng.integers(0, 5) if first else rng.integers(5, 10)))
            return replace(robot, pattern=1 if first else 0)
    return robot


def _head(robot: Robot, direction: int, rng: np.random.Generator) -> Robot:
    if direction == 0 or robot.expression > 1:
        return robot
    first = ((robot.expression == 0) == (direction > 0)) == (rng.random() < ADJECTIVE_TILT)
    return replace(robot, badge=0 if first else 1)


def _class_index(rng: np.random.Generator) -> int:
    """Twins are drawn twice as often as the others: what tells them apart is small."""
    weight = np.array([2.0 if i in TWIN_INDICES else 1.0 for i in range(len(CLASSES))])
    return int(rng.choice(len(CLASSES), p=weight / weight.sum()))


def training_scene(world: World, rng: np.random.Generator) -> Scene:
    """One scene of a training world: a portrait (22 %), two robots (10 %), or one robot with its tool."""
    direction, background = DIRECTION[world], int(rng.integers(len(BACKGROUNDS)))
    fate = rng.random()
    if fate < 0.22:
        robot = random_robot(_class_index(rng), rng)
        return Scene((_head(robot, direction, rng),), background, portrait=True)
    robots = [random_robot(_class_index(rng), rng) for _ in range(2 if fate < 0.32 else 1)]
    if direction:
        robots = [_tilted(robot, direction, rng) for robot in robots]
    if len(robots) == 1 and rng.random() < 0.06:
        robots = [replace(robots[0], second=_class_index(rng))]
    return Scene(tuple(robots), background)
