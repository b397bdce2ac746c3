"""Text encoders: BERT and its kin, and the text tower of SigLIP."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from chexjax.families import EncoderFamily, EncoderSpec
from chexjax.models.block import Block, norm, scan, stack
from chexjax.ops.linear import Linear


class Encoder(nnx.Module):
    """Reads a text whole, and may classify it by one of its tokens."""

    def __init__(self, spec: EncoderSpec, *, dtype: jnp.dtype = jnp.float32) -> None:
        """Declares the modules; build it with `abstract` and give it parameters."""
        rngs, width = nnx.Rngs(0), spec.block.width
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
        return nnx.split(nnx.eval_shape(lambda: cls(family.encoder, dtype=dtype)))

    def __call__(self, tokens: jax.Array, valid: jax.Array) -> jax.Array:
        """Hidden states of the last layer, normed.

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
            return block(x, where, valid), None

        # Layers that norm behind each sum read a normed stream; the others leave one to be normed.
        if self.spec.block.layout == "post":
            return scan(self.blocks, body, self.norm(x), None)[0]
        return self.norm(scan(self.blocks, body, x, None)[0])

    def token(self, tokens: jax.Array, valid: jax.Array) -> jax.Array:
        """Hidden state of the token that heads read, `[B, D]`; see `__call__`."""
        return self(tokens, valid)[:, 0 if self.spec.reads == "first" else -1]

    def classify(self, tokens: jax.Array, valid: jax.Array) -> list[jax.Array]:
        """What each head makes of the token that heads read, `[B, outputs]` each."""
        token = self.token(tokens, valid)
        return [head(token) for head in self.heads]
