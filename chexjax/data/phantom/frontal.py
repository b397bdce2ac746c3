"""The frontal phantom, in the order in which the beam's path is built up."""

from __future__ import annotations

import dataclasses
import math
from typing import TypeVar

import numpy as np

from chexjax.data.phantom import pathology
from chexjax.data.phantom.canvas import VESSEL_TREES, Field, axes, band, bump, edge, lift, vessels
from chexjax.data.phantom.scene import Scene

HEART_GROWTH = {None: 1.0, "mild": 1.24, "moderate": 1.45, "severe": 1.68}
"""How much wider than usual the heart is; the usual is 0.45 of the chest."""

SOFT_TISSUE, BELLY = 0.52, 0.70


@dataclasses.dataclass(frozen=True)
class Chest:
    """Where things are in one frontal view; distances are positive inside.

    Attributes:
      u: Right, `[1, S]`.
      v: Down, `[S, 1]`.
      x: Distance from the midline, `[1, S]`.
      wall: Half-width of the rib cage, `[S, 1]`.
      dome: Height of the diaphragm, `[1, S]`.
      inside: Distance from the rib cage and the midline, `[S, S]`.
      lung: 1 in both lungs, in front of heart and mediastinum too, `[S, S]`.
      clear: 1 where the lung is not hidden by heart and mediastinum, `[S, S]`.
      base: Height of the diaphragm's domes, `{-1: patient's right, 1: left}`.
      ribs: Height of the first posterior rib.
    """

    u: Field
    v: Field
    x: Field
    wall: Field
    dome: Field
    inside: Field
    lung: Field
    clear: Field
    base: dict[int, float]
    ribs: float

    @property
    def size(self) -> int:
        """Pixels a side."""
        return int(self.u.shape[1])

    def half(self, side: int) -> Field:
        """1 on one side of the midline, `[1, S]`; -1 is the patient's right."""
        return edge(self.u * side, 4 / self.size)

    def posterior(self, rib: int, x: float) -> float:
        """Height of a posterior rib at distance x from the midline."""
        return self.ribs + RIB_SPACING * rib + _course(x)


RIB_SPACING = 0.142
X = TypeVar("X", float, Field)


def frontal(scene: Scene, size: int, rng: np.random.Generator) -> Field:
    """Draws a posterior-anterior view, `f32[size, size]`."""
    u, v = axes(size)
    silhouette = _silhouette(scene, u, v)
    chest = _chest(scene, u, v, silhouette)
    picture = _soft_tissue(scene, chest)
    picture -= np.float32(0.33) * chest.clear
    _mediastinum(picture, chest, silhouette)
    _belly(picture, chest, rng)
    _bones(picture, scene, chest)
    tree = vessels(int(rng.integers(VESSEL_TREES)), size)
    pathology.add(picture, scene, chest, tree, rng)
    return picture


def _silhouette(scene: Scene, u: Field, v: Field) -> Field:
    """Distance from the border of heart and great vessels, `[S, S]`."""
    body, heart, wide = scene.body, scene.find("cardiomegaly"), scene.find("mediastinum")
    grown = HEART_GROWTH[heart.severity if heart else None] * (1 + 0.05 * body.heart)
    widened = (0.17 if wide else 0.0) * bump(v, -0.48, 0.30)
    upper_right = 0.115 + widened
    # The aortic knob and, under it, the pulmonary trunk.
    upper_left = 0.105 + widened + 0.085 * bump(v, -0.40, 0.10) + 0.06 * bump(v, -0.18, 0.12)
    right = _oval(v, 0.20, 0.42) * (0.225 * (1 + 0.8 * (grown - 1)))
    apex = np.clip((v + np.float32(0.42)) * np.float32(1.5), 0, 1)
    left = _oval(v, 0.17, 0.52, 2.6) * (0.47 * grown)
    left = left * (0.35 + 0.65 * apex * apex * (3 - 2 * apex))
    right, left = _either(upper_right, right), _either(upper_left, left)
    moved = u - np.float32(0.04 * body.turn + _push(scene))
    return np.minimum(right + moved, left - moved)


def _push(scene: Scene) -> float:
    """How far a large pneumothorax pushes the heart to the other side."""
    air = scene.find("pneumothorax")
    if air is None or air.severity != "severe":
        return 0.0
    return -0.1 if air.side == "left" else 0.1


def _oval(v: Field, centre: float, half: float, power: float = 2.0) -> Field:
    """Half-width of an ellipse of half-width 1 (squarer for a higher power) at each height."""
    off = np.abs((v - np.float32(centre)) * np.float32(1 / half))
    return np.clip(1 - off**power, 0, 1) ** np.float32(1 / power)


def _either(a: Field, b: Field) -> Field:
    """A smooth maximum of two non-negative fields."""
    return ((a**4 + b**4) ** 0.25).astype(np.float32)


def _chest(scene: Scene, u: Field, v: Field, silhouette: Field) -> Chest:
    body = scene.body
    x = np.abs(u)
    wall = np.float32(0.81 + 0.035 * body.width) * _oval(v, 0.22, 1.04, 2.3)
    level = 0.46 + 0.06 * body.depth
    base = {-1: level - 0.03, 1: level + 0.02}
    loss = scene.find("atelectasis")
    for side in pathology.sides(loss):
        base[side] -= 0.11
    dome = np.where(u < 0, np.float32(base[-1]), np.float32(base[1])) + _dome(x)
    inside = np.minimum(wall - x, x - np.float32(0.05))
    soft = 0.02 + 2 / u.shape[1]
    lung = edge(np.minimum(inside, dome - v), soft)
    clear = lung * (1 - edge(silhouette, soft * 1.3))
    ribs = -0.74 + 0.05 * body.ribs
    return Chest(u, v, x, wall, dome, inside, lung, clear, base, ribs)


def _dome(x: Field) -> Field:
    """Shape of the diaphragm: flat to the heart, steep into the costophrenic angle."""
    beyond = x - np.float32(0.36)
    return np.where(beyond > 0, np.float32(1.55), np.float32(0.35)) * beyond**2


def _soft_tissue(scene: Scene, chest: Chest) -> Field:
    v = chest.v
    shoulder = np.clip((v + np.float32(1.04)) * np.float32(2.5), 0, 1)
    shoulder = shoulder * shoulder * (3 - 2 * shoulder)
    half = 0.24 + 0.74 * shoulder - 0.05 * edge(v + np.float32(0.1), 0.8)
    depth = half + np.float32(0.03 * scene.body.fat) - chest.x
    tissue = np.float32(SOFT_TISSUE + 0.03 * scene.body.fat)
    # The beam passes less tissue near the skin, and more where the breasts are.
    picture = tissue * edge(depth, 0.05) * (0.6 + 0.4 * edge(depth - np.float32(0.08), 0.24))
    breasts = bump(chest.x, 0.45, 0.26) * bump(v, 0.36, 0.20)
    picture += np.float32(0.05) * breasts
    return picture


def _mediastinum(picture: Field, chest: Chest, silhouette: Field) -> None:
    u, v, x = chest.u, chest.v, chest.x
    heart = edge(silhouette, 0.07 + 2 / chest.size)
    picture += heart * (np.float32(0.10) * edge(v + np.float32(0.9), 0.3))
    # Vertebrae shine through, one by one; discs between them.
    bodies = 0.08 + 0.03 * np.cos(v * np.float32(2 * math.pi / 0.135))
    picture += edge(np.float32(0.08) - x, 0.06) * bodies
    # Air in the windpipe down to the carina, and in the main bronchi.
    windpipe = edge(np.float32(0.036) - x, 0.03) * edge(np.float32(-0.33) - v, 0.06)
    reach = edge(x, 0.03) * edge(np.float32(0.17) - x, 0.06)
    windpipe += band(v + np.float32(0.34) - 0.75 * x, 0.055, chest.size) * (0.7 * reach)
    picture -= np.float32(0.15) * windpipe
    for side, height in ((-1, -0.06), (1, -0.11)):
        picture += (np.float32(0.14) * bump(u, side * 0.21, 0.08)) * bump(v, height, 0.12)


def _belly(picture: Field, chest: Chest, rng: np.random.Generator) -> None:
    """The abdomen under the diaphragm, with gas in the stomach and at times the colon."""
    below = edge(chest.v - chest.dome, 0.04) * edge(chest.wall + np.float32(0.1) - chest.x, 0.12)
    lift(picture, BELLY, np.float32(0.8) * below)
    x, y = 0.36 + 0.08 * rng.random(), chest.base[1] + 0.13 + 0.04 * rng.random()
    wide, high = 0.13 + 0.05 * rng.random(), 0.06 + 0.03 * rng.random()
    gas = 1 - ((chest.u - np.float32(x)) / wide) ** 2 - ((chest.v - np.float32(y)) / high) ** 2
    picture -= np.float32(0.30) * edge(gas, 0.6)


def _course(x: X) -> X:
    """Course of a posterior rib: from the spine up a little, then down to the side."""
    return 0.62 * (x - 0.2) ** 2


def _bones(picture: Field, scene: Scene, chest: Chest) -> None:
    x, v, size = chest.x, chest.v, chest.size
    ribs = _ribs(v - _course(x) - np.float32(chest.ribs), RIB_SPACING, 0.055, size)
    ribs *= edge(x - np.float32(0.09), 0.08) * np.float32(0.12)
    slope = np.float32(chest.ribs + 0.02) + 0.48 * (np.float32(0.8) - x)
    front = _ribs(v - slope, 0.165, 0.06, size)
    front *= edge(x - np.float32(0.30), 0.1) * np.float32(0.06)
    ribs += front * edge(v + np.float32(0.5), 0.2)
    # Where heart and belly are bright the film shows little of them.
    ribs *= edge(chest.wall + np.float32(0.05) - x, 0.05)
    ribs *= (1 - 0.75 * edge(v - chest.dome, 0.10)) * (0.5 + 0.5 * chest.clear)
    picture += ribs
    _shoulder(picture, scene, chest)


def _shoulder(picture: Field, scene: Scene, chest: Chest) -> None:
    """Collar bones, S-shaped and skewed by a turned body, and the shoulder blades' inner edges."""
    x, v = chest.x, chest.v
    collar = 0.17 * (x - np.float32(0.1)) + 0.035 * np.sin((x - np.float32(0.1)) * np.float32(8))
    collar += np.float32(0.55) + np.float32(0.03 * scene.body.turn) * np.sign(chest.u)
    ends = edge(x - np.float32(0.07), 0.05) * edge(np.float32(0.80) - x, 0.06)
    picture += band(v + collar, 0.07, chest.size) * (np.float32(0.17) * ends)
    blade = x - np.float32(0.72) - 0.25 * (v + np.float32(0.15))
    blade = edge(blade, 0.05) * edge(np.float32(0.26) - np.abs(v + np.float32(0.34)), 0.2)
    picture += blade * (np.float32(0.08) * edge(np.float32(0.97) - x, 0.1))


def _ribs(height: Field, spacing: float, width: float, size: int) -> Field:
    """Bands at every multiple of `spacing` of `height`, brighter at their borders."""
    off = height * np.float32(1 / spacing)
    off -= np.rint(off)
    np.abs(off, out=off)
    off *= np.float32(spacing)
    solid = edge(np.float32(width / 2) - off, max(0.02, 3 / size))
    return solid * (0.6 + off * np.float32(0.8 / width))
