"""The one linear layer of all models."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx


class Linear(nnx.Module):
    """`x @ kernel + bias`; float32 parameters, computed in `dtype`."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool = True, dtype: Any) -> None:
        """Makes a kernel `[inputs, outputs]` and a bias `[outputs]`, of zeros.

        Values come from `models.random_params` or from a checkpoint.
        """
        self.dtype = dtype
        self.kernel = nnx.Param(jnp.zeros((inputs, outputs)))
        self.bias = nnx.Param(jnp.zeros(outputs)) if bias else None

    def __call__(self, x: jax.Array) -> jax.Array:
        """`[..., inputs] -> [..., outputs]`."""
        y = x.astype(self.dtype) @ self.kernel.astype(self.dtype)
        return y if self.bias is None else y + self.bias.astype(self.dtype)
