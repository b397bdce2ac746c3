"""The one transformer layer, and stacks of it that are scanned.

Encoder, decoder, trainer and engine all run this block: what is trained is what is served.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx

from chexjax.families import BlockSpec
from chexjax.ops.attention import Segment, attend
from chexjax.ops.rotary import rotate

Carry = TypeVar("Carry")
Input = TypeVar("Input")
Output = TypeVar("Output")

REMAT: dict[str, Callable[..., Any] | None] = {
    "none": None,
    "block": jax.checkpoint_policies.nothing_saveable,
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
}
"""Rematerialisation policies by name: what of a layer is kept for the backward pass."""


class Attention(nnx.Module):
    """Multi-head attention over a chain of segments, with biases everywhere."""

    def __init__(self, spec: BlockSpec, *, dtype: jnp.dtype, rngs: nnx.Rngs) -> None:
        """Makes the four projections `[D, D]`."""
        self.spec = spec
        self.query, self.key, self.value, self.out = (
            linear(spec.width, spec.width, dtype=dtype, rngs=rngs) for _ in range(4)
        )

    def segment(self, x: jax.Array, positions: jax.Array, valid: jax.Array) -> Segment:
        """Keys and values of the normed stream `x: [*batch, T, D]`."""
        k = self._rotated(self.key(x), positions)
        return Segment(k=k, v=self._heads(self.value(x)), positions=positions, valid=valid)

    def __call__(self, x: jax.Array, positions: jax.Array, chain: Sequence[Segment]) -> jax.Array:
        """Attends from `x: [*batch, T, D]` to the chain, which holds the stream's own segment."""
        q = self._rotated(self.query(x), positions)
        return self.out(attend(q, positions, chain, causal=self.spec.causal).reshape(x.shape))

    def _heads(self, x: jax.Array) -> jax.Array:
        return x.reshape(*x.shape[:-1], self.spec.heads, self.spec.head)

    def _rotated(self, x: jax.Array, positions: jax.Array) -> jax.Array:
        return rotate(self._heads(x), positions, dims=self.spec.rotary, theta=self.spec.theta)


class MLP(nnx.Module):
    """Two linear layers with tanh-GELU between them."""

    def __init__(self, spec: BlockSpec, *, dtype: jnp.dtype, rngs: nnx.Rngs) -> None:
        """Makes `[D, mlp]` and `[mlp, D]`."""
        self.fc1 = linear(spec.width, spec.mlp, dtype=dtype, rngs=rngs)
        self.fc2 = linear(spec.mlp, spec.width, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """`[*batch, T, D] -> [*batch, T, D]`."""
        return self.fc2(jax.nn.gelu(self.fc1(x), approximate=True))


class Block(nnx.Module):
    """One layer over a token stream that attends to itself and to a chain of earlier segments."""

    def __init__(self, spec: BlockSpec, *, dtype: jnp.dtype, rngs: nnx.Rngs) -> None:
        """Makes the norms, the attention and the MLP."""
        self.parallel = spec.parallel
        self.norm1 = norm(spec.width, spec.epsilon, dtype=dtype, rngs=rngs)
        self.attention = Attention(spec, dtype=dtype, rngs=rngs)
        if not spec.parallel:
            self.norm2 = norm(spec.width, spec.epsilon, dtype=dtype, rngs=rngs)
        self.mlp = MLP(spec, dtype=dtype, rngs=rngs)

    def segment(self, x: jax.Array, positions: jax.Array, valid: jax.Array) -> Segment:
        """Keys and values alone: all that is needed of a stream whose output nobody reads."""
        return self.attention.segment(self.norm1(x), positions, valid)

    def __call__(
        self,
        x: jax.Array,
        positions: jax.Array,
        valid: jax.Array,
        chain: Sequence[Segment] = (),
    ) -> tuple[jax.Array, Segment]:
        """Runs the layer.

        Args:
          x: `[*batch, T, D]`.
          positions: `i32[*batch, T]`.
          valid: False for padding, `bool[*batch, T]`.
          chain: Earlier segments of this layer, with nested batch axes.

        Returns:
          The stream `[*batch, T, D]` and its own segment.
        """
        normed = self.norm1(x)
        own = self.attention.segment(normed, positions, valid)
        attended = self.attention(normed, positions, (*chain, own))
        if self.parallel:
            return x + attended + self.mlp(normed), own
        x = x + attended
        return x + self.mlp(self.norm2(x)), own


def linear(inputs: int, outputs: int, *, dtype: jnp.dtype, rngs: nnx.Rngs) -> nnx.Linear:
    """A linear layer with bias; float32 parameters, computed in `dtype`."""
    return nnx.Linear(inputs, outputs, dtype=dtype, rngs=rngs)


def norm(width: int, epsilon: float, *, dtype: jnp.dtype, rngs: nnx.Rngs) -> nnx.LayerNorm:
    """A LayerNorm with scale and bias."""
    return nnx.LayerNorm(width, epsilon=epsilon, dtype=dtype, rngs=rngs)


def stack(spec: BlockSpec, layers: int, *, dtype: jnp.dtype, rngs: nnx.Rngs) -> Block:
    """`layers` blocks as one module whose parameters have a leading layer axis."""

    @nnx.split_rngs(splits=layers)
    @nnx.vmap(in_axes=0, out_axes=0)
    def make(rngs: nnx.Rngs) -> Block:
        return Block(spec, dtype=dtype, rngs=rngs)

    return make(rngs)


def scan(
    blocks: Block,
    body: Callable[[Block, Carry, Input], tuple[Carry, Output]],
    carry: Carry,
    inputs: Input,
    *,
    remat: str = "none",
) -> tuple[Carry, Output]:
    """Runs `body` over the layers of a stack; `inputs` and outputs have a leading layer axis."""
    graph, state = nnx.split(blocks)

    def step(carry: Carry, layer: tuple[Any, Input]) -> tuple[Carry, Output]:
        return body(nnx.merge(graph, layer[0]), carry, layer[1])

    policy = REMAT[remat]
    if policy is not None:
        step = jax.checkpoint(step, policy=policy, prevent_cse=False)
    return jax.lax.scan(step, carry, (state, inputs))
