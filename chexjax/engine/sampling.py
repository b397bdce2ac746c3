"""From logits to the next token."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from chexjax.mesh import spread


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


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Draws:
    """How the tokens of many rows are drawn, each in its own way.

    Attributes:
      temperature: Of each row, `f32[*batch]`; see `Sampler`.
      top_k: `i32[*batch]`.
      top_p: `f32[*batch]`.
      keys: Words of each row's random key, `u32[*batch, 2]`.
    """

    temperature: jax.Array
    top_k: jax.Array
    top_p: jax.Array
    keys: jax.Array

    def tokens(self, step: jax.Array, logits: jax.Array) -> jax.Array:
        """Draws tokens; what a row gets depends on its own settings and logits alone.

        Args:
          step: How many tokens of the row stand before each, `i32[*batch, T]`.
          logits: `f32[*batch, T, V]`.

        Returns:
          `i32[*batch, T]`.
        """
        return dataclasses.replace(
            self,
            temperature=self.temperature[..., None],
            top_k=self.top_k[..., None],
            top_p=self.top_p[..., None],
            keys=jnp.broadcast_to(self.keys[..., None, :], (*step.shape, 2)),
        )._each(step, logits)

    def _each(self, step: jax.Array, logits: jax.Array) -> jax.Array:
        """The same with settings that broadcast to `step`."""
        likeliest = first_largest(logits)

        def drawn() -> jax.Array:
            warm = jnp.where(self.temperature > 0, self.temperature, 1.0)[..., None]
            kept = self._restrict(logits / warm)
            noise = _noise(logits.shape[-1], step.ndim)(self.keys, step)
            return jnp.where(self.temperature > 0, first_largest(kept + noise), likeliest)

        return jax.lax.cond((self.temperature > 0).any(), drawn, lambda: likeliest)

    def _restrict(self, logits: jax.Array) -> jax.Array:
        """Top-k first, then top-p of what is left, as generation libraries do.

        Every branch says that lanes stay where they are, or GPUs tell each other all logits.
        """

        def top_k(logits: jax.Array) -> jax.Array:
            few = _fewest(logits, lambda _, kept: kept.sum(-1) >= self.top_k)
            return spread(jnp.where((self.top_k > 0)[..., None] & ~few, -jnp.inf, logits))

        def top_p(logits: jax.Array) -> jax.Array:
            few = _fewest(logits, lambda p, kept: p.sum(-1, where=kept) >= self.top_p)
            return spread(jnp.where((self.top_p < 1)[..., None] & ~few, -jnp.inf, logits))

        logits = jax.lax.cond((self.top_k > 0).any(), top_k, spread, logits)
        return jax.lax.cond((self.top_p < 1).any(), top_p, spread, logits)


def first_largest(x: jax.Array) -> jax.Array:
    """The first index of the largest value, `[*batch, V] -> i32[*batch]`.

    Two reductions of one value each, which compilers vectorise, where argmax carries pairs.
    """
    index = jax.lax.broadcasted_iota(jnp.int32, x.shape, x.ndim - 1)
    return jnp.where(x == x.max(-1, keepdims=True), index, x.shape[-1] - 1).min(-1)


def _fewest(logits: jax.Array, enough: Callable[[jax.Array, jax.Array], jax.Array]) -> jax.Array:
    """The smallest set of most likely tokens that is enough, `bool[*batch, V]`.

    A token is in it if the more likely ones alone are not enough yet. The bits of floats of one
    sign are ordered as the floats are, so the highest probability above which tokens are enough is
    found bit by bit: thirty sums over the row, which a sort of the vocabulary costs many times of.

    Args:
      logits: `f32[*batch, V]`.
      enough: Of probabilities `f32[*batch, V]` and a set `bool[*batch, V]` says `bool[*batch]`.
    """
    probabilities = jax.nn.softmax(logits, axis=-1)

    def more_likely(bits: jax.Array) -> jax.Array:
        return probabilities > jax.lax.bitcast_convert_type(bits, jnp.float32)[..., None]

    def settle(k: int, bits: jax.Array) -> jax.Array:
        tried = bits | (1 << (29 - k))  # bit 29 is the highest of any probability up to 1
        return jnp.where(enough(probabilities, more_likely(tried)), tried, bits)

    bits = jax.lax.fori_loop(0, 30, settle, jnp.zeros(logits.shape[:-1], jnp.int32))
    return more_likely(bits)


def _noise(vocabulary: int, rank: int) -> Callable[..., Any]:
    """Gumbel noise of one step, `(u32[*batch, 2], i32[*batch]) -> f32[*batch, V]`."""

    def one(words: jax.Array, step: jax.Array) -> jax.Array:
        key = jax.random.fold_in(jax.random.wrap_key_data(words, impl="threefry2x32"), step)
        return jax.random.gumbel(key, (vocabulary,))

    function: Callable[..., Any] = one
    for _ in range(rank):
        function = jax.vmap(function)
    return function
