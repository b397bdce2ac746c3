"""Programs of bulk work on a machine that is not here: what each needs, and what it must move."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import jax
from flax import nnx
from jax.extend import core
from jax.interpreters import partial_eval
from jax.sharding import NamedSharding, PartitionSpec

from chexjax.config import ConfigError
from chexjax.families import TextFamily
from chexjax.mesh import path_name
from chexjax.perf.planning.aot import build
from chexjax.perf.planning.executed import executed_flops
from chexjax.perf.planning.step import PlannedStep, times
from chexjax.perf.planning.topology import Topology


@dataclasses.dataclass(frozen=True, kw_only=True)
class Program:
    """A compiled program, and how often it runs.

    Attributes:
      name: What it is called.
      step: What one run comes to.
      moved: Bytes that one run reads and writes of each device's memory at the least: parameters
        once a pass, what keys and values there are, what comes out.
      runs: Runs for each request, or for each row of a batch.
      beside: Bytes that lie on each device meanwhile and are none of its arguments.
    """

    name: str
    step: PlannedStep
    moved: float
    runs: float
    beside: int = 0

    @property
    def peak(self) -> int:
        """Most bytes in use on a device."""
        return self.step.compiled.peak + self.beside

    @property
    def fits(self) -> bool:
        """Whether the devices have as many."""
        return self.peak <= self.step.compiled.memory

    def parts(self, place: Topology) -> dict[str, float]:
        """Seconds of what bounds a run, each alone at its peak; `memory` is what must be moved."""
        return {**times(self.step, place).parts, "memory": self.moved / place.chip.memory}

    def seconds(self, place: Topology) -> float:
        """Of a run at the least, however it is compiled."""
        return max(self.parts(place).values())

    def compiled(self, place: Topology) -> float:
        """Of a run as it is compiled, empty room and copies moved too; see `plan.Times`."""
        return times(self.step, place).exposed

    def limit(self, place: Topology) -> str:
        """Name of what takes the least seconds."""
        parts = self.parts(place)
        return max(parts, key=lambda name: parts[name])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Planned:
    """A program that was compiled from shapes.

    Attributes:
      step: What one run comes to; nothing that nobody reads is counted.
      used: Which of the arguments' leaves it reads.
    """

    step: PlannedStep
    used: tuple[bool, ...]


class Fitting(Protocol):
    """What fits a device, or does not."""

    @property
    def peak(self) -> int:
        """Most bytes in use on a device."""
        ...

    @property
    def fits(self) -> bool:
        """Whether the devices have as many."""
        ...


Found = TypeVar("Found", bound=Fitting)


def largest_power(plan: Callable[[int], Found], most: int, name: str, place: Topology) -> Found:
    """The plan for the largest power of two, up to `most`, that fits.

    Raises:
      ConfigError: not even 1 does; `name` is what.
    """
    reason, tried = "", 1 << (most.bit_length() - 1)
    while tried:
        try:
            found = plan(tried)
        except ConfigError as error:
            reason = str(error)
        else:
            if found.fits:
                return found
            needed, there = (size / 2**30 for size in (found.peak, place.memory))
            reason = (
                f"{name} takes {needed:.1f} GiB of each device of {place.name}, which has "
                f"{there:.1f}; use more devices, or more of them along fsdp or tensor"
            )
        tried //= 2
    raise ConfigError(reason)


def planned(traced: Any, place: Topology, name: str, remedy: str) -> Planned:
    """Compiles a traced program; see `aot.build`.

    Raises:
      ConfigError: it does not fit (TPU only).
    """
    closed = traced.jaxpr
    live, used = partial_eval.dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars))
    executed = executed_flops(core.ClosedJaxpr(live, closed.consts))
    compiled = build(traced, place, name, remedy)
    return Planned(step=PlannedStep(compiled=compiled, executed=executed), used=tuple(used))


def parameters_read(
    params: nnx.State, used: Sequence[bool], family: TextFamily, *, logits: bool
) -> int:
    """Bytes of parameters that each device multiplies by in one pass.

    What is split over `fsdp` is gathered first and read whole; what is split over `tensor` is not.
    Of an embedding a few rows are looked up, unless `logits` are made with it.

    Args:
      params: Shapes with their places.
      used: Which of its arguments' leaves the program reads, those of parameters first.
      family: Whose they are.
      logits: Whether the program makes any.
    """
    whole = logits and family.decoder.head == "tied" and not _has_head(params)
    leaves = zip(jax.tree_util.tree_leaves_with_path(params), used, strict=False)
    return sum(
        math.prod(_gathered(leaf).shard_shape(leaf.shape)) * leaf.dtype.itemsize
        for (path, leaf), reads in leaves
        if reads and (whole or not re.search(r"decoder/embed/", path_name(path)))
    )


def resident(tree: Any) -> int:
    """Bytes of shapes with their places on each device."""
    leaves = jax.tree.leaves(tree)
    return sum(
        math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize for leaf in leaves
    )


def _has_head(params: nnx.State) -> bool:
    names = (path_name(path) for path, _ in jax.tree_util.tree_leaves_with_path(params))
    return any(name.startswith("decoder/head/") for name in names)


def _gathered(leaf: Any) -> NamedSharding:
    axes = (axis if axis == "tensor" else None for axis in leaf.sharding.spec)
    return NamedSharding(leaf.sharding.mesh, PartitionSpec(*axes))
