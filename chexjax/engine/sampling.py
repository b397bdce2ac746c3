"""From logits to the next token."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sampler:
    """How a token is drawn.

    Attributes:
      temperature: Divides the logits; 0 takes the most likely token (greedy).
      top_k: Only the k most likely tokens can be drawn; 0 for all.
      top_p: Only the smallest set of tokens with this much probability together; 1 for all.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        """Checks ranges."""
        if self.temperature < 0:
            raise ValueError(f"temperature={self.temperature} must be 0 (greedy) or more")
        if self.top_k < 0:
            raise ValueError(f"top_k={self.top_k} must be 0 (off) or more")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p={self.top_p} must be above 0 and at most 1")

    def draw(self, keys: jax.Array, logits: jax.Array) -> jax.Array:
        """Draws one token a row: `key[*batch], f32[*batch, V] -> i32[*batch]`."""
        if self.temperature == 0:
            return logits.argmax(-1)
        kept = self._restrict(logits / self.temperature)
        noise = _over_batch(lambda key: jax.random.gumbel(key, (logits.shape[-1],)), keys.ndim)(
            keys
        )
        return (kept + noise).argmax(-1)

    def _restrict(self, logits: jax.Array) -> jax.Array:
        """Top-k first, then top-p of what is left, as generation libraries do."""
        if 0 < self.top_k < logits.shape[-1]:
            least = jax.lax.top_k(logits, self.top_k)[0][..., -1:]
            logits = jnp.where(logits < least, -jnp.inf, logits)
        if self.top_p < 1:
            ordered = jnp.sort(logits, axis=-1, descending=True)
            probabilities = jax.nn.softmax(ordered, axis=-1)
            # A token stays if the more likely ones alone do not reach top_p yet.
            stays = jnp.cumsum(probabilities, -1) - probabilities < self.top_p
            least = jnp.where(stays, ordered, jnp.inf).min(-1, keepdims=True)
            logits = jnp.where(logits < least, -jnp.inf, logits)
        return logits


def fold_step(keys: jax.Array, step: jax.Array) -> jax.Array:
    """The keys of one decoding step: `key[*batch] -> key[*batch]`."""
    return _over_batch(lambda key: jax.random.fold_in(key, step), keys.ndim)(keys)


def _over_batch(function: Callable[..., Any], rank: int) -> Callable[..., Any]:
    for _ in range(rank):
        function = jax.vmap(function)
    return function
