"""Decoder-only language model over KV chains.

All layers but the last are scanned. The last one stands alone because of a prefix it needs
keys and values only: the first token of every response is the last token of the prompt, so
nobody reads the prefix's final hidden state.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from chexjax.families import DecoderSpec
from chexjax.models.block import Block, norm, scan, stack
from chexjax.models.sheet import Sheet
from chexjax.ops.attention import Backend, Segment
from chexjax.ops.linear import Linear
from chexjax.ops.logprobs import token_logprobs


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Stream:
    """Tokens on their way through the layers.

    Attributes:
      x: Hidden states, `[*batch, T, D]`.
      positions: `i32[*batch, T]`.
      valid: False for padding, `bool[*batch, T]`.
    """

    x: jax.Array
    positions: jax.Array
    valid: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Cache:
    """The segments of one run of tokens in every layer.

    Attributes:
      body: Keys and values with a leading axis over the scanned layers.
      last: Those of the last layer.
    """

    body: Segment
    last: Segment


class Decoder(nnx.Module):
    """Token embedding, layers, final norm and vocabulary projection."""

    def __init__(
        self, spec: DecoderSpec, *, dtype: jnp.dtype, rngs: nnx.Rngs, attention: Backend = "xla"
    ) -> None:
        """Makes all parts; `spec.layers` is at least 2."""
        width, layers = spec.block.width, spec.layers - 1
        self.spec = spec
        self.embed = nnx.Embed(spec.vocabulary, width, dtype=dtype, rngs=rngs)
        self.body = stack(spec.block, layers, dtype=dtype, rngs=rngs, attention=attention)
        self.last = Block(spec.block, dtype=dtype, rngs=rngs, attention=attention)
        self.norm = norm(spec.block, dtype=dtype, rngs=rngs)
        self.head = None if spec.head == "tied" else _head(spec, dtype)

    def logits(self, hidden: jax.Array) -> jax.Array:
        """Normed hidden states to the next token's logits, `[..., D] -> [..., V]`."""
        return _project(self._vocabulary, hidden)

    def logprobs(self, hidden: jax.Array, targets: jax.Array, *, keep: bool = False) -> jax.Array:
        """Log-probabilities of the next tokens; logits of all rows together never exist.

        Args:
          hidden: Normed hidden states, `[G, C, D]`.
          targets: `i32[G, C]`.
          keep: Whether probabilities are kept for the backward pass; see `ops.logprobs`.

        Returns:
          `f32[G, C]`.
        """
        graph, params, constants = nnx.split(self._vocabulary, _is_float, ...)  # type: ignore[misc]

        def head(params: nnx.State, constants: nnx.State, rows: jax.Array) -> jax.Array:
            return _project(nnx.merge(graph, params, constants), rows)

        return token_logprobs(head, params, constants, hidden, targets, keep=keep)

    @property
    def _vocabulary(self) -> nnx.Embed | Linear:
        return self.embed if self.head is None else self.head

    def score(
        self, x: jax.Array, sheet: Sheet, *, remat: str = "none", whole: bool = False
    ) -> jax.Array:
        """Hidden states of responses that share a prefix, both in one pass over the layers.

        Args:
          x: The tokens of the sheet, `[G, M, D]`: of prefixes all but the last prompt token,
            from which the responses start.
          sheet: Where they stand.
          remat: Name of a policy in `block.REMAT`.
          whole: Give the prefixes' hidden states too, which costs their last layer.

        Returns:
          Normed hidden states of the responses' rows, `[G, C, D]`; where `whole` `[G, M, D]`.
        """

        def body(block: Block, x: jax.Array, _: None) -> tuple[jax.Array, None]:
            return block.together(x, sheet), None

        x, _ = scan(self.body, body, x, None, remat=remat)
        return self.norm(self.last.together(x, sheet, final=not whole))

    def prefill(self, prefix: Stream) -> Cache:
        """The cache of a prefix `[B, P, D]`."""

        def body(block: Block, x: jax.Array, _: None) -> tuple[jax.Array, Segment]:
            return block(x, prefix.positions, prefix.valid)

        x, segments = scan(self.body, body, prefix.x, None)
        last = self.last.segment(x, prefix.positions, prefix.valid)
        return Cache(body=segments, last=last)

    def extend(self, tokens: Stream, chain: Sequence[Cache]) -> tuple[jax.Array, Cache]:
        """Continues cached runs of tokens.

        Args:
          tokens: `[*batch, T, D]`; one token when decoding, several when verifying drafts.
          chain: Caches of what stands before, with nested batch axes.

        Returns:
          Normed hidden states `[*batch, T, D]` and the tokens' own cache.
        """

        def body(
            block: Block, x: jax.Array, segments: tuple[Segment, ...]
        ) -> tuple[jax.Array, Segment]:
            return block(x, tokens.positions, tokens.valid, segments)

        x, own = scan(self.body, body, tokens.x, tuple(cache.body for cache in chain))
        lasts = tuple(cache.last for cache in chain)
        x, last = self.last(x, tokens.positions, tokens.valid, lasts)
        return self.norm(x), Cache(body=own, last=last)


def _project(vocabulary: nnx.Embed | Linear, hidden: jax.Array) -> jax.Array:
    if isinstance(vocabulary, nnx.Embed):
        return vocabulary.attend(hidden)
    return vocabulary(hidden)


def _is_float(_: Any, leaf: Any) -> bool:
    return bool(jnp.issubdtype(leaf.dtype, jnp.floating))


def _head(spec: DecoderSpec, dtype: jnp.dtype) -> Linear:
    return Linear(spec.block.width, spec.vocabulary, bias=spec.head == "bias", dtype=dtype)
