"""Attention of a token stream over a chain of key-value segments: one interface, one softmax.

A chain is a sequence of segments whose batch axes nest: a segment shared by all responses of
a study has `[B]` where the queries have `[B, N]`, and is read where it lies, never copied.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp

# Finite, so that a query that sees nothing gets a uniform average and not NaN.
_MASKED = -1e30


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Segment:
    """Keys and values of a run of tokens, with where the tokens stand.

    Attributes:
      k: Rotated keys, `[*batch, S, H, head]`.
      v: Values, `[*batch, S, H, head]`.
      positions: `i32[*batch, S]`.
      valid: False for padding, `bool[*batch, S]`.
    """

    k: jax.Array
    v: jax.Array
    positions: jax.Array
    valid: jax.Array


def attend(
    q: jax.Array,
    positions: jax.Array,
    chain: Sequence[Segment],
    *,
    causal: bool,
    window: int | None = None,
) -> jax.Array:
    """Softmax attention over all segments of a chain together.

    Args:
      q: Rotated queries, `[*batch, T, H, head]`.
      positions: Positions of the queries, `i32[*batch, T]`.
      chain: Segments with K heads, each read by H / K query heads in turn; the batch axes of
        each are the leading ones of `q`.
      causal: A query sees keys at its own position and before.
      window: A causal query sees the keys of this many positions, its own included.

    Returns:
      `[*batch, T, H, head]` in the dtype of `q`; scores and softmax are float32.
    """
    *batch, tokens, _, head = q.shape
    rank, heads = len(batch), chain[0].k.shape[-2]
    scaled = (q * jnp.asarray(head**-0.5, q.dtype)).reshape(*batch, tokens, heads, -1, head)
    scaled = jnp.moveaxis(scaled, rank, -2)  # [*batch, K, H / K, T, head]
    scores = [_scores(scaled, positions, segment, causal, window) for segment in chain]
    tops = [_from_rows(s.max(-1), segment, rank) for s, segment in zip(scores, chain, strict=True)]
    top = jax.lax.stop_gradient(jnp.max(jnp.stack(tops), axis=0))  # f32[*batch, K, H / K, T]
    total, mixed = jnp.zeros_like(top), jnp.zeros(scaled.shape, jnp.float32)
    for score, segment in zip(scores, chain, strict=True):
        weights = jnp.exp(score - _to_rows(top, segment, rank)[..., None])
        total += _from_rows(weights.sum(-1), segment, rank)
        mixed += _from_rows(_mix(weights, segment), segment, rank)
    mixed = jnp.moveaxis(mixed / total[..., None], -2, rank)
    return mixed.reshape(q.shape).astype(q.dtype)


# A matmul is fast where heads lie outside of tokens, and where all queries that share a segment are
# rows of one matrix: there the axes stand as `[*shared, K, *own, H / K, T, ...]`.


def _to_rows(x: jax.Array, segment: Segment, rank: int) -> jax.Array:
    """`[*shared, *own, K, ...]` to `[*shared, K, *own, ...]`."""
    return jnp.moveaxis(x, rank, segment.k.ndim - 3)


def _from_rows(x: jax.Array, segment: Segment, rank: int) -> jax.Array:
    """The way back."""
    return jnp.moveaxis(x, segment.k.ndim - 3, rank)


def _scores(
    q: jax.Array, positions: jax.Array, segment: Segment, causal: bool, window: int | None
) -> jax.Array:
    """Masked scores, `f32[*shared, K, *own, H / K, T, S]`."""
    shared, rank = segment.k.ndim - 3, q.ndim - 4
    rows = _to_rows(q, segment, rank)
    keys = jnp.moveaxis(segment.k, shared, -1)  # [*shared, K, head, S]
    scores = jnp.matmul(
        rows.reshape(*keys.shape[:-2], -1, q.shape[-1]),
        keys,
        preferred_element_type=jnp.float32,
    ).reshape(*rows.shape[:-1], -1)
    own = tuple(range(shared, rank))
    seen = jnp.expand_dims(segment.valid, (*own, -2))  # bool[*batch, 1, S]
    if causal:
        back = positions[..., :, None] - jnp.expand_dims(segment.positions, (*own, -2))
        seen = seen & (back >= 0)
        if window is not None:
            seen = seen & (back < window)
    return jnp.where(jnp.expand_dims(seen, (shared, -3)), scores, _MASKED)


def _mix(weights: jax.Array, segment: Segment) -> jax.Array:
    """Weighted sums of values, `f32[*shared, K, *own, H / K, T, head]`."""
    values = jnp.moveaxis(segment.v, segment.v.ndim - 3, -2)  # [*shared, K, S, head]
    mixed = jnp.matmul(
        weights.astype(values.dtype).reshape(*values.shape[:-2], -1, values.shape[-2]),
        values,
        preferred_element_type=jnp.float32,
    )
    return mixed.reshape(*weights.shape[:-1], -1)
