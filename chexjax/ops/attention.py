"""Attention of a token stream over a chain of key-value segments: one interface, one softmax.

What computes it is a choice: XLA everywhere, and the reference for the rest; splash kernels on
TPU; cuDNN on GPU. Whatever a kernel does not take goes to XLA.
"""

from __future__ import annotations

import logging
from typing import Literal

import jax
import jax.numpy as jnp

from chexjax.ops.chain import Chain, Segment, Stored, rectangle, unfit
from chexjax.ops.cudnn import cudnn, unfit_for_cudnn
from chexjax.ops.splash import splash

__all__ = ["Backend", "Chain", "Segment", "Stored", "attend", "backend_for", "why_xla"]

Backend = Literal["xla", "splash", "cudnn"]

_NATIVE: dict[str, Backend] = {"tpu": "splash", "gpu": "cudnn"}

_log = logging.getLogger(__name__)

# Finite, so that a query that sees nothing gets a uniform average and not NaN.
_MASKED = -1e30


def backend_for(asked: Backend | Literal["auto"], platform: str) -> Backend:
    """What computes attention on a platform; `auto` is the platform's own kernels, or XLA.

    Raises:
      ValueError: the platform lacks what is asked for.
    """
    native = _NATIVE.get(platform, "xla")
    if asked == "auto":
        return native
    if asked not in ("xla", native):
        instead = " or ".join(repr(name) for name in dict.fromkeys(("auto", "xla", native)))
        raise ValueError(f"attention={asked!r} does not run on {platform}; set it to {instead}")
    return asked


def attend(
    q: jax.Array,
    positions: jax.Array,
    chain: Chain,
    *,
    causal: bool,
    window: int | None = None,
    backend: Backend = "xla",
) -> jax.Array:
    """Softmax attention over all segments of a chain together.

    XLA reads positions. Kernels read order: see `chain.rectangle` for what must hold of a chain.

    Args:
      q: Rotated queries, `[*batch, T, H, head]`.
      positions: Positions of the queries, `i32[*batch, T]`.
      chain: Segments with K heads, each read by H / K query heads in turn; the batch axes of
        each are the leading ones of `q`.
      causal: A query sees keys at its own position and before.
      window: A causal query sees the keys of this many positions, its own included.
      backend: What computes it, where it takes the chain; XLA otherwise, see `why_xla`.

    Returns:
      `[*batch, T, H, head]` in the dtype of `q`; scores and softmax are float32.
    """
    if backend != "xla":
        reason = why_xla(backend, q, chain, causal=causal, window=window)
        if reason is None:
            segments = [segment for segment in chain if isinstance(segment, Segment)]
            laid = rectangle(q, segments, causal=causal, window=window)
            return (splash(laid) if backend == "splash" else cudnn(laid)).reshape(q.shape)
        _log.info("attention by XLA and not %s: %s", backend, reason)
    return _xla(q, positions, chain, causal, window)


def why_xla(
    backend: Backend, q: jax.Array, chain: Chain, *, causal: bool, window: int | None
) -> str | None:
    """Why `attend` leaves these shapes to XLA, or None where `backend` takes them."""
    return (unfit_for_cudnn(q) if backend == "cudnn" else None) or unfit(q, chain, causal, window)


def _xla(
    q: jax.Array,
    positions: jax.Array,
    chain: Chain,
    causal: bool,
    window: int | None,
) -> jax.Array:
    *batch, tokens, _, head = q.shape
    rank, heads = len(batch), chain[0].heads
    scaled = (q * jnp.asarray(head**-0.5, q.dtype)).reshape(*batch, tokens, heads, -1, head)
    scaled = jnp.moveaxis(scaled, rank, -2)  # [*batch, K, H / K, T, head]
    scores = [_scores(scaled, positions, segment, causal, window) for segment in chain]
    tops = [_from_rows(s.max(-1), segment, rank) for s, segment in zip(scores, chain, strict=True)]
    top = jax.lax.stop_gradient(jnp.max(jnp.stack(tops), axis=0))  # f32[*batch, K, H / K, T]
    total, mixed = jnp.zeros_like(top), jnp.zeros(scaled.shape, jnp.float32)
    for score, segment in zip(scores, chain, strict=True):
        weights = jnp.exp(score - _to_rows(top, segment, rank)[..., None])
        total += _from_rows(weights.sum(-1), segment, rank)
        mixed += _from_rows(_mix(weights, segment, q.dtype), segment, rank)
    mixed = jnp.moveaxis(mixed / total[..., None], -2, rank)
    return mixed.reshape(q.shape).astype(q.dtype)


# A matmul is fast where heads lie outside of tokens, and where all queries that share a segment are
# rows of one matrix: there the axes stand as `[*shared, K, *own, H / K, T, ...]`.


def _to_rows(x: jax.Array, segment: Segment | Stored, rank: int) -> jax.Array:
    """`[*shared, *own, K, ...]` to `[*shared, K, *own, ...]`."""
    return jnp.moveaxis(x, rank, segment.rank)


def _from_rows(x: jax.Array, segment: Segment | Stored, rank: int) -> jax.Array:
    """The way back."""
    return jnp.moveaxis(x, segment.rank, rank)


def _scores(
    q: jax.Array, positions: jax.Array, segment: Segment | Stored, causal: bool, window: int | None
) -> jax.Array:
    """Masked scores, `f32[*shared, K, *own, H / K, T, S]`."""
    shared, rank = segment.rank, q.ndim - 4
    rows, keys = _to_rows(q, segment, rank), segment.keys
    scores = jnp.matmul(
        rows.reshape(*keys.shape[:-2], -1, q.shape[-1]),
        keys.astype(q.dtype),
        preferred_element_type=jnp.float32,
    )
    scores = _scaled(scores, segment, "k_step").reshape(*rows.shape[:-1], -1)
    own = tuple(range(shared, rank))
    seen = jnp.expand_dims(segment.valid, (*own, -2))  # bool[*batch, 1, S]
    if causal:
        back = positions[..., :, None] - jnp.expand_dims(segment.positions, (*own, -2))
        seen = seen & (back >= 0)
        if window is not None:
            seen = seen & (back < window)
    return jnp.where(jnp.expand_dims(seen, (shared, -3)), scores, _MASKED)


def _mix(weights: jax.Array, segment: Segment | Stored, dtype: jnp.dtype) -> jax.Array:
    """Weighted sums of values, `f32[*shared, K, *own, H / K, T, head]`."""
    values = segment.values.astype(dtype)
    rows = weights.reshape(*values.shape[:-2], -1, values.shape[-2])
    mixed = jnp.matmul(
        _scaled(rows, segment, "v_step").astype(dtype), values, preferred_element_type=jnp.float32
    )
    return mixed.reshape(*weights.shape[:-1], -1)


def _scaled(rows: jax.Array, segment: Segment | Stored, step: str) -> jax.Array:
    """Rows `f32[*shared, K, rows, S]` by what a unit of each int8 key or value is worth."""
    worth = getattr(segment, step, None)
    return rows if worth is None else rows * worth[..., None, :]
