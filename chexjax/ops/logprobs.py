"""Log-probabilities of given tokens, computed in chunks of rows.

Logits of all tokens at once would be the largest array of a training step by far. Rows meet
the vocabulary projection chunk by chunk instead, and the backward pass recomputes each chunk.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

Head = Callable[[jax.Array], jax.Array]
"""Maps hidden states `[M, D]` to logits `[M, V]`."""


def token_logprobs(
    head: Head, hidden: jax.Array, targets: jax.Array, *, chunk: int = 1024
) -> jax.Array:
    """Log-probability of each target token.

    Args:
      head: The vocabulary projection.
      hidden: `[*batch, D]`.
      targets: `i32[*batch]`.
      chunk: Most rows that meet the vocabulary at a time.

    Returns:
      `f32[*batch]`.
    """
    rows = hidden.reshape(-1, hidden.shape[-1])
    flat = targets.reshape(-1)
    count = rows.shape[0]
    chunks = -(-count // chunk)
    padding = -count % chunks  # chunks of equal size pad the least
    rows = jnp.pad(rows, ((0, padding), (0, 0))).reshape(chunks, -1, rows.shape[-1])
    flat = jnp.pad(flat, (0, padding)).reshape(chunks, -1)
    body = jax.checkpoint(lambda pair: _chunk_logprobs(head, *pair))
    return jax.lax.map(body, (rows, flat)).reshape(-1)[:count].reshape(targets.shape)


def _chunk_logprobs(head: Head, rows: jax.Array, targets: jax.Array) -> jax.Array:
    logits = head(rows).astype(jnp.float32)
    picked = jnp.take_along_axis(logits, targets[:, None], axis=-1)[:, 0]
    return picked - jax.nn.logsumexp(logits, axis=-1)
