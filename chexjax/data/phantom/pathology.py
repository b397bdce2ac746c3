"""What can be wrong on the frontal phantom, each drawn so that it can be seen at 128 pixels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from chexjax.data.phantom.canvas import (
    Field,
    Strokes,
    bump,
    clouds,
    curve,
    edge,
    lift,
)
from chexjax.data.phantom.findings import Finding
from chexjax.data.phantom.scene import Scene

if TYPE_CHECKING:
    from chexjax.data.phantom.frontal import Chest

FLUID = 0.68
ZONES = {"upper": -0.42, "mid": -0.06, "lower": 0.26}


def sides(finding: Finding | None) -> tuple[int, ...]:
    """Signs of u on the side of a finding: -1 is the patient's right."""
    if finding is None:
        return ()
    return {"left": (1,), "right": (-1,), "bilateral": (-1, 1)}[finding.side or "bilateral"]


def add(picture: Field, scene: Scene, chest: Chest, tree: Field, rng: np.random.Generator) -> None:
    """Adds the lungs' vessels and every finding of the scene but those of heart and mediastinum.

    Shadows in the lung come first, then air and fluid around it, then bones, then metal. Plates of
    atelectasis come after the fluid that squeezes them, so that they are seen through it.
    """
    found = {f.kind: f for f in scene.findings}
    _lung_markings(picture, chest, tree, found)
    for kind, shadow in _SHADOWS.items():
        if kind in found:
            shadow(picture, chest, found[kind], rng)


def _lung_markings(picture: Field, chest: Chest, tree: Field, found: dict[str, Finding]) -> None:
    """Vessels, which fill in failure."""
    strength = 0.24 if "edema" in found else 0.16
    picture += np.float32(strength) * tree * chest.clear


def _edema(picture: Field, chest: Chest, finding: Finding, rng: np.random.Generator) -> None:
    """Haze spreading from the hila; septal lines at the edge of the bases from moderate on."""
    grade = ("mild", "moderate", "severe").index(finding.severity or "mild")
    amount, reach = ((0.55, 0.16), (0.70, 0.25), (0.90, 0.38))[grade]
    haze = bump(chest.x, 0.30, reach) * bump(chest.v, -0.02, reach * 1.4)
    haze = haze * (1 + np.float32((0.2, 0.3, 0.4)[grade]) * clouds(rng, 16, chest.size))
    lift(picture, 0.68, np.clip(np.float32(amount) * haze, 0, 0.9) * chest.clear)
    if grade == 0:
        return
    lines = Strokes(chest.size)
    for side in (-1, 1):
        for k in range(6):
            y, x = 0.08 + 0.06 * k + 0.015 * rng.random(), 0.78 - 0.03 * rng.random()
            lines.line([(side * (x - 0.12), y + 0.012), (side * x, y)], 0.014)
    picture += np.float32(0.24) * lines.mask() * chest.clear


def _consolidation(
    picture: Field, chest: Chest, finding: Finding, rng: np.random.Generator
) -> None:
    """White with a ragged border; the bronchi in it keep their air."""
    (side,) = sides(finding)
    x = 0.46 + 0.04 * rng.uniform(-1, 1)
    y = ZONES[finding.zone or "mid"] + 0.03 * rng.uniform(-1, 1)
    across, down = 0.25 + 0.04 * rng.random(), 0.17 + 0.03 * rng.random()
    depth = 1 - ((chest.u * side - np.float32(x)) / across) ** 2 - ((chest.v - y) / down) ** 2
    depth = depth + np.float32(0.40) * clouds(rng, 18, chest.size)
    filled = edge(depth, 1.1) * chest.lung * chest.half(side)
    lift(picture, 0.72, np.float32(0.88) * filled * (0.3 + 0.7 * chest.clear))
    air = Strokes(chest.size)
    for turn in (-0.45, 0.35):
        middle = (side * (x - 0.02), y + 0.02 * turn)
        end = (side * (x + 0.13 * math.cos(turn)), y + 0.13 * math.sin(turn))
        air.line(curve([(side * (x - 0.16), y - 0.03), middle, end]), 0.012)
    picture -= np.float32(0.12) * air.mask() * filled


def _atelectasis(picture: Field, chest: Chest, finding: Finding, rng: np.random.Generator) -> None:
    """Plates at the base; the raised diaphragm belongs to the anatomy."""
    plates = Strokes(chest.size)
    for side in sides(finding):
        slope = rng.uniform(-0.04, 0.04)
        for k, height in enumerate((0.055, 0.12, 0.19)):
            y = chest.base[side] - height
            inner, outer = 0.24 + 0.06 * k, 0.72 - 0.05 * k + 0.03 * rng.random()
            path = [(side * inner, y + slope), (side * 0.48, y - 0.012), (side * outer, y + 0.02)]
            plates.line(curve(path), 0.028, 1 - 0.12 * k)
    lift(picture, 0.80, np.float32(0.85) * plates.mask() * chest.lung)


def _lesion(picture: Field, chest: Chest, finding: Finding, rng: np.random.Generator) -> None:
    """A round nodule, or a lumpy mass more than twice as wide."""
    (side,) = sides(finding)
    radius = (0.06 if finding.severity == "mild" else 0.15) * (1 + 0.08 * rng.uniform(-1, 1))
    x = 0.46 + 0.07 * rng.uniform(-1, 1)
    y = ZONES[finding.zone or "mid"] + 0.03 * rng.uniform(-1, 1)
    far = np.hypot(chest.u - np.float32(side * x), chest.v - np.float32(y)) / np.float32(radius)
    if finding.severity == "severe":
        far = far + np.float32(0.07) * clouds(rng, 20, chest.size)
    ball = edge(1 - far, max(0.25, 3 / (chest.size * radius)))
    # Round: thickest in the middle.
    lift(picture, 0.84, ball * (0.85 - 0.25 * np.minimum(far, 1)))


def _effusion(picture: Field, chest: Chest, finding: Finding, rng: np.random.Generator) -> None:
    """Fluid over the diaphragm, whose surface climbs at the side: a meniscus."""
    level, climb = {"mild": (0.08, 0.15), "moderate": (-0.30, 0.22), "severe": (-0.76, 0.24)}[
        finding.severity or "moderate"
    ]
    rise = np.clip((chest.x - np.float32(0.28)) * np.float32(2), 0, 1.2) ** 2
    inside = edge(np.minimum(chest.inside, chest.dome + np.float32(0.06) - chest.v), 0.03)
    for side in sides(finding):
        top = chest.base[side] + level + 0.03 * rng.uniform(-1, 1) - climb * rise
        fluid = edge(chest.v - top, 0.05) * inside * chest.half(side)
        lift(picture, FLUID, np.float32(0.95) * fluid)


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

        bone.line([at(x - d, 0.0) for d in (0.17, 0.10, 0.03)], 0.05)
        bone.line([at(x + d, 0.06) for d in (0.03, 0.09, 0.16)], 0.05)
        gap.line([at(x + 0.012, -0.02), at(x - 0.008, 0.08)], 0.024)
    lift(picture, 0.72, np.float32(0.7) * bone.mask())
    lift(picture, 0.08, np.float32(0.85) * gap.mask())


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
    """From under the collar bone through the upper vena cava to the heart."""
    (side,) = sides(finding)
    line = Strokes(chest.size)
    start = [(side * 0.80, -0.50), (side * 0.62, -0.66), (side * 0.38, -0.66)]
    path = [*start, (side * 0.14, -0.56), (-0.09, -0.42), (-0.13, -0.25)]
    line.line(curve([*path, (-0.13, -0.05 + 0.05 * rng.uniform(-1, 1))]), 0.026)
    lift(picture, 0.93, line.mask())


def _tube(picture: Field, chest: Chest, finding: Finding, rng: np.random.Generator) -> None:
    """In the windpipe, its tip above the carina; one wall is marked with lead."""
    tip = -0.48 + 0.04 * rng.uniform(-1, 1)
    tube = Strokes(chest.size)
    tube.line([(-0.036, -1.0), (-0.034, tip)], 0.026)
    tube.line([(0.036, -1.0), (0.034, tip + 0.03)], 0.022, 0.85)
    lift(picture, 0.97, tube.mask())


_SHADOWS = {
    "edema": _edema,
    "consolidation": _consolidation,
    "lesion": _lesion,
    "pneumothorax": _pneumothorax,
    "effusion": _effusion,
    "atelectasis": _atelectasis,
    "fracture": _fracture,
    "catheter": _catheter,
    "tube": _tube,
    "pacemaker": _pacemaker,
}
