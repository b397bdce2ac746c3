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
    q: jax.Array, positions: jax.Array, chain: Sequence[Segment], *, causal: bool
) -> jax.Array:
    """Softmax attention over all segments of a chain together.

    Args:
      q: Rotated queries, `[*batch, T, H, head]`.
      positions: Positions of the queries, `i32[*batch, T]`.
      chain: Segments; the batch axes of each are the leading ones of `q`.
      causal: A query sees keys at its own position and before.

    Returns:
      `[*batch, T, H, head]` in the dtype of `q`; scores and softmax are float32.
    """
    q = q * jnp.asarray(q.shape[-1] ** -0.5, q.dtype)
    scores = [_scores(q, positions, segment, causal) for segment in chain]
    top = jax.lax.stop_gradient(
        jnp.max(jnp.stack([s.max(-1) for s in scores]), axis=0)
    )  # f32[*batch, H, T]
    weights = [jnp.exp(s - top[..., None]) for s in scores]
    total = sum(w.sum(-1) for w in weights)
    mixed = sum(_mix(w, segment) for w, segment in zip(weights, chain, strict=True))
    return (mixed / jnp.swapaxes(total, -1, -2)[..., None]).astype(q.dtype)


def _letters(q_rank: int, segment: Segment) -> tuple[str, str]:
    batch = _BATCH_LETTERS[: q_rank - 3]
    return batch, batch[: segment.k.ndim - 3]


def _scores(q: jax.Array, positions: jax.Array, segment: Segment, causal: bool) -> jax.Array:
    """Masked scores, `f32[*batch, H, T, S]`."""
    batch, shared = _letters(q.ndim, segment)
    scores = jnp.einsum(
        f"{batch}thd,{shared}shd->{batch}hts",
        q,
        segment.k,
        preferred_element_type=jnp.float32,
    )
    extra = tuple(range(len(shared), len(batch)))
    seen = jnp.expand_dims(segment.valid, (*extra, -2))  # bool[*batch, 1, S]
    if causal:
        key_positions = jnp.expand_dims(segment.positions, (*extra, -2))
        seen = seen & (key_positions <= positions[..., :, None])
    return jnp.where(jnp.expand_dims(seen, -3), scores, _MASKED)


def _mix(weights: jax.Array, segment: Segment) -> jax.Array:
    batch, shared = _letters(weights.ndim, segment)
    return jnp.einsum(
        f"{batch}hts,{shared}shd->{batch}thd",
        weights.astype(segment.v.dtype),
        segment.v,
        preferred_element_type=jnp.float32,
    )
