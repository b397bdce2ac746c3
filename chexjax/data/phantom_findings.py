"""What can be wrong on the frontal phantom, each drawn so that it can be seen at 128 pixels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from chexjax.data.findings import Finding
from chexjax.data.phantom_canvas import (
    Field,
    Strokes,
    bump,
    clouds,
    curve,
    edge,
    lift,
)
from chexjax.data.phantom_scene import Scene

if TYPE_CHECKING:
    from chexjax.data.phantom_frontal import Chest

FLUID = 0.68
ZONES = {"upper": -0.42, "mid": -0.06, "lower": 0.26}


def sides(finding: Finding | None) -> tuple[int, ...]:
    """Signs of u on the side of a finding: -1 is the patient's right."""
    if finding is None:
        return ()
    return {"left": (1,), "right": (-1,), "bilateral": (-1, 1)}[finding.side or "bilateral"]


def add(picture: Field, scene: Scene, chest: Chest, tree: Field, rng: np.random.Generator) -> None:
    """Adds the lungs' vessels and every finding of the scene but those of heart and mediastinum.

    Shadows in the lung come first, then air and fluid around it, then bones, then metal.
    """
    found = {f.kind: f for f in scene.findings}
    _lung_markings(picture, chest, tree, found)
    for kind, shadow in _SHADOWS.items():
        if kind in found:
            shadow(picture, chest, found[kind], rng)


def _lung_markings(picture: Field, chest: Chest, tree: Field, found: dict[str, Finding]) -> None:
    full = {"mild": 1.7, "moderate": 2.0, "severe": 2.0}
    strength = full[found["edema"].severity or "mild"] if "edema" in found else 1.0
    picture += np.float32(0.16 * strength) * tree * chest.clear


def _edema(picture: Field, chest: Chest, finding: Finding, rng: np.random.Generator) -> None:
    """Haze spreading from the hila; septal lines at the edge of the bases from moderate on."""
    grade = ("mild", "moderate", "severe").index(finding.severity or "mild")
    amount, reach = ((0.16, 0.20), (0.27, 0.27), (0.42, 0.36))[grade]
    haze = bump(chest.x, 0.30, reach) * bump(chest.v, 0.0, reach * 1.5)
    patches = 1 + np.float32((0.15, 0.3, 0.45)[grade]) * clouds(rng, 12, chest.size)
    picture += np.float32(amount) * haze * patches * chest.lung
    if grade == 0:
        return
    lines = Strokes(chest.size)
    for side in (-1, 1):
        for k in range(5):
            y = 0.12 + 0.065 * k
            x = 0.78 - 0.06 * (k % 2)
            lines.line([(side * (x - 0.14), y + 0.012), (side * x, y)], 0.014)
    picture += np.float32(0.26) * lines.mask() * chest.clear


def _consolidation(
    picture: Field, chest: Chest, finding: Finding, rng: np.random.Generator
) -> None:
    (side,) = sides(finding)
    x = 0.44 + 0.04 * rng.uniform(-1, 1)
    y = ZONES[finding.zone or "mid"] + 0.03 * rng.uniform(-1, 1)
    across, down = 0.20 + 0.04 * rng.random(), 0.15 + 0.03 * rng.random()
    depth = 1 - ((chest.u * side - np.float32(x)) / across) ** 2 - ((chest.v - y) / down) ** 2
    depth = depth + np.float32(0.35) * clouds(rng, 14, chest.size)
    filled = edge(depth, 0.9) * chest.lung * chest.half(side)
    lift(picture, 0.70, np.float32(0.85) * filled * (0.35 + 0.65 * chest.clear))
    # Bronchi keep their air: dark branches in the white.
    air = Strokes(chest.size)
    for turn in (-0.5, 0.1, 0.6):
        end = (side * (x + 0.12 * math.cos(turn)), y + 0.12 * math.sin(turn))
        air.line([(side * (x - 0.12), y - 0.03), (side * x, y), end], 0.014)
    picture -= np.float32(0.16) * air.mask() * filled


def _atelectasis(picture: Field, chest: Chest, finding: Finding, rng: np.random.Generator) -> None:
    """Plates at the base; the raised diaphragm belongs to the anatomy."""
    plates = Strokes(chest.size)
    for side in sides(finding):
        slope = rng.uniform(-0.05, 0.05)
        for k, height in enumerate((0.06, 0.135, 0.21)):
            y = chest.base[side] - height
            inner, outer = 0.26 + 0.05 * k, 0.70 - 0.04 * k
            path = [(side * inner, y + slope), (side * 0.48, y - 0.012), (side * outer, y + 0.02)]
            plates.line(curve(path), 0.030)
    picture += np.float32(0.36) * plates.mask() * chest.lung


def _lesion(picture: Field, chest: Chest, finding: Finding, rng: np.random.Generator) -> None:
    (side,) = sides(finding)
    radius = (0.06 if finding.severity == "mild" else 0.145) * (1 + 0.08 * rng.uniform(-1, 1))
    x = 0.46 + 0.07 * rng.uniform(-1, 1)
    y = ZONES[finding.zone or "mid"] + 0.03 * rng.uniform(-1, 1)
    far = np.hypot(chest.u - np.float32(side * x), chest.v - np.float32(y)) / np.float32(radius)
    rough = np.float32(0.10) * clouds(rng, 24, chest.size) if finding.severity == "severe" else 0
    ball = edge(1 - far + rough, max(0.3, 3 / (chest.size * radius)))
    picture += np.float32(0.36) * ball * (1 - 0.2 * np.minimum(far, 1))


def _effusion(picture: Field, chest: Chest, finding: Finding, rng: np.random.Generator) -> None:
    """Fluid whose surface climbs at the side: a meniscus."""
    level, climb = {"mild": (0.00, 0.17), "moderate": (-0.27, 0.24), "severe": (-0.70, 0.28)}[
        finding.severity or "moderate"
    ]
    rise = np.clip((chest.x - np.float32(0.28)) / np.float32(0.5), 0, 1.2) ** 2
    inside = edge(chest.inside, 0.03)
    for side in sides(finding):
        top = chest.base[side] + level + 0.04 * rng.uniform(-1, 1) - climb * rise
        fluid = edge(chest.v - top, 0.05) * inside * chest.half(side)
        lift(picture, FLUID, np.float32(0.92) * fluid)


def _pneumothorax(picture: Field, chest: Chest, finding: Finding, rng: np.random.Generator) -> None:
    """Black air outside of the lung's own border; no vessels reach into it."""
    (side,) = sides(finding)
    apex, base = {"mild": (0.24, 0.05), "moderate": (0.33, 0.20), "severe": (0.50, 0.44)}[
        finding.severity or "moderate"
    ]
    down = np.clip((chest.v + np.float32(0.75)) / np.float32(1.1), 0, 1)
    inset = apex + (base - apex) * down + 0.01 * rng.uniform(-1, 1)
    beyond = inset - (chest.wall - chest.x)
    here = chest.lung * chest.half(side)
    rim = edge(beyond, 0.025)
    lift(picture, 0.04, np.float32(0.72) * rim * here * chest.clear)
    if finding.severity == "severe":
        picture += np.float32(0.10) * (1 - rim) * here * chest.clear
    line = edge(np.float32(0.012) - np.abs(beyond), max(0.012, 3 / chest.size))
    picture += np.float32(0.30) * line * here * chest.clear


def _fracture(picture: Field, chest: Chest, finding: Finding, rng: np.random.Generator) -> None:
    """Neighbouring ribs broken at the side, the outer pieces a step lower, dark gaps between."""
    (side,) = sides(finding)
    bone, gap = Strokes(chest.size), Strokes(chest.size)
    first = int(rng.integers(4, 6))
    for rib in range(first, first + 3):
        x = 0.55 + 0.03 * rng.uniform(-1, 1)

        def at(there: float, step: float, rib: int = rib) -> tuple[float, float]:
            return side * there, chest.posterior(rib, there) + step

        bone.line([at(x - d, 0.0) for d in (0.15, 0.09, 0.03)], 0.05)
        bone.line([at(x + d, 0.055) for d in (0.03, 0.09, 0.16)], 0.05)
        gap.line([at(x + 0.02, -0.05), at(x - 0.015, 0.10)], 0.022)
    picture += np.float32(0.22) * bone.mask()
    lift(picture, 0.10, np.float32(0.8) * gap.mask())


def _pacemaker(picture: Field, chest: Chest, finding: Finding, rng: np.random.Generator) -> None:
    (side,) = sides(finding)
    x, y = side * (0.62 + 0.03 * rng.uniform(-1, 1)), -0.50 + 0.04 * rng.uniform(-1, 1)
    metal = Strokes(chest.size)
    metal.box((x, y), (0.11, 0.095), 0.04)
    vein = [(x - side * 0.06, y - 0.07), (side * 0.38, -0.68), (side * 0.10, -0.60), (-0.11, -0.42)]
    metal.line(curve([*vein, (-0.13, -0.05), (-0.10, 0.15)]), 0.02, 0.9)
    metal.line(curve([*vein, (-0.12, 0.0), (0.02, 0.28), (0.24, 0.38)]), 0.02, 0.9)
    lift(picture, 0.98, metal.mask())


def _catheter(picture: Field, chest: Chest, finding: Finding, rng: np.random.Generator) -> None:
    (side,) = sides(finding)
    line = Strokes(chest.size)
    start = [(side * 0.98, -0.62), (side * 0.70, -0.76), (side * 0.40, -0.66)]
    path = [*start, (side * 0.14, -0.55), (-0.10, -0.42), (-0.13, -0.25)]
    line.line(curve([*path, (-0.13, -0.05 + 0.05 * rng.uniform(-1, 1))]), 0.026)
    lift(picture, 0.93, line.mask())


def _tube(picture: Field, chest: Chest, finding: Finding, rng: np.random.Generator) -> None:
    tip = -0.50 + 0.04 * rng.uniform(-1, 1)
    tube = Strokes(chest.size)
    tube.line([(-0.036, -1.0), (-0.034, tip)], 0.022)
    tube.line([(0.036, -1.0), (0.034, tip + 0.03)], 0.022, 0.85)
    lift(picture, 0.95, tube.mask())


_SHADOWS = {
    "edema": _edema,
    "consolidation": _consolidation,
    "lesion": _lesion,
    "atelectasis": _atelectasis,
    "pneumothorax": _pneumothorax,
    "effusion": _effusion,
    "fracture": _fracture,
    "catheter": _catheter,
    "tube": _tube,
    "pacemaker": _pacemaker,
}
