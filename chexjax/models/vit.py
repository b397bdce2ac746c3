"""Vision tower: a pre-norm ViT with learned positions (SigLIP, EVA-CLIP)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from chexjax.families import BlockSpec, ImageSpec, VisionSpec
from chexjax.models.block import MLP, Attention, Block, norm, scan, stack
from chexjax.ops.attention import Backend
from chexjax.ops.linear import Linear


class ViT(nnx.Module):
    """Image encoder."""

    def __init__(
        self, spec: VisionSpec, *, dtype: jnp.dtype, rngs: nnx.Rngs, attention: Backend = "xla"
    ) -> None:
        """Makes patch projection, positions and layers."""
        self.spec = spec
        self.patch = Linear(spec.patch**2 * spec.channels, spec.block.width, dtype=dtype)
        width = spec.block.width
        # Towers with a class token store a batch axis with it and with the positions.
        batch = (1,) if spec.class_token else ()
        self.token = nnx.Param(jnp.zeros((1, 1, width))) if spec.class_token else None
        self.position = nnx.Param(jnp.zeros((*batch, spec.tokens, width)))
        self.blocks = stack(spec.block, spec.layers, dtype=dtype, rngs=rngs, attention=attention)
        self.norm = norm(spec.block, dtype=dtype, rngs=rngs) if spec.final_norm else None
        self.head = PoolingHead(spec.block, dtype=dtype, rngs=rngs) if spec.pooled else None

    def __call__(self, pixels: jax.Array, *, remat: str = "none") -> jax.Array:
        """Encodes normalised pixels `[M, S, S, C]` to features `[M, T, D]`."""
        x = self.patch(self._patches(pixels))
        if self.token is not None:
            token = jnp.broadcast_to(self.token[...], (x.shape[0], 1, x.shape[2]))
            x = jnp.concatenate([token.astype(x.dtype), x], axis=1)
        x = x + self.position[...].astype(x.dtype)
        positions = jnp.broadcast_to(jnp.arange(x.shape[1]), x.shape[:2])
        valid = jnp.ones(x.shape[:2], bool)

        def body(block: Block, x: jax.Array, _: None) -> tuple[jax.Array, None]:
            return block(x, positions, valid), None

        x, _ = scan(self.blocks, body, x, None, remat=remat)
        return x if self.norm is None else self.norm(x)

    def pooled(self, pixels: jax.Array, *, remat: str = "none") -> jax.Array:
        """One vector an image, `[M, S, S, C] -> [M, D]`.

        Raises:
          ValueError: the tower has no pooling head.
        """
        if self.head is None:
            raise ValueError("this tower has no pooling head: set VisionSpec.pooled")
        return self.head(self(pixels, remat=remat))

    def _patches(self, pixels: jax.Array) -> jax.Array:
        """Cuts `[M, S, S, C]` into rows of pixels, `[M, T, patch * patch * C]`."""
        count, size, _, channels = pixels.shape
        side, patch = size // self.spec.patch, self.spec.patch
        grid = pixels.reshape(count, side, patch, side, patch, channels)
        return grid.transpose(0, 1, 3, 2, 4, 5).reshape(count, side * side, -1)


class PoolingHead(nnx.Module):
    """A learned query that reads all features of an image (SigLIP)."""

    def __init__(self, spec: BlockSpec, *, dtype: jnp.dtype, rngs: nnx.Rngs) -> None:
        """Makes the query, its attention, and an MLP behind a norm."""
        self.probe = nnx.Param(jnp.zeros((1, 1, spec.width)))
        self.attention = Attention(spec, dtype=dtype)
        self.norm = norm(spec, dtype=dtype, rngs=rngs)
        self.mlp = MLP(spec, dtype=dtype)

    def __call__(self, features: jax.Array) -> jax.Array:
        """`[M, T, D] -> [M, D]`."""
        count, _, width = features.shape
        probe = jnp.broadcast_to(self.probe[...].astype(features.dtype), (count, 1, width))
        x = self.attention.read(probe, features, jnp.ones(features.shape[:2], bool))
        return (x + self.mlp(self.norm(x)))[:, 0]


def normalised(images: jax.Array, spec: ImageSpec) -> jax.Array:
    """Raw pixels as towers take them, `u8[..., S, S, C] -> f32[..., S, S, C]`."""
    return (images.astype(jnp.float32) / 255 - jnp.asarray(spec.mean)) / jnp.asarray(spec.std)
