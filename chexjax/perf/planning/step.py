"""A training step as it would run on a machine that is not here: memory, work, talk, time.

The step is the one that `train` takes, compiled for the machine's own compiler from shapes alone.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from chexjax.families import Family, TextFamily
from chexjax.mesh import batch_sharding
from chexjax.models import model_class
from chexjax.ops.attention import Backend
from chexjax.perf.chips import wire_along
from chexjax.perf.planning.aot import Compiled, build
from chexjax.perf.planning.collectives import Collective
from chexjax.perf.planning.executed import executed_flops
from chexjax.perf.planning.topology import Topology
from chexjax.train import Objective, TrainConfig
from chexjax.train.optimizer import make_optimizer
from chexjax.train.step import init_state, make_step, split_params, state_shardings

_REMEDY = "Use more devices along fsdp or tensor, fewer rows, or config.align.remat=block"


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepShape:
    """What a step is given.

    Attributes:
      rows: Of the global batch.
      images: Of each row; of no account to a family without them.
      prefix: Tokens of each prompt, visual ones included.
      responses: Of each row, with those that are only scored.
      response: Tokens of each.
    """

    rows: int
    images: int
    prefix: int
    responses: int
    response: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlannedStep:
    """What a step comes to.

    Attributes:
      compiled: The compiler's word on memory.
      executed: Operations over all devices, rematerialised ones counted again.
    """

    compiled: Compiled
    executed: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Times:
    """Seconds of a step by counting.

    Attributes:
      parts: What bounds a step, and how long that takes alone at its peak: `compute`, `memory`, and
        each wire by name.
      exposed: If nothing overlaps but what the program shows to: a matmul with its own reads and
        writes, and a collective that is asynchronous.
    """

    parts: Mapping[str, float]
    exposed: float

    @property
    def bound(self) -> float:
        """If everything overlaps: the slowest part."""
        return max(self.parts.values())

    @property
    def limit(self) -> str:
        """Name of the slowest part."""
        return max(self.parts, key=lambda name: self.parts[name])


def plan_step(
    family: TextFamily,
    objective: Objective,
    config: TrainConfig,
    shape: StepShape,
    topology: Topology,
    *,
    dtype: Any = jnp.bfloat16,
    attention: Backend = "xla",
) -> PlannedStep:
    """Compiles a training step of float32 parameters and counts what it does.

    Args:
      family: Of the policy.
      objective: What is optimised; of its needs those of the batch are given, all tokens real.
      config: How it is trained.
      shape: What a step is given.
      topology: What to compile for.
      dtype: Of computation.
      attention: What computes it.

    Raises:
      TooLarge: it needs more memory than there is (TPU only; on GPUs `fits` is False).
    """
    mesh = topology.mesh
    options = {"dtype": dtype, "attention": attention, "remat": config.remat}
    model = nnx.merge(*model_class(family).abstract(family, **options))
    graph, trainable, frozen = split_params(model, config.freeze)
    optimizer = make_optimizer(config.optimizer)
    beside = objective.reference is not None
    first = functools.partial(init_state, optimizer=optimizer, reference=beside)
    state = jax.eval_shape(first, trainable, frozen)
    places = state_shardings(state, family.sharding, mesh)
    state = jax.tree.map(_placed, state, places)
    rows = batch_sharding(mesh)
    batch = jax.tree.map(lambda x: _placed(x, rows), batch_shapes(family, objective, shape))
    step: Any = make_step(graph, objective, optimizer, accumulate=config.accumulate, places=places)
    rate = jax.ShapeDtypeStruct((), jnp.float32)
    with jax.set_mesh(mesh):
        traced = step.trace(state, batch, rate)
    compiled = build(traced, topology, f"a step of {family.name}", _REMEDY)
    return PlannedStep(compiled=compiled, executed=executed_flops(traced.jaxpr))


def batch_shapes(family: TextFamily, objective: Objective, shape: StepShape) -> dict[str, Any]:
    """A batch as `data.examples.Collator` makes it, nothing of it cached and no row short."""
    of, grid = jax.ShapeDtypeStruct, (shape.rows, shape.responses, shape.response)
    tokens = (shape.rows, shape.prefix)
    prefix = {"tokens": of(tokens, jnp.int32), "valid": of(tokens, jnp.bool)}
    if isinstance(family, Family):
        size, channels = family.vision.size, family.vision.channels
        prefix["placeholder"] = of(tokens, jnp.bool)
        prefix["images"] = of((shape.rows, shape.images, size, size, channels), jnp.uint8)
    batch: dict[str, Any] = {
        "prefix": prefix,
        "real": of((shape.rows,), jnp.bool),
        "inputs": of(grid, jnp.int32),
        "targets": of(grid, jnp.int32),
        "mask": of(grid, jnp.bool),
    }
    if hasattr(objective, "loss"):
        batch["rewards"] = of(grid[:2], jnp.float32)
        if "reference" in objective.loss.needs and objective.reference is None:
            batch["ref_logps"] = of(grid, jnp.float32)
    return batch


def times(step: PlannedStep, topology: Topology) -> Times:
    """How long a step takes at least, and how long if only what is asynchronous is hidden.

    Collectives along an axis are taken to run one after another over one wire.
    """
    chip, traffic = topology.chip, step.compiled.traffic
    parts = {
        "compute": step.executed / topology.mesh.size / chip.flops,
        "memory": traffic.total / chip.memory,
    }
    wires: dict[str, float] = {}
    open_ = 0.0
    for one in step.compiled.collectives:
        name, rate = wire(one, topology)
        seconds = one.moved / rate
        wires[name] = wires.get(name, 0.0) + seconds
        open_ += 0.0 if one.asynchronous else seconds
    alone = max(parts["compute"], traffic.matmuls / chip.memory) + traffic.rest / chip.memory
    return Times(parts=parts | wires, exposed=max(alone + open_, *wires.values(), 0.0))


def wire(one: Collective, topology: Topology) -> tuple[str, float]:
    """What a collective goes over, and the bytes of it that a device sends a second.

    Where a group has several devices at each end of the network, each of them carries its share of
    what the ends tell each other; a `send` is that share already.
    """
    name, ports = wire_along(one.axes, topology.mesh)
    return name, topology.chip.wires[name] * (1 if one.kind == "send" else ports)


def _placed(x: Any, place: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place)
