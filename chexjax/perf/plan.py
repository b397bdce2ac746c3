"""A training step as it would run on a machine that is not here: memory, work, talk, time.

The step is the one that `train` takes, compiled for the machine's own compiler from shapes alone.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from chexjax.config import ConfigError
from chexjax.families import Family
from chexjax.mesh import batch_sharding
from chexjax.models import VLM
from chexjax.ops.attention import Backend
from chexjax.perf.aot import GPU_OPTIONS, Compiled, measured, uncached
from chexjax.perf.chips import Chip, wire_along
from chexjax.perf.collectives import Collective
from chexjax.perf.executed import executed_flops
from chexjax.perf.topology import Topology
from chexjax.train import Objective, TrainConfig
from chexjax.train.optimizer import make_optimizer
from chexjax.train.step import init_state, make_step, split_params, state_shardings


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepShape:
    """What a step is given.

    Attributes:
      rows: Of the global batch.
      images: Of each row.
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
      compute: All operations at the chip's peak.
      wires: Name of each wire -> all bytes over it at its peak.
      exposed: Compute, and what of the wires nothing is known to hide.
    """

    compute: float
    wires: Mapping[str, float]
    exposed: float

    @property
    def bound(self) -> float:
        """If everything overlaps: the slowest part."""
        return max(self.compute, *self.wires.values()) if self.wires else self.compute

    @property
    def limit(self) -> str:
        """Name of the slowest part."""
        parts = {"compute": self.compute, **self.wires}
        return max(parts, key=lambda name: parts[name])


def plan_step(
    family: Family,
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
      ConfigError: it needs more memory than there is (TPU only; on GPUs `fits` is False).
    """
    mesh = topology.mesh
    model = nnx.merge(*VLM.abstract(family, dtype=dtype, attention=attention, remat=config.remat))
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
    on_gpu = mesh.devices.flat[0].platform == "gpu"
    started = time.perf_counter()
    with uncached(), jax.set_mesh(mesh):
        traced = step.trace(state, batch, rate)
        try:
            program = traced.lower().compile(compiler_options=GPU_OPTIONS if on_gpu else None)
        except jax.errors.JaxRuntimeError as error:
            raise _too_large(error, family, topology) from error
    return PlannedStep(
        compiled=measured(program, topology, time.perf_counter() - started),
        executed=executed_flops(traced.jaxpr),
    )


def batch_shapes(family: Family, objective: Objective, shape: StepShape) -> dict[str, Any]:
    """A batch as `data.examples.Collator` makes it, nothing of it cached and no row short."""
    size, grid = family.vision.size, (shape.rows, shape.responses, shape.response)
    of = jax.ShapeDtypeStruct
    tokens = (shape.rows, shape.prefix)
    batch: dict[str, Any] = {
        "prefix": {
            "tokens": of(tokens, jnp.int32),
            "placeholder": of(tokens, jnp.bool),
            "valid": of(tokens, jnp.bool),
            "images": of((shape.rows, shape.images, size, size, family.vision.channels), jnp.uint8),
        },
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


def times(step: PlannedStep, topology: Topology, chip: Chip) -> Times:
    """How long a step takes at least, and how long if only what is asynchronous is hidden.

    Collectives along an axis are taken to run one after another over one wire.
    """
    compute = step.executed / topology.mesh.size / chip.flops
    wires: dict[str, float] = {}
    open_ = 0.0
    for one in step.compiled.collectives:
        name = wire(one, topology)
        seconds = one.moved / chip.wires[name]
        wires[name] = wires.get(name, 0.0) + seconds
        open_ += 0.0 if one.asynchronous else seconds
    return Times(compute=compute, wires=wires, exposed=max(compute + open_, *wires.values(), 0.0))


def wire(one: Collective, topology: Topology) -> str:
    """What a collective goes over: the slowest wire between any two devices of a group."""
    return wire_along(one.axes, topology.mesh)


def _placed(x: Any, place: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place)


def _too_large(error: Exception, family: Family, topology: Topology) -> Exception:
    if "RESOURCE_EXHAUSTED" not in str(error):
        return error
    return ConfigError(
        f"a step of {family.name} does not fit {topology.name}: {str(error).splitlines()[0]} Use "
        "more devices along fsdp or tensor, fewer rows, or config.align.remat=block"
    )
