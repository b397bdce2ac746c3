"""How a model that serves is laid out: matrices in the compute dtype, tokens as columns."""

from __future__ import annotations

import functools
from typing import Any

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


def narrow(model: nnx.Module) -> None:
    """Keeps the kernels and embeddings of a module in their compute dtype; int8 ones stay."""
    for _, module in nnx.iter_modules(model):
        if isinstance(module, Linear) and module.step is None:
            module.kernel = nnx.Param(_narrowed(module.kernel[...], module.dtype))
        elif isinstance(module, nnx.Embed):
            module.embedding = nnx.Param(_narrowed(module.embedding[...], module.dtype))


def _narrowed(x: jax.Array, dtype: Any) -> jax.Array:
    if isinstance(x, jax.core.Tracer) or x.dtype == dtype:
        return x.astype(dtype)
    narrowed: jax.Array = _cast(x.sharding, dtype)(x)
    return narrowed


@functools.cache
def _cast(place: Any, dtype: Any) -> Any:
    """To a dtype, split as it was."""
    return jax.jit(lambda x: x.astype(dtype), out_shardings=place)
