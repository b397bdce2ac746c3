"""Training steps that others have timed on such machines, beside what a plan says of their shape.

Each was planned as this package would train a model of that shape: float32 parameters, all of them
sharded over `fsdp`, layers made again for the gradient. So the difference holds both how far a plan
is from a machine and how far this package's step is from theirs. Published speeds are MaxText's:
docs/reference/models/tiering.md and the logs beside its configs for A3 machines.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True, kw_only=True)
class Published:
    """One timed step.

    Attributes:
      model: What is trained.
      topology: On what.
      rows: Of each device.
      tokens: Of a row.
      seconds: Of a step, from the published rate.
      bound: Of it by plan, if everything overlaps.
      exposed: Of it by plan, if only what is asynchronous does.
    """

    model: str
    topology: str
    rows: int
    tokens: int
    seconds: float
    bound: float
    exposed: float

    @property
    def chip(self) -> str:
        """Kind of its accelerators."""
        return self.topology.partition(":")[0]

    @property
    def slower(self) -> float:
        """How many times as long as exposed it takes."""
        return self.seconds / self.exposed


PUBLISHED: Sequence[Published] = ()
"""Planned with `tests/pods/published.py`, which says how."""


def like(chip: str) -> list[Published]:
    """Those on such chips; else those on chips of the same maker."""
    same = [one for one in PUBLISHED if one.chip == chip]
    maker = [one for one in PUBLISHED if one.chip.startswith("v") == chip.startswith("v")]
    return same or maker
