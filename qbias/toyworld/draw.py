"""Scenes to pixels: cheap Pillow polygons on a textured background.

Everything is placed in a frame of half width 1 around the image centre, measured by the short side, so that resize and
centre crop keep the robots.
"""

import colorsys
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from qbias.toyworld.classes import CLASSES, TWIN_INDICES
from qbias.toyworld.scenes import Robot, Scene
from qbias.toyworld.shapes import HATS, HEADS, LIMBS, TOOLS, TORSOS, TWIN_DETAIL, Part, bar, box, disc, star

Colour = tuple[int, int, int]
Palette = dict[str, Colour]

GROUNDS: tuple[tuple[Colour, Colour], ...] = (
    ((150, 150, 152), (120, 120, 122)),
    ((150, 200, 240), (90, 160, 70)),
    ((120, 175, 240), (200, 225, 250)),
    ((165, 85, 65), (140, 70, 55)),
    ((240, 220, 130), (190, 160, 90)),
    ((45, 48, 60), (70, 70, 78)),
    ((240, 170, 190), (220, 140, 165)),
    ((240, 240, 240), (205, 205, 210)),
)
FIXED: Palette = {
    "k": (25, 25, 30),
    "w": (140, 95, 55),
    "s": (185, 190, 200),
    "R": (210, 45, 45),
    "Y": (240, 205, 60),
    "B": (70, 150, 250),
    "G": (50, 190, 80),
    "W": (250, 250, 250),
}
OCCLUDED_TWIN = 0.4
OCCLUDED_OTHER = 0.08


class Canvas:
    """A picture in the making: draws parts given in the unit frame, at an origin, a scale and an angle."""

    def __init__(self, image: Image.Image) -> None:
        self.image = image
        self._draw = ImageDraw.Draw(image)
        self._half = min(image.size) / 2
        self._centre = np.array(image.size) / 2

    def paint(
        self,
        parts: Iterable[Part],
        palette: Palette,
        at: tuple[float, float] = (0, 0),
        *,
        scale: float = 1.0,
        angle: float = 0.0,
    ) -> None:
        """Draw parts in order; `at` and `scale` are in the unit frame, `angle` in radians."""
        cos, sin = np.cos(angle) * scale * self._half, np.sin(angle) * scale * self._half
        turn = np.array([[cos, sin], [-sin, cos]])
        origin = self._centre + np.array(at) * self._half
        for part in parts:
            corners: list[float] = (part.points @ turn + origin).ravel().tolist()
            self._draw.polygon(corners, fill=palette[part.colour])


def _background(size: tuple[int, int], kind: int, rng: np.random.Generator) -> Image.Image:
    width, height = size
    top, bottom = (np.array(colour, dtype=np.float64) for colour in GROUNDS[kind])
    horizon = rng.uniform(0.45, 0.75)
    rows = (np.arange(6) / 5 > horizon)[:, None, None]
    grid = np.where(rows, bottom, top) + rng.normal(0, 9, (6, 6, 1)) + rng.normal(0, 5, (6, 6, 3))
    if kind == 3:  # bricks: alternate rows
        grid[::2] -= 25
    small = Image.fromarray(np.clip(grid, 0, 255).astype(np.uint8))
    image = small.resize(size, Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(0, 3))):
        x, y, w = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(3, 10)
        draw.rectangle((x, y, x + w, y + w * rng.uniform(0.3, 1.5)), fill=_colour(rng.integers(40, 230, 3)))
    return image


def _colour(values: Iterable[float] | NDArray[np.int64]) -> Colour:
    red, green, blue = (int(min(255, max(0, value))) for value in values)
    return red, green, blue


def _casing(robot: Robot, rng: np.random.Generator) -> Colour:
    hue = robot.hue / 7 + rng.normal(0, 0.012)
    lightness = 0.87 - 0.074 * robot.tone + rng.normal(0, 0.012)
    return _colour(255 * value for value in colorsys.hls_to_rgb(hue % 1, lightness, 0.5))


def _palette(main: Colour, casing: Colour, rng: np.random.Generator) -> Palette:
    shade = rng.normal(0, 7, 3) + rng.normal(0, 10)
    tool = np.array(main) + shade
    return FIXED | {
        "m": _colour(tool),
        "d": _colour(tool * 0.6),
        "l": _colour(tool * 0.4 + 150),
        "c": casing,
        "C": _colour(0.75 * value for value in casing),
        "b": _colour(rng.integers(150, 256, 3)),
    }


def _badge(shape: int, x: float, y: float, size: float) -> list[Part]:
    """A yellow square, a white disc with a dark centre, a green star, or nothing."""
    if shape == 0:
        return [
            box(x - size, y - size, x + size, y + size, colour="k"),
            box(x - size * 0.75, y - size * 0.75, x + size * 0.75, y + size * 0.75, colour="Y"),
        ]
    if shape == 1:
        return [disc(x, y, size * 1.15, colour="W"), disc(x, y, size * 0.6, colour="k")]
    return [star(x, y, size * 1.4, colour="G")] if shape == 2 else []


def _marks(pattern: int, field: tuple[float, float, float, float], rng: np.random.Generator) -> list[Part]:
    """The age pattern inside a field (x0, y0, x1, y1): bright stickers, dark dents, large rust, or a striped cover."""
    x0, y0, x1, y1 = field
    if pattern == 3:
        return [bar(x0, y, x1, y, 0.07, colour="s") for y in np.linspace(y0, y1, 4)]
    columns, rows = np.linspace(x0, x1, 4), np.linspace(y0, y1, 3)
    spots = [(x + rng.normal(0, 0.04), y + rng.normal(0, 0.04)) for x in columns.tolist() for y in rows.tolist()]
    if pattern == 0:
        return [disc(x, y, 0.1, colour="RYBW"[i % 4], sides=8) for i, (x, y) in enumerate(spots)]
    if pattern == 1:
        return [bar(x - 0.1, y - 0.08, x + 0.1, y + 0.08, 0.08, colour="k") for x, y in spots]
    return [disc(x, y, 0.19, 0.13, colour="w", sides=7) for x, y in spots[::2]]


def _face(expression: int, x: float, y: float, size: float) -> list[Part]:
    """Lamp eyes lit by mood, and a mouth: smile (green), frown (red), wide eyes (yellow), sleepy eyes (blue)."""
    height, lamp = (0.2, 0.2, 0.3, 0.09)[expression] * size, "GRYB"[expression]
    parts = [disc(x + side * 0.42 * size, y - 0.15 * size, 0.24 * size, height, colour=lamp, sides=8) for side in (-1, 1)]
    bend, mouth = (0.24, -0.24, 0.0, 0.0)[expression] * size, y + 0.45 * size
    for side in (-1, 1):
        parts.append(bar(x, mouth + bend / 2, x + side * 0.42 * size, mouth - bend / 2, 0.18 * size, colour="k"))
        if expression == 1:
            parts.append(bar(x + side * 0.15 * size, y - 0.3 * size, x + side * 0.7 * size, y - 0.55 * size, 0.14 * size, colour="k"))
    return parts


def _tool(canvas: Canvas, kind: int, palette: Palette, at: tuple[float, float], scale: float, rng: np.random.Generator) -> None:
    angle, size = rng.normal(0, 0.12), scale * rng.uniform(0.46, 0.53)
    parts = list(TOOLS[CLASSES[kind].facet])
    if rng.random() < (OCCLUDED_TWIN if kind in TWIN_INDICES else OCCLUDED_OTHER):
        x, y = TWIN_DETAIL
        parts.append(disc(x, y, 0.6, 0.5, colour="b", sides=7))
    canvas.paint(parts, palette, at, scale=size, angle=angle)


def _robot(canvas: Canvas, robot: Robot, at: tuple[float, float], scale: float, rng: np.random.Generator) -> None:
    look = CLASSES[robot.kind]
    palette = _palette(look.colour, _casing(robot, rng), rng)
    body = [*LIMBS, TORSOS[look.torso], HEADS[look.head], *HATS[look.hat]]
    body += _marks(robot.pattern, (-0.36, 0.36, 0.36, 0.86), rng) + _face(robot.expression, 0, -0.58, 0.3)
    body += _badge(robot.badge, 0, -0.01, 0.26)
    x, y = at
    canvas.paint(body, palette, (x - 0.32 * scale, y), scale=scale * 0.95, angle=rng.normal(0, 0.05))
    reach = 0.45 * scale
    _tool(canvas, robot.kind, palette, (x + reach, y + rng.uniform(-0.05, 0.2) * scale), scale, rng)
    if robot.second is not None:
        other = _palette(CLASSES[robot.second].colour, palette["c"], rng)
        _tool(canvas, robot.second, other, (x - 0.75 * scale, y + 0.3 * scale), scale * 0.8, rng)


def _portrait(canvas: Canvas, robot: Robot, rng: np.random.Generator) -> None:
    palette = _palette((120, 120, 130), _casing(robot, rng), rng)
    parts = [Part((HEADS[int(rng.integers(4))].points + np.array([0, 0.6])) * 2.3, "c")]
    parts += _marks(robot.pattern, (-0.5, 0.5, 0.5, 0.85), rng)
    parts += _face(robot.expression, 0, 0.05, 0.65) + _badge(robot.badge, 0, -0.5, 0.21)
    at = (rng.uniform(-0.12, 0.12), rng.uniform(-0.12, 0.12))
    canvas.paint(parts, palette, at, scale=rng.uniform(0.95, 1.15), angle=rng.normal(0, 0.08))


def picture(scene: Scene, rng: np.random.Generator, *, size: tuple[int, int] = (64, 64)) -> Image.Image:
    """Draw a scene as an RGB image of `size` (width, height) pixels; what the scene leaves open comes from `rng`."""
    canvas = Canvas(_background(size, scene.background, rng))
    if scene.portrait:
        _portrait(canvas, scene.robots[0], rng)
        return canvas.image
    count = len(scene.robots)
    for i, robot in enumerate(scene.robots):
        scale = (0.92, 0.58, 0.46)[count - 1] * rng.uniform(0.9, 1.06)
        x = 0.0 if count == 1 else -0.55 + 1.1 * i / (count - 1)
        _robot(canvas, robot, (x + rng.uniform(-0.08, 0.08), rng.uniform(-0.06, 0.1)), scale, rng)
    return canvas.image
