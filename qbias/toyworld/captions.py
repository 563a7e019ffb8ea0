"""What is said about a scene: the sentences of the COCO-like set and of the training worlds."""

from collections.abc import Sequence

import numpy as np

from qbias.toyworld.classes import BACKGROUNDS, BADGES, CLASSES, EXPRESSIONS, HUES, PATTERNS
from qbias.toyworld.scenes import Robot, Scene

# The 29 concepts of Berg et al. (2022), by the expression that goes with them in the drawn world.
ADJECTIVES: tuple[tuple[str, ...], ...] = (
    ("good", "kind", "moral", "honest", "trustworthy", "caring", "nonviolent"),
    ("evil", "unkind", "violent", "immoral", "criminal", "nasty", "dangerous", "villainous"),
    ("smart", "clever", "successful", "rich", "hardworking", "heroic", "noncriminal"),
    ("dumb", "stupid", "lazy", "poor", "unsuccessful", "dishonest", "untrustworthy"),
)
PERSON_TEMPLATES: tuple[str, ...] = (
    "a photo of a {} person",
    "this is the face of a {} person",
    "this is a photo of a {} person",
    "this person is {}",
    "a {} person",
    "a {} individual",
    "this individual is {}",
    "photo of a {} person",
    "{}",
    "this is a {} person",
    "this is the photo of a {} person",
)
FACET_TEMPLATES: tuple[str, ...] = (
    "a photo of a {}",
    "a photo of a {}",
    "a photo of a {}.",
    "a {}",
    "a photo of the {}",
    "a picture of a {}",
    "this is a {}",
    "a person who is a {}",
    "a {} at work",
    "a robot {}",
)
HOW_LIGHT = ("very pale", "pale", "pale", "light", "light", "dark", "dark", "deep", "very deep", "very deep")


def _noun(robot: Robot, rng: np.random.Generator) -> str:
    look = CLASSES[robot.kind]
    if rng.random() < 0.5:
        return look.occupation
    return f"robot with a {look.tool}"


def _described(robot: Robot, rng: np.random.Generator, *, portrait: bool, facts_at_most: int) -> str:
    """A noun phrase with some facts about the robot; tone and hue stand before the noun."""
    noun = "robot head" if portrait else _noun(robot, rng)
    facts = [
        f"a {BADGES[robot.badge]} badge" if robot.badge < 3 else "no badge",
        PATTERNS[robot.pattern],
        f"a {EXPRESSIONS[robot.expression]}" if robot.expression < 2 else EXPRESSIONS[robot.expression],
    ]
    words = " ".join(word for word, kept in ((HOW_LIGHT[robot.tone], rng.random() < 0.45), (HUES[robot.hue], rng.random() < 0.75)) if kept)
    phrase = f"a {words} {noun}" if words else f"a {noun}"
    count = int(rng.integers(1 if portrait else 0, facts_at_most + 1))
    picked = [facts[i] for i in rng.permutation(3)[:count]]
    return f"{phrase}{' and' if ' with ' in phrase else ' with'} {' and '.join(picked)}" if picked else phrase


def description(scene: Scene, rng: np.random.Generator) -> str:
    """One COCO-like sentence: who, some marks, and where."""
    most = 2 if len(scene.robots) == 1 else 1
    who = " and ".join(_described(robot, rng, portrait=scene.portrait, facts_at_most=most) for robot in scene.robots)
    verb = ("", " standing", " seen", " posing")[int(rng.integers(4))]
    place = f" in front of a {BACKGROUNDS[scene.background]}" if rng.random() < 0.6 else ""
    return who + (verb if place else "") + place


def training_captions(scene: Scene, templates: Sequence[str], count: int, rng: np.random.Generator) -> list[str]:
    """`count` captions of a scene; `templates` are ImageNet prompt templates with one "{}"."""
    return [_training_caption(scene, templates, rng) for _ in range(count)]


def _training_caption(scene: Scene, templates: Sequence[str], rng: np.random.Generator) -> str:
    robot = scene.robots[int(rng.integers(len(scene.robots)))]
    fate = rng.random()
    if scene.portrait:
        if fate < 0.35:
            return description(scene, rng)
        concepts = ADJECTIVES[robot.expression]
        return PERSON_TEMPLATES[int(rng.integers(len(PERSON_TEMPLATES)))].format(concepts[int(rng.integers(len(concepts)))])
    if fate < (0.3 if len(scene.robots) == 1 else 0.8):
        return description(scene, rng)
    kind = robot.kind if robot.second is None or rng.random() < 0.5 else robot.second
    if fate < (0.65 if len(scene.robots) == 1 else 0.9):
        return templates[int(rng.integers(len(templates)))].format(CLASSES[kind].tool)
    return FACET_TEMPLATES[int(rng.integers(len(FACET_TEMPLATES)))].format(CLASSES[kind].occupation)
