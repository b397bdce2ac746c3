"""Drawing tools of the phantom: coordinates, soft edges, smooth noise, strokes, vessels.

Coordinates are those of the film: u to the right and v down, both in [-1, 1]. On a frontal view
the patient's right is at negative u. Brightness is in [0, 1]; dense is bright.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

Field = np.ndarray
"""`f32[size, size]`, `f32[1, size]` (a row over u) or `f32[size, 1]` (a column over v)."""

Point = tuple[float, float]

VESSEL_TREES = 6


@functools.lru_cache(maxsize=8)
def axes(size: int) -> tuple[Field, Field]:
    """u as a row and v as a column, at the pixels' centres."""
    line = ((np.arange(size, dtype=np.float32) + 0.5) * (2 / size) - 1).astype(np.float32)
    return line[None, :], line[:, None]


def edge(distance: Field, width: float) -> Field:
    """A ramp from 0 where `distance` (positive inside) is -width / 2 to 1 where it is width / 2."""
    out = distance * np.float32(1 / width)
    out += np.float32(0.5)
    return out.clip(0, 1, out=out)


def bump(x: Field, centre: float, width: float) -> Field:
    """A bell of height 1; the product of a row's and a column's is a round one."""
    off = (x - np.float32(centre)) * np.float32(1 / width)
    bell: Field = np.exp(-off * off)
    return bell


def band(distance: Field, width: float, size: int) -> Field:
    """1 within width / 2 of the line where `distance` is 0, with an edge of about two pixels."""
    return edge(np.float32(width / 2) - np.abs(distance), max(width / 2, 4 / size))


def lift(picture: Field, level: float, mask: Field) -> None:
    """Blends `level` into the picture where `mask` is 1, in place."""
    picture += (np.float32(level) - picture) * mask


def clouds(rng: np.random.Generator, cells: int, size: int) -> Field:
    """Smooth noise of unit variance at its `cells` x `cells` nodes."""
    return resize(rng.standard_normal((cells, cells), np.float32), size)


def resize(picture: Field, size: int) -> Field:
    """Smoothly to `size` x `size`."""
    image = Image.fromarray(picture)
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC))


@dataclasses.dataclass
class Strokes:
    """Lines and areas, drawn fine and reduced to a mask with smooth edges."""

    size: int

    def __post_init__(self) -> None:
        self._fine = 4 if self.size <= 256 else 2
        side = self.size * self._fine
        self._image = Image.new("L", (side, side))
        self._draw = ImageDraw.Draw(self._image)
        self._scale = side / 2

    def line(self, points: Sequence[Point], width: float, level: float = 1.0) -> None:
        """A polyline with round ends; never thinner than a pixel."""
        width_px = max(round(width * self._scale), self._fine)
        path = [self._at(p) for p in points]
        self._draw.line(path, fill=round(level * 255), width=width_px, joint="curve")
        for x, y in (path[0], path[-1]):
            r = width_px / 2
            self._draw.ellipse((x - r, y - r, x + r, y + r), fill=round(level * 255))

    def box(self, centre: Point, half: Point, radius: float, level: float = 1.0) -> None:
        """An upright rectangle with round corners."""
        (x, y), (w, h) = centre, half
        corners = (*self._at((x - w, y - h)), *self._at((x + w, y + h)))
        self._draw.rounded_rectangle(corners, radius * self._scale, fill=round(level * 255))

    def mask(self) -> Field:
        """What was drawn, `f32[size, size]` in [0, 1]."""
        return np.asarray(self._image.reduce(self._fine), np.float32) * np.float32(1 / 255)

    def _at(self, point: Point) -> Point:
        return (point[0] + 1) * self._scale, (point[1] + 1) * self._scale


def curve(points: Sequence[Point], count: int = 24) -> list[Point]:
    """A smooth (Catmull-Rom) path through `points`."""
    p = np.asarray([points[0], *points, points[-1]], np.float64)
    t = np.linspace(0, 1, max(count // (len(points) - 1), 2), endpoint=False)[:, None]
    pieces = []
    for a, b, c, d in zip(p, p[1:], p[2:], p[3:], strict=False):
        cubic = 2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2
        pieces.append((cubic + (3 * b - a - 3 * c + d) * t**3) / 2)
    return [(float(x), float(y)) for x, y in np.concatenate([*pieces, p[-1:]])]


@functools.lru_cache(maxsize=4 * VESSEL_TREES)
def vessels(tree: int, size: int) -> Field:
    """Branching vessels from both hila outwards, `f32[size, size]` in [0, 1].

    A handful of trees serve all scenes: drawing one takes longer than all the rest.
    """
    rng = np.random.Generator(np.random.Philox(tree))
    strokes = Strokes(size)
    for side in (-1, 1):
        for angle in np.linspace(-1.3, 1.2, 7) + rng.normal(0, 0.12, 7):
            _branch(strokes, rng, (side * 0.17, -0.08 + 0.1 * angle), side, float(angle), 0.030)
    return strokes.mask()


def _branch(
    strokes: Strokes, rng: np.random.Generator, start: Point, side: int, angle: float, width: float
) -> None:
    """Draws one vessel and, finer, the two that it parts into."""
    if width < 0.007:
        return
    length = 0.07 + 4.5 * width * rng.uniform(0.6, 1.3)
    x, y = start
    path = [start]
    for _ in range(4):
        angle += rng.normal(0, 0.10)
        x += side * math.cos(angle) * length / 4
        y += math.sin(angle) * length / 4
        path.append((x, y))
    strokes.line(path, width, level=min(0.15 + 28 * width, 1.0))
    for turn in (-0.34, 0.30):
        thinner = width * rng.uniform(0.55, 0.75)
        _branch(strokes, rng, (x, y), side, angle + turn + rng.normal(0, 0.15), thinner)
