"""Who lies under the phantom's X-ray tube: the body, the exposure and the findings."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from chexjax.data.phantom.findings import KINDS, Finding

NORMAL_SHARE = 0.35
"""Share of scenes without any finding."""
COUNT_ODDS = (0.3, 0.4, 0.3)
"""Odds of one, two and three findings in the others."""

SCENE, DRAWING, REPORT, FILM, MISTAKE = range(5)
"""The independent random streams of one study."""


def stream(seed: int, index: int, purpose: int) -> np.random.Generator:
    """Random numbers that depend on nothing but the three arguments."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, index, purpose))))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Body:
    """What varies between healthy people and good films, each in [-1, 1], 0 the average.

    Attributes:
      width: Of the chest.
      depth: Of the breath that is held: lowers the diaphragm.
      heart: Size of the heart, within normal.
      fat: Thickness of soft tissue, which brightens the film.
      turn: Rotation about the long axis, which moves heart against spine.
      tilt: Rotation of the film.
      zoom: Magnification.
      shift: Position on the film, right and down.
      exposure: Darkness of the film.
      ribs: Where the ribs lie.
    """

    width: float = 0.0
    depth: float = 0.0
    heart: float = 0.0
    fat: float = 0.0
    turn: float = 0.0
    tilt: float = 0.0
    zoom: float = 0.0
    shift: tuple[float, float] = (0.0, 0.0)
    exposure: float = 0.0
    ribs: float = 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scene:
    """Everything that decides a picture but its resolution.

    Attributes:
      findings: What is to be seen.
      body: Who it is to be seen in.
      key: Seed and index, for the details that the drawing makes up.
    """

    findings: tuple[Finding, ...]
    body: Body = Body()
    key: tuple[int, int] = (0, 0)

    def find(self, kind: str) -> Finding | None:
        """The finding of this kind, if the scene has one."""
        return next((f for f in self.findings if f.kind == kind), None)


def sample_scene(seed: int, index: int, kinds: Sequence[str] = tuple(KINDS)) -> Scene:
    """The scene of a study with findings out of `kinds`; the same for the same arguments."""
    rng = stream(seed, index, SCENE)
    names = [f.name for f in dataclasses.fields(Body) if f.name != "shift"]
    # Triangular: most bodies are near the average.
    values = dict(zip(names, rng.triangular(-1, 0, 1, len(names)).tolist(), strict=True))
    x, y = rng.triangular(-1, 0, 1, 2).tolist()
    body = Body(shift=(x, y), **values)
    return Scene(findings=_sample_findings(rng, kinds), body=body, key=(seed, index))


def _sample_findings(rng: np.random.Generator, kinds: Sequence[str]) -> tuple[Finding, ...]:
    if rng.random() < NORMAL_SHARE:
        return ()
    count = 1 + int(np.searchsorted(np.cumsum(COUNT_ODDS), rng.random()))
    # The smallest of exponential times at these rates: drawing by weight, no kind twice.
    keys = rng.exponential(size=len(kinds)) / np.array([KINDS[kind].weight for kind in kinds])
    found = [_sample_finding(kinds[k], rng) for k in np.argsort(keys)[:count]]
    fluid = next((f for f in found if f.kind == "effusion"), None)
    return tuple(f for f in found if fluid is None or not _drowned(f, fluid))


_COVERED = {"mild": (), "moderate": ("lower",), "severe": ("mid", "lower")}


def _drowned(finding: Finding, fluid: Finding) -> bool:
    """Whether an effusion hides another finding, which nobody could then report."""
    if fluid.severity == "severe" and finding.kind in ("cardiomegaly", "edema"):
        return True
    covered = finding.zone in _COVERED[fluid.severity or "mild"]
    return covered and fluid.side in ("bilateral", finding.side)


def _sample_finding(kind: str, rng: np.random.Generator) -> Finding:
    table = KINDS[kind]

    def pick(options: tuple[str, ...]) -> str | None:
        return options[int(rng.integers(len(options)))] if options else None

    return Finding(
        kind=kind,
        side=pick(table.sides),
        severity=pick(table.severities),
        zone=pick(table.zones),
    )
