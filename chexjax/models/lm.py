"""A language model behind the functions that trainer and engine know of any policy.

`score` is the training forward, `prefill` and `extend` are serving; they are the same function.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Self

import jax
import jax.numpy as jnp
from flax import nnx

from chexjax.families import TextFamily
from chexjax.models.columns import narrow
from chexjax.models.decoder import Decoder
from chexjax.models.memory import Memory
from chexjax.models.sheet import Place, Sheet
from chexjax.ops.attention import Backend
from chexjax.ops.packing import ALL, Packing


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Prefix:
    """Prompts, all but the last token of each, and the images that they show.

    Attributes:
      tokens: Prompt ids with placeholders where visual tokens go, right-padded, `i32[B, P]`.
      valid: False for padding, `bool[B, P]`.
      images: Raw pixels, `u8[B, I, S, S, C]`; None for a model of text, or with `visual`.
      placeholder: Where visual tokens go, `bool[B, P]`; the k-th placeholder takes the k-th
        visual token, so a study with fewer images has fewer placeholders. None without images.
      visual: Visual tokens that were made before, in place of `images`, `[B, K, D]`.
      features: What the tower makes of `images`, where that is known, `[B, I, T, W]`.
    """

    tokens: jax.Array
    valid: jax.Array
    images: jax.Array | None = None
    placeholder: jax.Array | None = None
    visual: jax.Array | None = None
    features: jax.Array | None = None

    @property
    def length(self) -> jax.Array:
        """Real tokens, `i32[B]`: the position of the last prompt token."""
        return self.valid.sum(-1)


class LanguageModel(nnx.Module):
    """Writes text from a prompt."""

    def __init__(
        self,
        family: TextFamily,
        *,
        dtype: jnp.dtype = jnp.float32,
        remat: str = "none",
        attention: Backend = "xla",
    ) -> None:
        """Declares the modules; build it with `abstract` and give it parameters.

        Args:
          family: Shapes.
          dtype: Compute dtype; parameters are float32.
          remat: Name of a policy in `block.REMAT`, used by `score`.
          attention: What computes attention where it can; a token at a time it is XLA.
        """
        self.dtype = dtype
        self.remat = remat
        rngs = nnx.Rngs(0)
        self.decoder = Decoder(family.decoder, dtype=dtype, rngs=rngs, attention=attention)

    @classmethod
    def abstract(cls, family: TextFamily, **options: Any) -> tuple[nnx.GraphDef, nnx.State]:
        """The model's graph and the shapes of its parameters, with the constructor's options.

        It allocates nothing.
        """
        return nnx.split(nnx.eval_shape(lambda: cls(family, **options)))

    def score(
        self,
        prefix: Prefix,
        responses: jax.Array,
        valid: jax.Array,
        packing: Packing | None = None,
    ) -> jax.Array:
        """The training forward: prompt and images once, N responses beside them.

        Args:
          prefix: Prompts.
          responses: Input ids, first the last prompt token, `i32[B, N, R]`.
          valid: `bool[B, N, R]`.
          packing: Which of them are computed; all without it.

        Returns:
          Hidden states `[B, N, R, D]` that `logits` turns into the next token's; with a packing
          its rows, `[G, C, D]`.
        """
        x, sheet = self._sheet(prefix, responses, valid, packing or ALL)
        hidden = self.decoder.score(x, sheet, remat=self.remat)
        return hidden if packing else sheet.grid(hidden)

    def score_all(
        self, prefix: Prefix, responses: jax.Array, valid: jax.Array, packing: Packing
    ) -> tuple[jax.Array, jax.Array]:
        """As `score`, with the hidden states of the prompts too: `[B, P, D]`, `[G, C, D]`.

        It costs the prompts' last layer, which `score` need not run.
        """
        x, sheet = self._sheet(prefix, responses, valid, packing)
        hidden = self.decoder.score(x, sheet, remat=self.remat, whole=True)
        return sheet.head(hidden), sheet.tail(hidden)

    def unrolled(self) -> Self:
        """The same model as it is served: `prefill` and `extend` in place of `score`.

        Matrices are in the compute dtype, which they are multiplied in anyway: a token at a time,
        reading them is most of the work.
        """
        model = nnx.clone(self)
        narrow(model)
        model.decoder.unroll()
        return model

    def prefill(self, prefix: Prefix, chain: Sequence[Memory], memory: Memory) -> Memory:
        """Writes prompts, and the images that they show, to a memory `[B]`; see `Decoder.extend`.

        As for `score`, the last token of a prompt is no part of the prefix.
        """
        x = self._show(prefix, self.decoder.embed(prefix.tokens))
        return self.decoder.extend(x, chain, memory)[1]

    def extend(
        self, tokens: jax.Array, chain: Sequence[Memory], memory: Memory
    ) -> tuple[jax.Array, Memory]:
        """Continues a memory by tokens, `i32[*batch, T]`; see `Decoder.extend`."""
        return self.decoder.extend(self.decoder.embed(tokens), chain, memory)

    def seen(self, prefix: Prefix) -> Prefix:
        """The prefix with what an image tower makes of it; here there is none."""
        return prefix

    def logits(self, hidden: jax.Array) -> jax.Array:
        """`[..., D] -> [..., V]`."""
        return self.decoder.logits(hidden)

    def logprobs(self, hidden: jax.Array, targets: jax.Array, *, keep: bool = False) -> jax.Array:
        """Log-probabilities of the next tokens, `f32[G, C]`; see `Decoder.logprobs`."""
        return self.decoder.logprobs(hidden, targets, keep=keep)

    def _sheet(
        self, prefix: Prefix, responses: jax.Array, valid: jax.Array, packing: Packing
    ) -> tuple[jax.Array, Sheet]:
        """Tokens `[G, M, D]`, and where they stand."""
        at = Place(_positions(prefix.length[:, None], responses), valid)
        sheet = Sheet(
            Place(_positions(jnp.zeros((), int), prefix.tokens), prefix.valid), at, packing
        )
        # One lookup of all tokens: its gradient is one scatter into one table.
        x = self.decoder.embed(sheet.join(prefix.tokens, responses))
        shown = self._show(prefix, sheet.head(x))
        return jnp.concatenate([shown.reshape(x.shape[0], -1, x.shape[2]), sheet.tail(x)], 1), sheet

    def _show(self, prefix: Prefix, text: jax.Array) -> jax.Array:
        """The prompts' embedded tokens with the images in their places, `[B, P, D]`."""
        return text


def _positions(start: jax.Array, tokens: jax.Array) -> jax.Array:
    """Counted from `start: i32[*batch]`, `i32[*batch, T]`."""
    return jnp.broadcast_to(start[..., None] + jnp.arange(tokens.shape[-1]), tokens.shape)
