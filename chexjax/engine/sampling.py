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
            logits = _nucleus(logits, self.top_p)
        return logits


def _nucleus(logits: jax.Array, mass: float) -> jax.Array:
    """Keeps the smallest set of most likely tokens with probability `mass` together.

    A token stays if the more likely ones alone do not reach `mass` yet. The bits of floats of one
    sign are ordered as the floats are, so the highest probability at which they do is found bit by
    bit: thirty sums over the row, which a sort of the vocabulary costs many times of.
    """
    probabilities = jax.nn.softmax(logits, axis=-1)

    def more_likely(bits: jax.Array) -> jax.Array:
        return probabilities > jax.lax.bitcast_convert_type(bits, jnp.float32)[..., None]

    def settle(k: int, bits: jax.Array) -> jax.Array:
        tried = bits | (1 << (29 - k))  # bit 29 is the highest of any probability up to 1
        above = jnp.sum(probabilities, axis=-1, where=more_likely(tried))
        return jnp.where(above >= mass, tried, bits)

    bits = jax.lax.fori_loop(0, 30, settle, jnp.zeros(logits.shape[:-1], jnp.int32))
    return jnp.where(more_likely(bits), logits, -jnp.inf)


def fold_step(keys: jax.Array, step: jax.Array) -> jax.Array:
    """The keys of one decoding step: `key[*batch] -> key[*batch]`."""
    return _over_batch(lambda key: jax.random.fold_in(key, step), keys.ndim)(keys)


def _over_batch(function: Callable[..., Any], rank: int) -> Callable[..., Any]:
    for _ in range(rank):
        function = jax.vmap(function)
    return function
