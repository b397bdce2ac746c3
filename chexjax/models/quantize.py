"""Weight-only int8: half the bytes of bfloat16, for a model that only serves.

A kernel becomes whole numbers from -127 to 127 and one float32 step for each output, the largest
weight of that output / 127 (LLM.int8(), arXiv:2208.07339, calls this vector-wise). What is
computed stays in the compute dtype; embeddings, norms and biases stay as they are.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from chexjax.ops.linear import Linear, linears


def quantize_int8(model: nnx.Module, *, keep: Sequence[str] = ()) -> None:
    """Turns the linear layers of a model to int8 in place, one stack of them at a time.

    Args:
      model: Any model whose kernels are floating-point; one that serves, for whole numbers have no
        gradient.
      keep: Regexes over module paths like `decoder/body/attention/query` that stay as they are.

    Raises:
      ValueError: a layer is int8 already, or a regex matches none.
    """
    layers = linears(model)
    for pattern in keep:
        if not any(re.search(pattern, name) for name in layers):
            raise ValueError(f"keep: {pattern!r} matches no linear layer, such as {min(layers)}")
    for name, linear in layers.items():
        if linear.step is not None:
            raise ValueError(f"{name} is int8 already")
        if not any(re.search(pattern, name) for pattern in keep):
            _quantize(linear)


def _quantize(linear: Linear) -> None:
    kernel = jnp.asarray(linear.kernel[...])
    whole, step = _rounding(kernel.sharding)(kernel)
    linear.kernel = nnx.Param(whole.block_until_ready())
    linear.step = nnx.Param(step)


@functools.cache
def _rounding(place: Any) -> Any:
    """`[..., inputs, outputs]` to int8 where it lies, and steps `f32[..., outputs]`."""

    def rounded(kernel: jax.Array) -> tuple[jax.Array, jax.Array]:
        largest = jnp.abs(kernel).max(-2).astype(jnp.float32)
        step = jnp.where(largest > 0, largest / 127, 1.0)
        whole = jnp.round(kernel.astype(jnp.float32) / step[..., None, :])
        return whole.astype(jnp.int8), step

    return jax.jit(rounded, out_shardings=(place, None))
