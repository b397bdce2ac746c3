"""Spans of words, what they are, and how they relate: DyGIE++ on a text encoder."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from chexjax.families import SpanFamily, SpanSpec
from chexjax.models.encoder import Encoder
from chexjax.ops.linear import Linear


class SpanScores(NamedTuple):
    """What is thought of spans; span `w * longest + k` is words `w` to `w + k`.

    Attributes:
      entities: Scores of none and of each kind, `f32[B, S, 1 + kinds]`; meaningless where a span
        reaches beyond the text.
      kept: Numbers of the spans between which relations were looked for, in order; S for none,
        `i32[B, K]`.
      relations: Scores of none and of each kind, from the first to the second of two kept spans,
        `f32[B, K, K, 1 + kinds]`.
    """

    entities: jax.Array
    kept: jax.Array
    relations: jax.Array


class Scorer(nnx.Module):
    """Linear layers with ReLU behind each, and one without."""

    def __init__(
        self, inputs: int, hidden: tuple[int, ...], outputs: int, *, dtype: jnp.dtype
    ) -> None:
        """Makes them."""
        widths = (inputs, *hidden)
        self.hidden = nnx.List(
            [Linear(a, b, dtype=dtype) for a, b in zip(widths, hidden, strict=False)]
        )
        self.out = Linear(widths[-1], outputs, dtype=dtype)

    def __call__(self, x: jax.Array) -> jax.Array:
        """`[..., inputs] -> f32[..., outputs]`."""
        return self.behind(self.hidden[0](x))

    def behind(self, first: jax.Array) -> jax.Array:
        """The same from what the first layer's products came to, bias added."""
        x = jax.nn.relu(first)
        for layer in self.hidden[1:]:
            x = jax.nn.relu(layer(x))
        return self.out(x).astype(jnp.float32)


class SpanModel(nnx.Module):
    """Scores all spans of a text as entities, and the most promising of them in pairs."""

    def __init__(self, spec: SpanSpec, *, dtype: jnp.dtype = jnp.float32) -> None:
        """Declares the modules; build it with `abstract` and give it parameters."""
        self.spec = spec
        self.encoder = Encoder(spec.encoder, dtype=dtype)
        self.length = nnx.Embed(spec.longest, spec.feature, dtype=dtype, rngs=nnx.Rngs(0))
        self.entity = Scorer(spec.width, spec.hidden, len(spec.entities), dtype=dtype)
        self.pruner = Scorer(spec.width, spec.hidden, 1, dtype=dtype)
        self.relation = Scorer(3 * spec.width, spec.hidden, len(spec.relations), dtype=dtype)

    @classmethod
    def abstract(
        cls, family: SpanFamily, *, dtype: jnp.dtype = jnp.float32
    ) -> tuple[nnx.GraphDef, nnx.State]:
        """The model's graph and the shapes of its parameters; allocates nothing."""
        return nnx.split(nnx.eval_shape(lambda: cls(family.spans, dtype=dtype)))

    def __call__(
        self, pieces: jax.Array, valid: jax.Array, word: jax.Array, words: jax.Array
    ) -> SpanScores:
        """Scores spans and relations.

        Args:
          pieces: Ids; a text that is longer than the encoder reads has several segments, each read
            on its own, `i32[B, segments, T]`.
          valid: False for padding, `bool[B, segments, T]`.
          word: Number of the word that a piece is of; -1 for special tokens and padding,
            `i32[B, segments, T]`.
          words: How many words there are, `i32[B]`; no more than segments * T.
        """
        spans = self._spans(self._words(pieces, valid, word))
        batch, room, longest, width = spans.shape
        last = jnp.arange(room)[:, None] + jnp.arange(longest)
        inside = (last < words[:, None, None]).reshape(batch, -1)
        spans = spans.reshape(batch, -1, width)
        entities = _with_none(self.entity(spans))
        promise = jnp.where(inside, self.pruner(spans)[..., 0], -jnp.inf)
        kept = self._kept(promise, words, min(math.ceil(room * self.spec.kept), room * longest))
        at = jnp.minimum(kept, room * longest - 1)
        relations = self._relations(
            jnp.take_along_axis(spans, at[..., None], axis=1),
            jnp.take_along_axis(promise, at, axis=1),
        )
        return SpanScores(entities, kept, relations)

    def _words(self, pieces: jax.Array, valid: jax.Array, word: jax.Array) -> jax.Array:
        """Words as the means of their pieces; 0 for a word that the tokenizer drops."""
        batch, segments, length = pieces.shape
        rows = (batch * segments, length)
        hidden = self.encoder(pieces.reshape(rows), valid.reshape(rows))
        hidden = hidden.reshape(batch, segments * length, -1)
        member = jax.nn.one_hot(word.reshape(batch, -1), segments * length, dtype=hidden.dtype)
        sums = jnp.einsum("bpw,bpd->bwd", member, hidden, precision="highest")
        return sums / jnp.maximum(member.sum(axis=1), 1)[..., None]

    def _spans(self, words: jax.Array) -> jax.Array:
        """First word, last word and length of each span, `[B, W, D] -> [B, W, longest, spans]`."""
        batch, room, _ = words.shape
        longest = self.spec.longest
        padded = jnp.pad(words, ((0, 0), (0, longest - 1), (0, 0)))
        ends = jnp.stack([padded[:, k : k + room] for k in range(longest)], axis=2)
        starts = jnp.broadcast_to(words[:, :, None], ends.shape)
        lengths = self.length(jnp.arange(longest))
        lengths = jnp.broadcast_to(lengths, (batch, room, *lengths.shape))
        return jnp.concatenate([starts, ends, lengths], axis=-1)

    def _kept(self, promise: jax.Array, words: jax.Array, most: int) -> jax.Array:
        """Numbers of the most promising spans, as many as the text's words allow, in order."""
        _, best = jax.lax.top_k(promise, most)
        allowed = jnp.ceil(words.astype(jnp.float32) * self.spec.kept)[:, None]
        there = jnp.isfinite(jnp.take_along_axis(promise, best, axis=1))
        keep = there & (jnp.arange(most) < allowed)
        return jnp.sort(jnp.where(keep, best, promise.shape[1]), axis=1)

    def _relations(self, spans: jax.Array, promise: jax.Array) -> jax.Array:
        """Scores of all pairs, `[B, K, spans] -> f32[B, K, K, 1 + kinds]`.

        A pair is its two spans and their product. The first layer's share of each span is computed
        once, and pairs are made a row at a time, so that K * K of them never are in memory.
        """
        first = self.relation.hidden[0]
        kernel = first.kernel[...].astype(spans.dtype)
        from_first, from_second, from_both = jnp.split(kernel, 3)
        assert first.bias is not None
        second = spans @ from_second + first.bias[...].astype(spans.dtype)

        def row(one: tuple[jax.Array, jax.Array]) -> jax.Array:
            span, worth = one
            both = (span[:, None] * spans) @ from_both
            scores = self.relation.behind((span @ from_first)[:, None] + second + both)
            return _with_none(scores + (worth[:, None] + promise)[..., None])

        rows = jax.lax.map(row, (spans.swapaxes(0, 1), promise.swapaxes(0, 1)))
        return rows.swapaxes(0, 1)


def _with_none(scores: jax.Array) -> jax.Array:
    """A score of 0 in front of the others."""
    return jnp.pad(scores, [(0, 0)] * (scores.ndim - 1) + [(1, 0)])
