"""Polygons of tools and robot parts, in a local frame from -1 to 1 (x right, y down); every shape is a polygon.

A part is its points and a colour key: m main, d dark, l light, k black, w wood, s silver, W white,
R Y G B red, yellow, green, blue, c casing, C casing shade.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Part:
    """One filled polygon: points (n, 2) and the key of its colour in the palette."""

    points: Points
    colour: str


def disc(x: float, y: float, rx: float, ry: float | None = None, *, colour: str = "m", sides: int = 12) -> Part:
    """An ellipse, as a polygon of `sides` corners."""
    angle = np.arange(sides) * (2 * np.pi / sides)
    return Part(np.stack([x + rx * np.cos(angle), y + (ry or rx) * np.sin(angle)], axis=1), colour)


def box(x0: float, y0: float, x1: float, y1: float, *, colour: str = "m") -> Part:
    """An upright rectangle."""
    return poly((x0, y0), (x1, y0), (x1, y1), (x0, y1), colour=colour)


def poly(*corners: tuple[float, float], colour: str = "m") -> Part:
    """Any polygon."""
    return Part(np.array(corners, dtype=np.float64), colour)


def bar(x0: float, y0: float, x1: float, y1: float, width: float, *, colour: str = "m") -> Part:
    """A straight line of a given width, as a rectangle."""
    start, end = np.array([x0, y0]), np.array([x1, y1])
    across = np.array([y0 - y1, x1 - x0]) / np.hypot(x1 - x0, y1 - y0) * width / 2
    return Part(np.stack([start + across, end + across, end - across, start - across]), colour)


def star(x: float, y: float, radius: float, *, colour: str = "m", corners: int = 5) -> Part:
    """A star with `corners` points."""
    angle = np.arange(2 * corners) * (np.pi / corners) - np.pi / 2
    reach = np.where(np.arange(2 * corners) % 2 == 0, radius, radius * 0.42)
    return Part(np.stack([x + reach * np.cos(angle), y + reach * np.sin(angle)], axis=1), colour)


def _ring(x: float, y: float, radius: float, colour: str, hole: str) -> tuple[Part, ...]:
    return disc(x, y, radius, colour=colour), disc(x, y, radius * 0.6, colour=hole)


# What is small at a twin's tool end lies around this point; an occluder put there hides which twin it is.
TWIN_DETAIL = (0.0, -0.75)
_TUBE = (bar(0, -0.85, 0, 0.9, 0.3), box(-0.3, 0.1, 0.3, 0.25, colour="k"), box(-0.3, 0.4, 0.3, 0.55, colour="k"))
_HANDLE = (bar(0, -0.8, 0, 0.1, 0.16, colour="s"), bar(0, 0.1, 0, 0.95, 0.4))
_POLE = (bar(0, -0.8, 0, 0.95, 0.16, colour="w"), box(-0.3, 0.8, 0.3, 0.97))

TOOLS: dict[str, tuple[Part, ...]] = {
    "guitarist": (bar(0, -1, 0, 0, 0.2, colour="k"), disc(0, 0.05, 0.36), disc(0, 0.55, 0.5), disc(0, 0.4, 0.18, colour="k")),
    "drummer": (
        box(-0.8, -0.1, 0.8, 0.8),
        disc(0, -0.1, 0.8, 0.3, colour="l"),
        bar(-0.7, -0.9, 0, -0.2, 0.14, colour="w"),
        bar(0.7, -0.9, 0, -0.2, 0.14, colour="w"),
    ),
    "trumpeter": (*_TUBE, poly((-0.5, -1.0), (0.5, -1.0), (0.0, -0.45))),
    "flutist": (*_TUBE, disc(0, -0.8, 0.24)),
    "basketball_player": (disc(0, 0, 0.85), bar(-0.85, 0, 0.85, 0, 0.12, colour="k"), bar(0, -0.85, 0, 0.85, 0.12, colour="k")),
    "soccer_player": (
        disc(0, 0.1, 0.75),
        disc(0, 0.1, 0.26, colour="k", sides=5),
        disc(-0.5, -0.2, 0.16, colour="k"),
        disc(0.5, -0.2, 0.16, colour="k"),
        disc(-0.35, 0.6, 0.16, colour="k"),
        disc(0.35, 0.6, 0.16, colour="k"),
    ),
    "tennis_player": (
        bar(0, 0.1, 0, 1, 0.18, colour="k"),
        *_ring(0, -0.4, 0.6, "m", "l"),
        bar(-0.36, -0.4, 0.36, -0.4, 0.08, colour="d"),
        bar(0, -0.76, 0, -0.04, 0.08, colour="d"),
    ),
    "ballplayer": (
        disc(0, 0.2, 0.5),
        bar(-0.3, -0.15, -0.3, 0.55, 0.12, colour="R"),
        bar(0.3, -0.15, 0.3, 0.55, 0.12, colour="R"),
        bar(-0.9, -0.9, 0.9, -0.6, 0.28, colour="w"),
    ),
    "carpenter": (*_HANDLE, box(-0.65, -1.0, 0.65, -0.6, colour="s")),
    "repairman": (*_HANDLE, box(-0.2, -0.98, 0.2, -0.6, colour="s")),
    "gardener": (*_POLE, poly((-0.42, -0.4), (0.42, -0.4), (0.34, -0.75), (0, -1.1), (-0.34, -0.75), colour="s")),
    "boatman": (*_POLE, disc(0, -0.75, 0.3, 0.36, colour="w")),
    "farmer": (
        box(-0.3, -0.3, 0.95, 0.35),
        box(-0.6, -0.9, 0.1, 0.2, colour="d"),
        *_ring(-0.45, 0.45, 0.5, "k", "Y"),
        *_ring(0.65, 0.6, 0.32, "k", "Y"),
    ),
    "fireman": (
        poly((-0.75, -0.4), (0.75, -0.4), (0.5, 0.85), (-0.5, 0.85)),
        disc(0, -0.4, 0.75, 0.2, colour="s"),
        bar(-0.7, -0.4, 0, -0.95, 0.1, colour="k"),
        bar(0.7, -0.4, 0, -0.95, 0.1, colour="k"),
    ),
    "lawman": (
        poly((-0.6, -0.5), (0.6, -0.5), (0.3, 0.9), (-0.1, 0.9)),
        box(-0.75, -0.75, 0.75, -0.45, colour="k"),
        disc(0.1, -0.1, 0.2, colour="Y"),
    ),
    "soldier": (
        bar(-0.95, -0.55, 0.3, 0.1, 0.16, colour="k"),
        poly((0.1, -0.15), (0.95, 0.35), (0.8, 0.85), (0.0, 0.25)),
        bar(0.15, 0.1, 0.0, 0.6, 0.2, colour="k"),
    ),
    "guard": (
        poly((-0.75, -0.85), (0.75, -0.85), (0.75, 0.1), (0, 0.95), (-0.75, 0.1)),
        box(-0.12, -0.85, 0.12, 0.7, colour="Y"),
        box(-0.75, -0.4, 0.75, -0.15, colour="Y"),
    ),
    "doctor": (
        bar(-0.7, -0.9, -0.3, 0.1, 0.16),
        bar(0.7, -0.9, 0.3, 0.1, 0.16),
        bar(-0.35, 0.05, 0.35, 0.05, 0.18),
        bar(0, 0.05, 0, 0.5, 0.16),
        *_ring(0, 0.65, 0.34, "s", "k"),
    ),
    "nurse": (
        bar(0, -0.4, 0, 0.5, 0.5),
        bar(0, -1, 0, -0.4, 0.08, colour="k"),
        bar(0, 0.5, 0, 0.95, 0.14, colour="s"),
        box(-0.4, 0.85, 0.4, 0.98, colour="k"),
        box(-0.25, 0.0, 0.25, 0.1, colour="R"),
    ),
    "painter": (
        bar(0, -0.2, 0, 0.95, 0.22, colour="w"),
        box(-0.3, -0.4, 0.3, -0.1, colour="s"),
        poly((-0.35, -0.4), (0.35, -0.4), (0.2, -1.0), (-0.2, -0.9)),
    ),
    "hairdresser": (
        disc(-0.1, -0.4, 0.5),
        poly((0.2, -0.7), (0.95, -0.55), (0.95, -0.2), (0.2, -0.1), colour="d"),
        bar(-0.15, 0, 0.0, 0.9, 0.3, colour="d"),
    ),
    "computer_user": (
        box(-0.7, -0.75, 0.7, 0.2, colour="k"),
        box(-0.55, -0.6, 0.55, 0.08, colour="B"),
        poly((-0.7, 0.25), (0.7, 0.25), (1.0, 0.75), (-1.0, 0.75)),
    ),
    "singer": (disc(0, -0.6, 0.38, colour="s"), bar(0, -0.3, 0, 0.8, 0.2), box(-0.45, 0.78, 0.45, 0.95)),
    "backpacker": (
        box(-0.6, -0.6, 0.6, 0.9),
        disc(0, -0.55, 0.6, 0.35),
        box(-0.4, 0.15, 0.4, 0.7, colour="d"),
        box(-0.85, -0.2, -0.6, 0.7, colour="d"),
    ),
    "waiter": (disc(0, 0.3, 0.95, 0.26), box(-0.55, -0.6, -0.25, 0.25, colour="G"), box(0.1, -0.35, 0.5, 0.25, colour="R")),
    "motorcyclist": (
        disc(0, -0.1, 0.8, 0.75),
        box(-0.8, -0.05, 0.8, 0.6),
        box(-0.1, -0.2, 0.8, 0.25, colour="k"),
        box(-0.8, 0.6, 0.8, 0.72, colour="d"),
    ),
}

# Robot parts by the class's shape index, in the robot's own frame.
TORSOS: tuple[Part, ...] = (
    box(-0.42, -0.28, 0.42, 0.5, colour="c"),
    poly((-0.28, -0.28), (0.28, -0.28), (0.48, 0.5), (-0.48, 0.5), colour="c"),
    disc(0, 0.1, 0.47, 0.42, colour="c", sides=14),
    poly((-0.5, -0.28), (0.5, -0.28), (0.3, 0.5), (-0.3, 0.5), colour="c"),
)
HEADS: tuple[Part, ...] = (
    box(-0.3, -0.85, 0.3, -0.34, colour="c"),
    disc(0, -0.6, 0.31, 0.29, colour="c"),
    disc(0, -0.6, 0.34, 0.3, colour="c", sides=6),
    box(-0.42, -0.78, 0.42, -0.36, colour="c"),
)
HATS: tuple[tuple[Part, ...], ...] = (
    (),
    (box(-0.34, -0.97, 0.34, -0.8), box(0.2, -0.86, 0.6, -0.78)),
    (poly((-0.34, -0.76), (0.34, -0.76), (0.2, -1.02), (-0.2, -1.02)),),
    (box(-0.6, -0.86, 0.6, -0.77), box(-0.28, -1.02, 0.28, -0.84)),
    (bar(0, -1.05, 0, -0.8, 0.07, colour="k"), disc(0, -1.02, 0.11)),
    (box(-0.34, -0.9, 0.34, -0.76, colour="l"), box(-0.07, -1.0, 0.07, -0.7, colour="R")),
)
LIMBS: tuple[Part, ...] = (
    bar(-0.2, 0.45, -0.22, 0.98, 0.24),
    bar(0.2, 0.45, 0.22, 0.98, 0.24),
    bar(-0.4, -0.15, -0.68, 0.3, 0.15, colour="C"),
    bar(0.4, -0.15, 0.68, 0.2, 0.15, colour="C"),
)
