"""From the features of a study's images to visual tokens of the decoder's width.

A connector maps features `[B, I, T, Dv]`, of which `present: bool[B, I]` says which images there
are, to `[B, K, D]`.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from chexjax.families import BlockSpec, Family, MLPSpec, QFormerSpec
from chexjax.mesh import spread
from chexjax.models.block import MLP, Attention, norm, scan, stack_of
from chexjax.ops.linear import Linear


def make_connector(family: Family, *, dtype: jnp.dtype) -> MLPConnector | QFormer:
    """The connector of a family."""
    spec, inputs = family.connector, family.vision.block.width
    outputs = family.decoder.block.width
    if isinstance(spec, QFormerSpec):
        return QFormer(spec, inputs, outputs, dtype=dtype)
    return MLPConnector(spec, family.vision.tokens, inputs, outputs, dtype=dtype)


class MLPConnector(nnx.Module):
    """Every feature on its own: Linear, exact GELU, Linear (LLaVA-1.5, arXiv 2310.03744).

    CheXagent-2's bridge adds a sine-cosine table before, stored and never trained, and a LayerNorm
    and a projection without bias behind.
    """

    def __init__(
        self, spec: MLPSpec, tokens: int, inputs: int, outputs: int, *, dtype: jnp.dtype
    ) -> None:
        """Makes the table and the layers."""
        self.bare = spec.bare
        self.fc1 = Linear(inputs, spec.hidden, dtype=dtype)
        self.fc2 = Linear(spec.hidden, outputs, dtype=dtype)
        if spec.bare:
            return
        self.table = nnx.Param(jnp.zeros((tokens, inputs)))
        self.norm = nnx.LayerNorm(outputs, epsilon=1e-6, dtype=dtype, rngs=nnx.Rngs(0))
        self.project = Linear(outputs, outputs, bias=False, dtype=dtype)

    def __call__(self, features: jax.Array, present: jax.Array) -> jax.Array:
        """`[B, I, T, Dv] -> [B, I * T, D]`; nobody looks for the tokens of absent images."""
        del present
        if not self.bare:
            features = features + jax.lax.stop_gradient(self.table[...]).astype(features.dtype)
        x = self.fc2(jax.nn.gelu(self.fc1(features), approximate=False))
        if not self.bare:
            x = self.project(self.norm(x))
        return x.reshape(x.shape[0], -1, x.shape[-1])


class QFormer(nnx.Module):
    """Learned queries that read all images of a study (BLIP-2, arXiv 2301.12597)."""

    def __init__(self, spec: QFormerSpec, inputs: int, outputs: int, *, dtype: jnp.dtype) -> None:
        """Makes queries, layers and the projection to the decoder."""
        rngs = nnx.Rngs(0)
        self.dtype = dtype
        self.queries = nnx.Param(jnp.zeros((1, spec.queries, spec.block.width)))
        self.norm = norm(spec.block, dtype=dtype, rngs=rngs)
        self.pairs = stack_of(
            lambda rngs: _Pair(spec.block, inputs, dtype=dtype, rngs=rngs), spec.layers // 2, rngs
        )
        self.project = Linear(spec.block.width, outputs, dtype=dtype)

    def __call__(self, features: jax.Array, present: jax.Array) -> jax.Array:
        """`[B, I, T, Dv] -> [B, Q, D]`."""
        batch, images, tokens, width = features.shape
        memory = features.reshape(batch, images * tokens, width)
        seen = jnp.repeat(present, tokens, axis=1)
        x = self.norm(self.queries[...].astype(self.dtype))
        x = jnp.broadcast_to(x, (batch, *x.shape[1:]))

        def body(pair: _Pair, x: jax.Array, _: None) -> tuple[jax.Array, None]:
            return pair.odd(pair.even(x, memory, seen)), None

        return self.project(scan(self.pairs, body, x, None)[0])


class _Pair(nnx.Module):
    """Two layers: one that reads the images, and one that does not."""

    def __init__(self, spec: BlockSpec, memory: int, *, dtype: jnp.dtype, rngs: nnx.Rngs) -> None:
        self.even = _Layer(spec, memory, dtype=dtype, rngs=rngs)
        self.odd = _Layer(spec, None, dtype=dtype, rngs=rngs)


class _Layer(nnx.Module):
    """Self-attention, cross-attention to a memory where there is one, MLP; a norm behind each."""

    def __init__(
        self, spec: BlockSpec, memory: int | None, *, dtype: jnp.dtype, rngs: nnx.Rngs
    ) -> None:
        self.attention = Attention(spec, dtype=dtype)
        self.norm1 = norm(spec, dtype=dtype, rngs=rngs)
        self.cross = Attention(spec, memory=memory, dtype=dtype) if memory else None
        self.norm_cross = norm(spec, dtype=dtype, rngs=rngs) if memory else None
        self.mlp = MLP(spec, dtype=dtype)
        self.norm2 = norm(spec, dtype=dtype, rngs=rngs)

    def __call__(
        self, x: jax.Array, memory: jax.Array | None = None, seen: jax.Array | None = None
    ) -> jax.Array:
        x = spread(x)
        x = self.norm1(x + self.attention.read(x, x, jnp.ones(x.shape[:2], bool)))
        if self.cross is not None and self.norm_cross is not None:
            assert memory is not None and seen is not None
            x = self.norm_cross(x + self.cross.read(x, memory, seen))
        return spread(self.norm2(x + self.mlp(x)))
