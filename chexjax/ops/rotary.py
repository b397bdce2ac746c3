"""Rotary position embedding of part of a head (Su et al., arXiv 2104.09864)."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def rotate(
    x: jax.Array, positions: jax.Array, *, dims: int, theta: float, rebuilt_at: int | None = None
) -> jax.Array:
    """Rotates the first `dims` dimensions of each head, half-split.

    Angles are computed in float32 whatever the dtype of `x`: a bfloat16 table loses whole
    positions beyond 2,048.

    Args:
      x: `[*batch, T, H, head]`.
      positions: `i32[*batch, T]`.
      dims: Leading dimensions to rotate; 0 returns `x`.
      theta: Base of the frequencies.
      rebuilt_at: Reproduces code that, for a stream with a position from here on, makes its table
        anew from bfloat16 positions and frequencies; None for exact angles.
    """
    if dims == 0:
        return x
    half = dims // 2
    frequencies = theta ** (-jnp.arange(half, dtype=jnp.float32) / half)
    angles = positions[..., None, None].astype(jnp.float32) * frequencies
    if rebuilt_at is not None:
        coarse = _bf16(_bf16(positions[..., None, None].astype(jnp.float32)) * _bf16(frequencies))
        rebuilt = (positions >= rebuilt_at).any(-1)[..., None, None, None]
        angles = jnp.where(rebuilt, coarse, angles)
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    first, second = (part.astype(jnp.float32) for part in (x[..., :half], x[..., half:dims]))
    turned = [first * cos - second * sin, second * cos + first * sin]
    return jnp.concatenate([*(t.astype(x.dtype) for t in turned), x[..., dims:]], axis=-1)


def _bf16(x: jax.Array) -> jax.Array:
    """Rounded to bfloat16; a cast there and back is what compilers leave out."""
    return jax.lax.reduce_precision(x, exponent_bits=8, mantissa_bits=7)
