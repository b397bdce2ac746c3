"""Text encoders: BERT and its kin."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from chexjax.families import EncoderFamily
from chexjax.models.block import Block, norm, scan, stack
from chexjax.ops.linear import Linear


class Encoder(nnx.Module):
    """Reads a text whole, and may classify it by its first token."""

    def __init__(self, family: EncoderFamily, *, dtype: jnp.dtype = jnp.float32) -> None:
        """Declares the modules; build it with `abstract` and give it parameters."""
        spec, rngs = family.encoder, nnx.Rngs(0)
        width = spec.block.width
        self.spec = spec
        self.embed = nnx.Embed(spec.vocabulary, width, dtype=dtype, rngs=rngs)
        self.position = nnx.Embed(spec.positions, width, dtype=dtype, rngs=rngs)
        self.kind = nnx.Embed(spec.types, width, dtype=dtype, rngs=rngs) if spec.types else None
        self.norm = norm(spec.block, dtype=dtype, rngs=rngs)
        self.blocks = stack(spec.block, spec.layers, dtype=dtype, rngs=rngs)
        self.heads = nnx.List([Linear(width, classes, dtype=dtype) for classes in spec.heads])

    @classmethod
    def abstract(
        cls, family: EncoderFamily, *, dtype: jnp.dtype = jnp.float32
    ) -> tuple[nnx.GraphDef, nnx.State]:
        """The model's graph and the shapes of its parameters; allocates nothing."""
        return nnx.split(nnx.eval_shape(lambda: cls(family, dtype=dtype)))

    def __call__(self, tokens: jax.Array, valid: jax.Array) -> jax.Array:
        """Hidden states of the last layer.

        Args:
          tokens: Ids, right-padded, `i32[B, T]`; T + `spec.offset` is at most `spec.positions`.
          valid: False for padding, `bool[B, T]`.

        Returns:
          `[B, T, D]`.

        Raises:
          ValueError: the text is longer than the table of positions.
        """
        if tokens.shape[1] + self.spec.offset > self.spec.positions:
            room = self.spec.positions - self.spec.offset
            raise ValueError(f"{tokens.shape[1]} tokens exceed the {room} positions; cut the text")
        where = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)
        x = self.embed(tokens) + self.position(where + self.spec.offset)
        if self.kind is not None:
            x = x + self.kind(jnp.zeros_like(tokens))

        def body(block: Block, x: jax.Array, _: None) -> tuple[jax.Array, None]:
            return block(x, where, valid)[0], None

        return scan(self.blocks, body, self.norm(x), None)[0]

    def classify(self, tokens: jax.Array, valid: jax.Array) -> list[jax.Array]:
        """Logits of each head over the first token, `[B, classes]` each."""
        first = self(tokens, valid)[:, 0]
        return [head(first) for head in self.heads]
