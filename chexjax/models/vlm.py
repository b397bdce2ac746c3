"""The vision-language policy: a language model that has pictures in its prompt."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx

from chexjax.families import Family
from chexjax.models.connector import make_connector
from chexjax.models.lm import LanguageModel, Prefix
from chexjax.models.vit import ViT, normalised
from chexjax.ops.attention import Backend


class VLM(LanguageModel):
    """A policy: writes a report from images and a prompt."""

    def __init__(
        self,
        family: Family,
        *,
        dtype: jnp.dtype = jnp.float32,
        remat: str = "none",
        attention: Backend = "xla",
    ) -> None:
        """Declares the modules; see `LanguageModel`."""
        super().__init__(family, dtype=dtype, remat=remat, attention=attention)
        self.image = family.image
        self.vision = ViT(family.vision, dtype=dtype, rngs=nnx.Rngs(0), attention=attention)
        self.connector = make_connector(family, dtype=dtype)

    def encode_images(self, images: jax.Array, features: jax.Array | None = None) -> jax.Array:
        """Visual tokens of raw pixels: `u8[B, I, S, S, C] -> [B, K, D]`.

        An image that is black throughout is an empty slot. The tower does not run where its
        `features: [B, I, T, W]` are given.
        """
        if features is None:
            features = self._features(images)
        return self.connector(features, images.any((2, 3, 4)))

    def seen(self, prefix: Prefix) -> Prefix:
        """The prefix with the tower's features, for models that share the tower."""
        if prefix.images is None or prefix.placeholder is None:
            return prefix
        return dataclasses.replace(prefix, features=self._features(prefix.images))

    def _features(self, images: jax.Array) -> jax.Array:
        batch, count = images.shape[:2]
        pixels = normalised(images, self.image).astype(self.dtype)
        flat = pixels.reshape(batch * count, *images.shape[2:])
        features = self.vision(flat, remat=self.remat)
        return features.reshape(batch, count, *features.shape[1:])

    def _show(self, prefix: Prefix, text: jax.Array) -> jax.Array:
        if prefix.placeholder is None:
            return text
        visual = self._visual(prefix)
        order = jnp.clip(jnp.cumsum(prefix.placeholder, -1) - 1, 0, visual.shape[1] - 1)
        placed = jnp.take_along_axis(visual, order[..., None], axis=1)
        return jnp.where(prefix.placeholder[..., None], placed, text)

    def _visual(self, prefix: Prefix) -> jax.Array:
        """Visual tokens, as they are given or made of the pixels, `[B, K, D]`."""
        if prefix.images is None and prefix.visual is not None:
            return prefix.visual.astype(self.dtype)
        if prefix.images is not None and prefix.visual is None:
            return self.encode_images(prefix.images, prefix.features)
        raise ValueError("a prefix with placeholders has either `images` or `visual`")
