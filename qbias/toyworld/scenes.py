"""What is in a picture, before it is drawn: robots with marks, and a background."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Robot:
    """One robot: indices into the tables of `classes.py`; `tone` 0 is the lightest casing, 9 the darkest."""

    kind: int
    badge: int
    tone: int
    hue: int
    pattern: int
    expression: int
    second: int | None = None


@dataclass(frozen=True)
class Scene:
    """One picture: robots from left to right on a background, or (`portrait`) the head of the only robot."""

    robots: tuple[Robot, ...]
    background: int
    portrait: bool = False
