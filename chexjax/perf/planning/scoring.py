"""The pass of `reference` over pairs, as it would run on a machine that is not here."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from chexjax.families import PolicyFamily
from chexjax.mesh import batch_sharding, batch_ways, parameter_shardings
from chexjax.models import model_class
from chexjax.ops.attention import Backend
from chexjax.perf.planning.bulk import Program, largest_power, parameters_read, planned
from chexjax.perf.planning.step import StepShape, batch_shapes
from chexjax.perf.planning.topology import Topology
from chexjax.train import SFT
from chexjax.train.reference import scoring

_REMEDY = "Use fewer rows at once, or more of the mesh along fsdp or tensor"

_MOST = 32
"""Rows of a device that are tried: by then it multiplies as fast as it can."""


def plan_scoring(
    family: PolicyFamily,
    shape: StepShape,
    place: Topology,
    *,
    dtype: Any = jnp.bfloat16,
    attention: Backend = "xla",
) -> Program:
    """Compiles the pass over rows whose responses are all full, with float32 parameters.

    Args:
      family: Of the policy.
      shape: What one run of it is given.
      place: What to compile for.
      dtype: Of computation.
      attention: What computes it.

    Raises:
      ConfigError: it does not fit (TPU only; on GPUs `fits` is False).
    """
    graph, shapes = model_class(family).abstract(family, dtype=dtype, attention=attention)
    places = parameter_shardings(shapes, family.sharding, place.mesh)
    params = jax.tree.map(lambda x, where: x.update(sharding=where), shapes, places)
    rows = batch_sharding(place.mesh)
    batch = batch_shapes(family, SFT(), shape)
    batch = jax.tree.map(lambda x: x.update(sharding=rows), batch)
    with jax.set_mesh(place.mesh):
        traced = scoring(graph).trace(params, batch)
    found = planned(traced, place, f"reference of {family.name}", _REMEDY)
    written = 4 * shape.rows * shape.responses * shape.response / batch_ways(place.mesh)
    return Program(
        name="score",
        step=found.step,
        moved=parameters_read(params, found.used, family, logits=True) + written,
        runs=1 / shape.rows,
    )


def most_rows(family: PolicyFamily, shape: StepShape, place: Topology, **options: Any) -> Program:
    """The same with the most rows that fit, by powers of two of each device's.

    Args:
      family: Of the policy.
      shape: What one run is given, but for the rows.
      place: What to compile for.
      options: Of `plan_scoring`.

    Raises:
      ConfigError: one row of each device does not fit.
    """
    ways = batch_ways(place.mesh)

    def plan(each: int) -> Program:
        rows = dataclasses.replace(shape, rows=each * ways)
        return plan_scoring(family, rows, place, **options)

    return largest_power(plan, _MOST, f"reference of {family.name}", place)
