"""The vision-language policy: image encoder, connector and decoder behind four functions.

`encode_images`, `score`, `prefill` and `extend` are all that trainer and engine know of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from chexjax.families import Family
from chexjax.models.block import linear, norm
from chexjax.models.decoder import Cache, Decoder, Stream
from chexjax.models.vit import ViT


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Prefix:
    """Images and prompt of studies, all but the last prompt token.

    Attributes:
      images: Raw pixels, `u8[B, I, S, S, C]`.
      tokens: Prompt ids with placeholders where visual tokens go, right-padded, `i32[B, P]`.
      placeholder: Where they go, `bool[B, P]`; the k-th placeholder takes the k-th visual
        token, so a study with fewer images has fewer placeholders.
      valid: False for padding, `bool[B, P]`.
    """

    images: jax.Array
    tokens: jax.Array
    placeholder: jax.Array
    valid: jax.Array

    @property
    def length(self) -> jax.Array:
        """Real tokens, `i32[B]`: the position of the last prompt token."""
        return self.valid.sum(-1)


class Connector(nnx.Module):
    """Visual tokens into the decoder's width, one by one.

    A fixed sine-cosine table is added, then Linear, exact GELU, Linear, LayerNorm and a
    projection without bias (CheXagent-2's bridge).
    """

    def __init__(self, family: Family, *, dtype: jnp.dtype, rngs: nnx.Rngs) -> None:
        """Makes the table and the layers."""
        inputs, outputs = family.vision.block.width, family.decoder.block.width
        self.grid = family.vision.size // family.vision.patch
        self.fc1 = linear(inputs, family.connector, dtype=dtype, rngs=rngs)
        self.fc2 = linear(family.connector, outputs, dtype=dtype, rngs=rngs)
        self.norm = norm(outputs, 1e-6, dtype=dtype, rngs=rngs)
        self.project = nnx.Linear(outputs, outputs, use_bias=False, dtype=dtype, rngs=rngs)

    def __call__(self, features: jax.Array) -> jax.Array:
        """`[M, T, Dv] -> [M, T, D]`."""
        table = jnp.asarray(sincos_table(self.grid, features.shape[-1]), features.dtype)
        x = jax.nn.gelu(self.fc1(features + table), approximate=False)
        return self.project(self.norm(self.fc2(x)))


class VLM(nnx.Module):
    """A policy: writes a report from images and a prompt."""

    def __init__(
        self, family: Family, *, dtype: jnp.dtype = jnp.float32, remat: str = "none"
    ) -> None:
        """Declares the modules; build it with `abstract` and give it parameters.

        Args:
          family: Shapes.
          dtype: Compute dtype; parameters are float32.
          remat: Name of a policy in `block.REMAT`, used by `score`.
        """
        rngs = nnx.Rngs(0)
        self.image = family.image
        self.dtype = dtype
        self.remat = remat
        self.vision = ViT(family.vision, dtype=dtype, rngs=rngs)
        self.connector = Connector(family, dtype=dtype, rngs=rngs)
        self.decoder = Decoder(family.decoder, dtype=dtype, rngs=rngs)

    @classmethod
    def abstract(
        cls, family: Family, *, dtype: jnp.dtype = jnp.float32, remat: str = "none"
    ) -> tuple[nnx.GraphDef, nnx.State]:
        """The model's graph and the shapes of its parameters; allocates nothing."""
        return nnx.split(nnx.eval_shape(lambda: cls(family, dtype=dtype, remat=remat)))

    def encode_images(self, images: jax.Array) -> jax.Array:
        """Visual tokens of raw pixels: `u8[B, I, S, S, C] -> [B, I * T, D]`."""
        batch, count = images.shape[:2]
        pixels = (images.astype(jnp.float32) / 255 - self.image.mean) / self.image.std
        flat = pixels.astype(self.dtype).reshape(batch * count, *images.shape[2:])
        visual = self.connector(self.vision(flat, remat=self.remat))
        return visual.reshape(batch, -1, visual.shape[-1])

    def score(self, prefix: Prefix, responses: jax.Array, valid: jax.Array) -> jax.Array:
        """The training forward: image and prompt once, N responses beside them.

        Args:
          prefix: Studies.
          responses: Input ids, first the last prompt token, `i32[B, N, R]`.
          valid: `bool[B, N, R]`.

        Returns:
          Hidden states `[B, N, R, D]` that `logits` turns into the next token's.
        """
        stream = self._responses(prefix.length[:, None], responses, valid)
        return self.decoder.score(self._prefix(prefix), stream, remat=self.remat)

    def prefill(self, prefix: Prefix) -> Cache:
        """Cache of images and prompt."""
        return self.decoder.prefill(self._prefix(prefix))

    def extend(
        self, start: jax.Array, tokens: jax.Array, valid: jax.Array, chain: Sequence[Cache]
    ) -> tuple[jax.Array, Cache]:
        """Continues a chain by tokens.

        Args:
          start: Position of the first token, `i32[*batch]`.
          tokens: `i32[*batch, T]`.
          valid: `bool[*batch, T]`.
          chain: Caches of what stands before.

        Returns:
          Hidden states `[*batch, T, D]` and the tokens' own cache.
        """
        return self.decoder.extend(self._responses(start, tokens, valid), chain)

    def logits(self, hidden: jax.Array) -> jax.Array:
        """`[..., D] -> [..., V]`."""
        return self.decoder.head(hidden)

    def _prefix(self, prefix: Prefix) -> Stream:
        visual = self.encode_images(prefix.images)
        text = self.decoder.embed(prefix.tokens)
        order = jnp.clip(jnp.cumsum(prefix.placeholder, -1) - 1, 0, visual.shape[1] - 1)
        placed = jnp.take_along_axis(visual, order[..., None], axis=1)
        x = jnp.where(prefix.placeholder[..., None], placed, text)
        positions = jnp.broadcast_to(jnp.arange(x.shape[1]), x.shape[:2])
        return Stream(x=x, positions=positions, valid=prefix.valid)

    def _responses(self, start: jax.Array, tokens: jax.Array, valid: jax.Array) -> Stream:
        positions = start[..., None] + jnp.arange(tokens.shape[-1])
        positions = jnp.broadcast_to(positions, tokens.shape)
        return Stream(x=self.decoder.embed(tokens), positions=positions, valid=valid)


def sincos_table(grid: int, width: int) -> np.ndarray:
    """2-D sine-cosine position table, `f32[grid * grid, width]`, row by row.

    The first half of the width encodes the column, the second the row; each half is sines,
    then cosines, with frequencies 10000^(-i / (width / 4)) (MAE, arXiv 2111.06377).
    """
    frequencies = 10_000.0 ** (-np.arange(width // 4) / (width // 4))
    rows, columns = np.divmod(np.arange(grid * grid), grid)
    halves = [np.outer(index, frequencies) for index in (columns, rows)]
    parts = [wave(half) for half in halves for wave in (np.sin, np.cos)]
    return np.concatenate(parts, axis=1).astype(np.float32)
