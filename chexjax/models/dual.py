"""Two towers whose vectors are compared: which text goes with which image (SigLIP)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from chexjax.families import DualFamily
from chexjax.models.encoder import Encoder
from chexjax.models.vit import ViT, normalised


class DualEncoder(nnx.Module):
    """An image tower and a text tower (Zhai et al., arXiv:2303.15343)."""

    def __init__(self, family: DualFamily, *, dtype: jnp.dtype = jnp.float32) -> None:
        """Declares the modules; build it with `abstract` and give it parameters."""
        self.dtype = dtype
        self.image = family.image
        self.vision = ViT(family.vision, dtype=dtype, rngs=nnx.Rngs(0))
        self.text = Encoder(family.text, dtype=dtype)
        self.logit_scale = nnx.Param(jnp.zeros(1))
        self.logit_bias = nnx.Param(jnp.zeros(1))

    @classmethod
    def abstract(
        cls, family: DualFamily, *, dtype: jnp.dtype = jnp.float32
    ) -> tuple[nnx.GraphDef, nnx.State]:
        """The model's graph and the shapes of its parameters; allocates nothing."""
        return nnx.split(nnx.eval_shape(lambda: cls(family, dtype=dtype)))

    def encode_images(self, images: jax.Array) -> jax.Array:
        """Unit vectors of raw pixels, `u8[M, S, S, C] -> f32[M, D]`."""
        pixels = normalised(images, self.image).astype(self.dtype)
        return _unit(self.vision.pooled(pixels))

    def encode_texts(self, tokens: jax.Array) -> jax.Array:
        """Unit vectors of texts.

        Args:
          tokens: Ids, each text padded to all positions of the tower, `i32[B, T]`. Padding is
            read like any token and the last token is the one that counts: SigLIP is trained so.

        Returns:
          `f32[B, D]`.

        Raises:
          ValueError: the texts are longer than the table of positions.
        """
        [vector] = self.text.classify(tokens, jnp.ones(tokens.shape, bool))
        return _unit(vector)

    def similarity(self, images: jax.Array, texts: jax.Array) -> jax.Array:
        """Logits that image and text belong together, `[M, D], [B, D] -> f32[M, B]`.

        Each pair is judged on its own: its probability is the logit's sigmoid.
        """
        cosines = jnp.matmul(images, texts.T, precision="highest")
        return jnp.exp(self.logit_scale[...]) * cosines + self.logit_bias[...]


def _unit(x: jax.Array) -> jax.Array:
    x = x.astype(jnp.float32)
    return x / jnp.linalg.norm(x, axis=-1, keepdims=True)
