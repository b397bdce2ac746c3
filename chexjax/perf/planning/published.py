"""Training steps that others have timed on such machines, beside what a plan says of their shape.

Each was planned as this package would train a model of that shape: float32 parameters, all of them
sharded over `fsdp`, layers made again for the gradient, cuDNN's or the splash kernels. So the
difference holds both how far a plan is from a machine and how far this step is from theirs; rows of
a device are assumed, since not all are told. Published rates are MaxText's: for TPUs tokens a
second and chip, from `docs/reference/models/tiering.md`; for H100s 492 and 408 TFLOP/s a card, from
the logs beside its A3 configs, in which attention counts as if all scores were computed.
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


PUBLISHED: Sequence[Published] = (
    Published(
        model="Llama 2 7B",
        topology="h100:8",
        rows=4,
        tokens=4096,
        seconds=1.53,
        bound=0.976,
        exposed=1.113,
    ),
    Published(
        model="Llama 2 7B",
        topology="h100:8x8",
        rows=4,
        tokens=4096,
        seconds=1.85,
        bound=0.976,
        exposed=1.098,
    ),
    Published(
        model="Llama 3.1 8B",
        topology="v6e:16x16",
        rows=2,
        tokens=8192,
        seconds=2.27,
        bound=1.417,
        exposed=2.264,
    ),
    Published(
        model="Llama 2 70B",
        topology="v5p:8x8x4",
        rows=4,
        tokens=4096,
        seconds=23.7,
        bound=20.33,
        exposed=26.18,
    ),
)
"""TPUs at the effort `quick` of `perf.planning.aot.effort`, which lets no gathering be hidden."""


def like(chip: str) -> list[Published]:
    """Those on such chips; else those on chips of the same maker."""
    same = [one for one in PUBLISHED if one.chip == chip]
    maker = [one for one in PUBLISHED if one.chip.startswith("v") == chip.startswith("v")]
    return same or maker
