"""The lateral phantom: the patient looks to the left of the film."""

from __future__ import annotations

import math

import numpy as np

from chexjax.data.phantom.canvas import (
    VESSEL_TREES,
    Field,
    Strokes,
    axes,
    band,
    bump,
    clouds,
    curve,
    edge,
    lift,
    vessels,
)
from chexjax.data.phantom.pathology import FLUID, ZONES
from chexjax.data.phantom.scene import Scene

_HEART = {None: 1.0, "mild": 1.15, "moderate": 1.3, "severe": 1.45}
_SPINE = 0.52


def lateral(scene: Scene, size: int, rng: np.random.Generator) -> Field:
    """Draws a lateral view, `f32[size, size]`."""
    u, v = axes(size)
    body = scene.body
    inside = np.minimum(u - _breast(v) + np.float32(0.03 * body.width), _back(v) - u)
    picture = np.float32(0.50 + 0.03 * body.fat) * edge(inside + np.float32(0.24), 0.14)
    base = 0.42 + 0.06 * body.depth
    # The two domes are never quite in line.
    near, far = base + _dome(u), base + 0.05 + _dome(u)
    apex = v + np.float32(0.80) - 0.9 * (u - np.float32(0.06)) ** 2
    lung = edge(np.minimum(np.minimum(inside, apex), far - v), 0.05)
    picture -= np.float32(0.30) * lung
    _heart(picture, scene, u, v, lung)
    _bones(picture, u, v, inside, size)
    tree = vessels(int(rng.integers(VESSEL_TREES)), size)
    # Both lungs lie on each other: their hila meet in the middle.
    shift = round(0.12 * size)
    front, back = np.roll(tree, shift, axis=1), np.roll(tree, -shift, axis=1)
    both = front * edge(-u, 0.1) + back * edge(u, 0.1)
    picture += np.float32(0.10) * both * lung
    for dome, amount in ((near, 0.30), (far, 0.6)):
        below = edge(v - dome, 0.03) * edge(inside + np.float32(0.05), 0.08)
        lift(picture, 0.70, np.float32(amount) * below)
    _findings(picture, scene, u, v, lung, inside, base, rng)
    return picture


def _breast(v: Field) -> Field:
    """Inner border of the front wall: the breastbone, sloping up and back."""
    slope = np.clip((-v - np.float32(0.05)) * np.float32(1.2), 0, 1)
    return np.float32(-0.62) + 0.30 * slope * slope + 0.05 * v * v


def _back(v: Field) -> Field:
    return 0.62 + 0.08 * bump(v, -0.1, 0.5)


def _dome(u: Field) -> Field:
    """High in front, deep at the back."""
    off = u + np.float32(0.18)
    return np.where(off > 0, np.float32(0.62), np.float32(0.25)) * off**2


def _heart(picture: Field, scene: Scene, u: Field, v: Field, lung: Field) -> None:
    found = scene.find("cardiomegaly")
    grown = _HEART[found.severity if found else None] * (1 + 0.05 * scene.body.heart)
    across = (u + np.float32(0.20)) * 0.9 + (v - np.float32(0.2)) * 0.35
    along = (v - np.float32(0.2)) * 0.95 - (u + np.float32(0.20)) * 0.3
    oval = 1 - (across / (0.30 * grown)) ** 2 - (along / (0.36 * grown)) ** 2
    picture += np.float32(0.24) * edge(oval, 0.5) * lung
    wide = 0.13 if scene.find("mediastinum") else 0.0
    # The aortic arch over the hila, and the windpipe down to them.
    arch = np.hypot(u - np.float32(0.08), (v + np.float32(0.22)) * 0.8) - np.float32(0.20)
    ring = edge(np.float32(0.06 + wide) - np.abs(arch), 0.06) * edge(-0.05 - v, 0.2)
    picture += np.float32(0.10 + wide) * ring * lung
    picture += np.float32(0.15) * bump(u, 0.05, 0.10) * bump(v, -0.08, 0.12)
    pipe = np.abs(u - np.float32(0.02) - 0.10 * (v + np.float32(0.6)))
    picture -= np.float32(0.13) * edge(np.float32(0.04) - pipe, 0.03) * edge(-0.2 - v, 0.08)


def _bones(picture: Field, u: Field, v: Field, inside: Field, size: int) -> None:
    bend = u - np.float32(_SPINE) + 0.10 * v**2
    bodies = 0.70 + 0.30 * np.cos(v * np.float32(2 * math.pi / 0.15))
    column = edge(np.float32(0.085) - np.abs(bend), 0.03)
    # The spine darkens downwards: less shoulder, more lung in front of it.
    picture += np.float32(0.20) * column * bodies * (1 - 0.25 * v)
    plate = band(u - _breast(v) + np.float32(0.04), 0.05, size)
    picture += np.float32(0.20) * plate * edge(0.27 - np.abs(v + 0.25), 0.1)
    slope = v - 0.45 * (np.float32(_SPINE) - u) + 0.25 * (u + np.float32(0.1)) ** 2
    off = slope * np.float32(1 / 0.15)
    off = np.abs(off - np.rint(off)) * np.float32(0.15)
    inside = np.minimum(inside, v + np.float32(0.75))
    picture += np.float32(0.055) * edge(np.float32(0.025) - off, 0.03) * edge(inside, 0.1)


def _findings(
    picture: Field,
    scene: Scene,
    u: Field,
    v: Field,
    lung: Field,
    inside: Field,
    base: float,
    rng: np.random.Generator,
) -> None:
    """What of the findings can be seen from the side."""
    size = len(picture)
    found = {f.kind: f for f in scene.findings}
    if "edema" in found:
        amount = {"mild": 0.10, "moderate": 0.18, "severe": 0.28}[found["edema"].severity or "mild"]
        patches = 1 + np.float32(0.4) * clouds(rng, 12, size)
        picture += np.float32(amount) * bump(u, 0.05, 0.35) * bump(v, 0.0, 0.4) * patches * lung
    for kind in ("consolidation", "lesion"):
        if kind in found:
            y = ZONES[found[kind].zone or "mid"]
            radius = 0.22 if kind == "consolidation" else 0.14
            radius = 0.06 if found[kind].severity == "mild" else radius
            far = np.hypot(u - np.float32(0.24), v - np.float32(y)) / radius
            rough = 0.25 * clouds(rng, 14, size) if kind == "consolidation" else np.float32(0)
            picture += np.float32(0.28) * edge(1 - far + rough, 0.5) * lung
    if "atelectasis" in found:
        plates = Strokes(size)
        for height in (0.05, 0.13):
            plates.line([(0.0, base - height), (0.38, base - height + 0.05)], 0.03)
        picture += np.float32(0.28) * plates.mask() * lung
    if "effusion" in found:
        _effusion(picture, found["effusion"].severity or "mild", u, v, inside, base)
    _devices(picture, set(found), size)


def _effusion(
    picture: Field, severity: str, u: Field, v: Field, inside: Field, base: float
) -> None:
    level = {"mild": 0.10, "moderate": -0.15, "severe": -0.55}[severity]
    rise = 0.22 * np.clip((u - np.float32(0.0)) / 0.5, 0, 1.2) ** 2
    fluid = edge(v - np.float32(base + level) + rise, 0.05) * edge(inside, 0.03)
    lift(picture, FLUID, np.float32(0.85) * fluid)


def _devices(picture: Field, found: set[str], size: int) -> None:
    metal = Strokes(size)
    if "pacemaker" in found:
        metal.box((-0.50, -0.52), (0.05, 0.11), 0.03)
        path = [(-0.48, -0.60), (-0.2, -0.62), (-0.05, -0.35), (-0.1, 0.1), (-0.32, 0.35)]
        metal.line(curve(path), 0.02)
    if "catheter" in found:
        metal.line(curve([(-0.3, -0.7), (-0.1, -0.55), (-0.04, -0.3), (-0.05, -0.02)]), 0.026)
    if "tube" in found:
        metal.line([(-0.06, -1.0), (0.02, -0.48)], 0.04)
    if found & {"pacemaker", "catheter", "tube"}:
        lift(picture, 0.96, metal.mask())
