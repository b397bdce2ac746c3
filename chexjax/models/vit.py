"""Vision tower: a pre-norm ViT with learned positions and no class token (SigLIP).

The features are the last layer's output before any final norm, as CheXagent-2 reads them.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from chexjax.families import VisionSpec
from chexjax.models.block import Block, linear, scan, stack


class ViT(nnx.Module):
    """Image encoder."""

    def __init__(self, spec: VisionSpec, *, dtype: jnp.dtype, rngs: nnx.Rngs) -> None:
        """Makes patch projection, positions and layers."""
        self.spec = spec
        self.patch = linear(
            spec.patch * spec.patch * spec.channels, spec.block.width, dtype=dtype, rngs=rngs
        )
        self.position = nnx.Param(jnp.zeros((spec.tokens, spec.block.width)))
        self.blocks = stack(spec.block, spec.layers, dtype=dtype, rngs=rngs)

    def __call__(self, pixels: jax.Array, *, remat: str = "none") -> jax.Array:
        """Encodes normalised pixels `[M, S, S, C]` to features `[M, T, D]`."""
        x = self.patch(self._patches(pixels))
        x = x + self.position[...].astype(x.dtype)
        positions = jnp.broadcast_to(jnp.arange(x.shape[1]), x.shape[:2])
        valid = jnp.ones(x.shape[:2], bool)

        def body(block: Block, x: jax.Array, _: None) -> tuple[jax.Array, None]:
            return block(x, positions, valid)[0], None

        return scan(self.blocks, body, x, None, remat=remat)[0]

    def _patches(self, pixels: jax.Array) -> jax.Array:
        """Cuts `[M, S, S, C]` into rows of pixels, `[M, T, patch * patch * C]`."""
        count, size, _, channels = pixels.shape
        side, patch = size // self.spec.patch, self.spec.patch
        grid = pixels.reshape(count, side, patch, side, patch, channels)
        return grid.transpose(0, 1, 3, 2, 4, 5).reshape(count, side * side, -1)
