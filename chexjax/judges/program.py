"""A judge's network compiled: batches of fixed shapes in, what it makes of them out."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from flax import nnx

from chexjax.mesh import current_mesh, replicated, spread

Program = Callable[..., Any]
"""Arrays with rows first, `[B, ...]` each, to host arrays that have the same rows."""


def program(model: nnx.Module, read: Callable[..., Any]) -> Program:
    """What a network makes of a batch, whose rows the devices share.

    Accelerators would multiply in fewer bits than float32, which moves the third decimal of a
    score and tips what is nearly a tie.

    Args:
      model: With its parameters.
      read: The network, and a batch's arrays, to a pytree of arrays.
    """
    mesh = current_mesh()
    graph, state = nnx.split(model)

    @functools.partial(jax.jit, out_shardings=replicated(mesh))
    def run(state: nnx.State, *batch: jax.Array) -> Any:
        return read(nnx.merge(graph, state), *map(spread, batch))

    def exact(*batch: np.ndarray) -> Any:
        with jax.set_mesh(mesh), jax.default_matmul_precision("float32"):
            return jax.device_get(run(state, *batch))

    return exact
