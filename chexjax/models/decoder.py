"""Decoder-only language model over KV chains.

All layers but the last are scanned. The last one stands alone because of a prefix it needs
keys and values only: the first token of every response is the last token of the prompt, so
nobody reads the prefix's final hidden state.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import NamedSharding, PartitionSpec

from chexjax.families import DecoderSpec
from chexjax.models.block import Block, norm, scan, stack
from chexjax.models.columns import as_columns, as_rows, turn
from chexjax.models.memory import Memory
from chexjax.models.sheet import Sheet
from chexjax.ops.attention import Backend
from chexjax.ops.linear import Linear, Turned
from chexjax.ops.logprobs import token_logprobs


class Decoder(nnx.Module):
    """Token embedding, layers, final norm and vocabulary projection.

    Attributes:
      body: All layers but the last, stacked; trained and scored like this.
      last: The last layer.
      blocks: In place of both, all layers side by side; served like this.
    """

    blocks: nnx.List[Block]

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
        head = None if spec.head == "tied" else _head(spec, dtype)
        self.head: Linear | Turned | None = nnx.data(head)

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
    def _vocabulary(self) -> nnx.Embed | Linear | Turned:
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

    def unroll(self) -> None:
        """Lays the stacked layers side by side, and their streams' tokens, as serving wants them.

        A token at a time, slicing layers out of a stack would take as long as the layers do.
        """
        graph, stacked = nnx.split(self.body)

        def layer(index: int) -> Block:
            one = jax.tree.map(lambda x: _slice(_place(x))(x, index), stacked)
            block: Block = nnx.merge(graph, one)
            return block

        self.blocks = nnx.List([*map(layer, range(self.spec.layers - 1)), self.last])
        del self.body, self.last
        if self.head is None:
            self.head = Turned(self.embed.embedding[...], dtype=self.embed.dtype)
        turn(self)

    def extend(
        self, x: jax.Array, chain: Sequence[Memory], memory: Memory
    ) -> tuple[jax.Array, Memory]:
        """Continues what is in memory, in an unrolled decoder.

        Args:
          x: Embedded tokens that stand behind the memory's, `[*batch, T, D]`: one when decoding,
            several of a prompt, or of a draft to be verified.
          chain: What stands before, with nested batch axes.
          memory: The streams' own, of batch `[*batch]`.

        Returns:
          Normed hidden states `[*batch, T, D]`, and the memory with the tokens written to it, whose
          `length` is as before: what of them counts is for the caller to say.
        """
        positions = (memory.start + memory.length)[..., None] + jnp.arange(x.shape[-2])
        x = as_columns(x)
        earlier = zip(*(one.layers() for one in chain), strict=True)
        before = list(earlier) if chain else [()] * self.spec.layers
        written = []
        for block, segments, own in zip(self.blocks, before, memory.open(), strict=True):
            x, own = block.extend(x, positions, segments, own, memory.length)
            written.append(own)
        return as_rows(self.norm(x), positions.shape), memory.holding(written)


def _place(stack: jax.Array) -> NamedSharding | None:
    """How a layer of a stack is split over devices; None for as it comes, or while tracing."""
    place = None if isinstance(stack, jax.core.Tracer) else stack.sharding
    if isinstance(place, NamedSharding):
        return NamedSharding(place.mesh, PartitionSpec(*place.spec[1:]))
    return None


@functools.cache
def _slice(place: NamedSharding | None) -> Any:
    """`(stack, index) -> layer`."""
    return jax.jit(lambda x, i: jax.lax.dynamic_index_in_dim(x, i, 0, False), out_shardings=place)


def _project(vocabulary: nnx.Embed | Linear | Turned, hidden: jax.Array) -> jax.Array:
    if isinstance(vocabulary, Turned):
        return as_rows(vocabulary(as_columns(hidden)), hidden.shape[:-1])
    if isinstance(vocabulary, nnx.Embed):
        return vocabulary.attend(hidden)
    return vocabulary(hidden)


def _is_float(_: Any, leaf: Any) -> bool:
    return bool(jnp.issubdtype(leaf.dtype, jnp.floating))


def _head(spec: DecoderSpec, dtype: jnp.dtype) -> Linear:
    return Linear(spec.block.width, spec.vocabulary, bias=spec.head == "bias", dtype=dtype)
