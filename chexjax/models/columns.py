"""Tokens as columns: how a decoder that serves lays its stream out."""

from __future__ import annotations

import jax
from flax import nnx

from chexjax.ops.linear import Linear, Turned


def as_columns(x: jax.Array) -> jax.Array:
    """All tokens of a batch side by side, `[*batch, D] -> [D, M]`."""
    return x.reshape(-1, x.shape[-1]).T


def as_rows(x: jax.Array, batch: tuple[int, ...]) -> jax.Array:
    """The way back, `[D, M] -> [*batch, D]`."""
    return x.T.reshape(*batch, x.shape[0])


def turn(model: nnx.Module) -> None:
    """Lets the linear layers and norms of a module take columns in place of rows."""
    for _, module in list(nnx.iter_modules(model)):
        if isinstance(module, nnx.RMSNorm | nnx.LayerNorm):
            module.reduction_axes = module.feature_axes = 0
        for name, part in list(vars(module).items()):
            if isinstance(part, Linear):
                setattr(module, name, Turned.of(part))
