"""Decoder-only language model over KV chains.

All layers but the last are scanned. The last one stands alone because of a prefix it needs
keys and values only: the first token of every response is the last token of the prompt, so
nobody reads the prefix's final hidden state.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from chexjax.families import DecoderSpec
from chexjax.models.block import Block, norm, scan, stack
from chexjax.ops.attention import Segment
from chexjax.ops.linear import Linear


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

    def __init__(self, spec: DecoderSpec, *, dtype: jnp.dtype, rngs: nnx.Rngs) -> None:
        """Makes all parts; `spec.layers` is at least 2."""
        width = spec.block.width
        self.spec = spec
        self.embed = nnx.Embed(spec.vocabulary, width, dtype=dtype, rngs=rngs)
        self.body = stack(spec.block, spec.layers - 1, dtype=dtype, rngs=rngs)
        self.last = Block(spec.block, dtype=dtype, rngs=rngs)
        self.norm = norm(spec.block, dtype=dtype, rngs=rngs)
        self.head = None if spec.head == "tied" else _head(spec, dtype)

    def logits(self, hidden: jax.Array) -> jax.Array:
        """Normed hidden states to the next token's logits, `[..., D] -> [..., V]`."""
        return self.embed.attend(hidden) if self.head is None else self.head(hidden)

    def score(self, prefix: Stream, responses: Stream, *, remat: str = "none") -> jax.Array:
        """Hidden states of responses that share a prefix, both in one pass over the layers.

        Args:
          prefix: `[B, P, D]`, without the last prompt token.
          responses: `[B, N, R, D]`, starting with the last prompt token.
          remat: Name of a policy in `block.REMAT`.

        Returns:
          Normed hidden states `[B, N, R, D]`.
        """
        x, y = self._body(prefix, responses, remat)
        shared = self.last.segment(x, prefix.positions, prefix.valid)
        y, _own = self.last(y, responses.positions, responses.valid, (shared,))
        return self.norm(y)

    def score_all(
        self, prefix: Stream, responses: Stream, *, remat: str = "none"
    ) -> tuple[jax.Array, jax.Array]:
        """As `score`, with the prefix's hidden states too: `[B, P, D]` and `[B, N, R, D]`."""
        x, y = self._body(prefix, responses, remat)
        x, shared = self.last(x, prefix.positions, prefix.valid)
        y, _own = self.last(y, responses.positions, responses.valid, (shared,))
        return self.norm(x), self.norm(y)

    def _body(self, prefix: Stream, responses: Stream, remat: str) -> tuple[jax.Array, jax.Array]:
        """Both streams behind all layers but the last."""

        def body(
            block: Block, carry: tuple[jax.Array, jax.Array], _: None
        ) -> tuple[tuple[jax.Array, jax.Array], None]:
            x, shared = block(carry[0], prefix.positions, prefix.valid)
            y, _own = block(carry[1], responses.positions, responses.valid, (shared,))
            return (x, y), None

        streams, _ = scan(self.body, body, (prefix.x, responses.x), None, remat=remat)
        return streams

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


def _head(spec: DecoderSpec, dtype: jnp.dtype) -> Linear:
    return Linear(spec.block.width, spec.vocabulary, bias=spec.head == "bias", dtype=dtype)
