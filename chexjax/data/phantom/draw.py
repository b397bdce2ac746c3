"""Turns a scene into a film: the view's anatomy, then position, exposure, grain and marker."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from chexjax.data.phantom.canvas import Field, Strokes, clouds
from chexjax.data.phantom.frontal import frontal
from chexjax.data.phantom.lateral import lateral
from chexjax.data.phantom.scene import DRAWING, FILM, Body, Scene, stream

VIEWS = {"frontal": frontal, "lateral": lateral}


def draw(scene: Scene, view: str, size: int) -> np.ndarray:
    """Draws one view, `u8[size, size]`; on a frontal view the patient's right is on the left.

    Raises:
      ValueError: no such view.
    """
    if view not in VIEWS:
        raise ValueError(f"no view {view!r}; there are {sorted(VIEWS)}")
    # Streams of their own, so that a finding changes what it touches and nothing else.
    own = (FILM + 1) * list(VIEWS).index(view)
    picture = VIEWS[view](scene, size, stream(*scene.key, DRAWING + own))
    picture = _position(picture, scene.body)
    film = stream(*scene.key, FILM + own)
    _expose(picture, scene.body, film)
    _mark(picture, view, film)
    return (np.clip(picture, 0, 1) * np.float32(255)).astype(np.uint8)


def _position(picture: Field, body: Body) -> Field:
    """Tilts, magnifies and moves the picture; what lies beyond its border is black."""
    size = len(picture)
    angle = math.radians(3.5 * body.tilt)
    zoom = 1 - 0.05 * body.zoom
    cos, sin = math.cos(angle) * zoom, math.sin(angle) * zoom
    middle = size / 2
    dx, dy = (0.035 * size * s for s in body.shift)
    matrix = (
        cos, sin, middle - cos * (middle + dx) - sin * (middle + dy),
        -sin, cos, middle + sin * (middle + dx) - cos * (middle + dy),
    )  # fmt: skip
    image = Image.fromarray(picture)
    moved = image.transform((size, size), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    return np.array(moved)


def _expose(picture: Field, body: Body, rng: np.random.Generator) -> None:
    """Scatter, exposure and grain, in place."""
    size = len(picture)
    picture += np.float32(0.012) * clouds(rng, 6, size)
    np.clip(picture, 0, 1, out=picture)
    np.power(picture, np.float32(1 + 0.22 * body.exposure), out=picture)
    picture *= np.float32(0.97 - 0.03 * rng.random())
    grain = np.float32(0.010 + 0.010 * rng.random())
    picture += grain * rng.standard_normal((size, size), np.float32)


_LETTERS = {
    "R": (((0, 1), (0, 0), (0.7, 0), (0.8, 0.25), (0.7, 0.5), (0, 0.5)), ((0.35, 0.5), (0.8, 1))),
    "L": (((0, 0), (0, 1), (0.75, 1)),),
}


def _mark(picture: Field, view: str, rng: np.random.Generator) -> None:
    """The technician's lead letter: R at the patient's right or L at the left."""
    letter = "R" if view == "frontal" and rng.random() < 0.5 else "L"
    size = len(picture)
    side = size // 8
    strokes = Strokes(side)
    for path in _LETTERS[letter]:
        strokes.line([(1.4 * a - 0.5, 1.6 * b - 0.8) for a, b in path], 0.36)
    top = round(size * (0.02 + 0.04 * rng.random()))
    left = size // 32 if letter == "R" else size - side - size // 32
    corner = picture[top : top + side, left : left + side]
    np.maximum(corner, np.float32(0.95) * strokes.mask(), out=corner)
