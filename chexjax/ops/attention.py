"""Attention of a token stream over a chain of key-value segments: one interface, one softmax.

A chain is a sequence of segments whose batch axes nest: a segment shared by all responses of
a study has `[B]` where the queries have `[B, N]`, and is read where it lies, never copied.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp

_BATCH_LETTERS = "abc"
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
    heads = chain[0].k.shape[-2]
    grouped = q.reshape(*q.shape[:-2], heads, -1, q.shape[-1])  # [*batch, T, K, H / K, head]
    grouped = grouped * jnp.asarray(q.shape[-1] ** -0.5, q.dtype)
    scores = [_scores(grouped, positions, segment, causal, window) for segment in chain]
    top = jax.lax.stop_gradient(
        jnp.max(jnp.stack([s.max(-1) for s in scores]), axis=0)
    )  # f32[*batch, K, H / K, T]
    weights = [jnp.exp(s - top[..., None]) for s in scores]
    total = sum(w.sum(-1) for w in weights)
    mixed = sum(_mix(w, segment) for w, segment in zip(weights, chain, strict=True))
    mixed = mixed / jnp.moveaxis(total, -1, -3)[..., None]
    return mixed.reshape(q.shape).astype(q.dtype)


def _letters(rank: int, segment: Segment) -> tuple[str, str]:
    """Batch letters of queries or scores of this rank, and of a segment."""
    batch = _BATCH_LETTERS[: rank - 4]
    return batch, batch[: segment.k.ndim - 3]


def _scores(
    q: jax.Array, positions: jax.Array, segment: Segment, causal: bool, window: int | None
) -> jax.Array:
    """Masked scores, `f32[*batch, K, H / K, T, S]`."""
    batch, shared = _letters(q.ndim, segment)
    scores = jnp.einsum(
        f"{batch}tkgd,{shared}skd->{batch}kgts",
        q,
        segment.k,
        preferred_element_type=jnp.float32,
    )
    extra = tuple(range(len(shared), len(batch)))
    seen = jnp.expand_dims(segment.valid, (*extra, -2))  # bool[*batch, 1, S]
    if causal:
        back = positions[..., :, None] - jnp.expand_dims(segment.positions, (*extra, -2))
        seen = seen & (back >= 0)
        if window is not None:
            seen = seen & (back < window)
    return jnp.where(jnp.expand_dims(seen, (-4, -3)), scores, _MASKED)


def _mix(weights: jax.Array, segment: Segment) -> jax.Array:
    """Weighted sums of values, `f32[*batch, T, K, H / K, head]`."""
    batch, shared = _letters(weights.ndim, segment)
    return jnp.einsum(
        f"{batch}kgts,{shared}skd->{batch}tkgd",
        weights.astype(segment.v.dtype),
        segment.v,
        preferred_element_type=jnp.float32,
    )
