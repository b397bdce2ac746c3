"""The one transformer layer, and stacks of it that are scanned.

Encoder, decoder, trainer and engine all run this block: what is trained is what is served.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx

from chexjax.families import BlockSpec
from chexjax.mesh import spread
from chexjax.models.columns import as_columns, as_rows
from chexjax.models.sheet import Place, Sheet
from chexjax.ops.attention import Backend, Chain, Segment, Stored, attend
from chexjax.ops.linear import Linear
from chexjax.ops.rotary import rotate

Layer = TypeVar("Layer", bound=nnx.Module)
Carry = TypeVar("Carry")
Input = TypeVar("Input")
Output = TypeVar("Output")

REMAT: dict[str, Callable[..., Any] | None] = {
    "none": None,
    "matmuls": jax.checkpoint_policies.dots_saveable,
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
    "offload": jax.checkpoint_policies.offload_dot_with_no_batch_dims("device", "pinned_host"),
    "block": jax.checkpoint_policies.nothing_saveable,
}
"""What of a layer is kept for the backward pass, by name, from the most to the least.

`none` keeps everything; `matmuls` the results of matmuls, attention's included; `dots` those of
linear layers; `offload` the same in the host's memory, where the backend has it; `block` nothing.
"""


class Attention(nnx.Module):
    """Multi-head attention over a chain of segments."""

    def __init__(
        self,
        spec: BlockSpec,
        *,
        memory: int | None = None,
        dtype: jnp.dtype,
        backend: Backend = "xla",
    ) -> None:
        """Makes the four projections; keys and values read streams of width `memory`, or D."""
        self.spec = spec
        self.backend: Backend = backend
        into, out = "qkv" in spec.biases, "out" in spec.biases
        memory = memory or spec.width
        self.query = Linear(spec.width, spec.width, bias=into, dtype=dtype)
        self.key = Linear(memory, spec.kv, bias=into, dtype=dtype)
        self.value = Linear(memory, spec.kv, bias=into, dtype=dtype)
        self.out = Linear(spec.width, spec.width, bias=out, dtype=dtype)

    def segment(self, x: jax.Array, positions: jax.Array, valid: jax.Array) -> Segment:
        """Keys and values of the stream `x: [*batch, T, memory]`."""
        return self._segment(self.key(x), self.value(x), Place(positions, valid))

    def __call__(self, x: jax.Array, positions: jax.Array, chain: Chain) -> jax.Array:
        """Attends from `x: [*batch, T, D]` to the chain, which holds the stream's own segment."""
        return self.out(self._attend(self.query(x), positions, chain))

    def extend(
        self, x: jax.Array, positions: jax.Array, chain: Chain, memory: Stored, at: jax.Array
    ) -> tuple[jax.Array, Stored]:
        """Attends from tokens that continue what is stored; see `Block.extend`."""
        q, k, v = (as_rows(part(x), positions.shape) for part in (self.query, self.key, self.value))
        own = self._segment(k, v, Place(positions, jnp.ones(positions.shape, bool)))
        memory = memory.put(own, at)
        attended = self._attend(q, positions, (*chain, memory))
        return self.out(as_columns(attended)), memory

    def together(self, x: jax.Array, sheet: Sheet, *, final: bool = False) -> jax.Array:
        """Attends within prefixes, and from responses to their prefix and themselves.

        Args:
          x: The tokens of a sheet, `[G, M, D]`.
          sheet: Where they stand.
          final: Nobody reads the prefixes: they give keys and values alone.

        Returns:
          `[G, M, D]`; where `final` the responses' rows alone, `[G, C, D]`.
        """
        keys, values = sheet.split(self.key(x)), sheet.split(self.value(x))
        shared = self._segment(keys[0], values[0], sheet.prefix)
        own = self._segment(keys[1], values[1], sheet.responses)
        at, chain = sheet.responses.positions, (shared, own)
        if final:
            responses = self._attend(sheet.grid(self.query(sheet.tail(x))), at, chain)
            return self.out(sheet.packing.pack(responses))
        prefix, responses = sheet.split(self.query(x))
        prefix = self._attend(prefix, sheet.prefix.positions, (shared,))
        return self.out(sheet.join(prefix, self._attend(responses, at, chain)))

    def read(self, x: jax.Array, memory: jax.Array, seen: jax.Array) -> jax.Array:
        """Attends from `x: [B, T, D]` to a memory where position plays no part.

        Args:
          x: `[B, T, D]`.
          memory: `[B, S, memory]`.
          seen: What of it there is, `bool[B, S]`.

        Returns:
          `[B, T, D]`.
        """
        keys = self.segment(memory, jnp.zeros(seen.shape, jnp.int32), seen)
        return self(x, jnp.zeros(x.shape[:2], jnp.int32), (keys,))

    def _segment(self, k: jax.Array, v: jax.Array, place: Place) -> Segment:
        k = self._rotated(k, place.positions)
        return Segment(k=k, v=self._heads(v), positions=place.positions, valid=place.valid)

    def _attend(self, q: jax.Array, positions: jax.Array, chain: Chain) -> jax.Array:
        rotated, causal, window = self._rotated(q, positions), self.spec.causal, self.spec.window
        attended = attend(
            rotated, positions, chain, causal=causal, window=window, backend=self.backend
        )
        return attended.reshape(q.shape)

    def _heads(self, x: jax.Array) -> jax.Array:
        return x.reshape(*x.shape[:-1], -1, self.spec.head)

    def _rotated(self, x: jax.Array, positions: jax.Array) -> jax.Array:
        spec = self.spec
        return rotate(
            self._heads(x),
            positions,
            dims=spec.rotary,
            theta=spec.theta,
            rebuilt_at=spec.rotary_rebuilt_at,
        )


ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "gelu_tanh": lambda x: jax.nn.gelu(x, approximate=True),
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "silu": jax.nn.silu,
}


class MLP(nnx.Module):
    """Two linear layers with an activation between them, and a gate where the spec has one."""

    def __init__(self, spec: BlockSpec, *, dtype: jnp.dtype) -> None:
        """Makes `[D, mlp]`, once more for a gate, and `[mlp, D]`."""
        bias = "mlp" in spec.biases
        self.activation = spec.activation
        self.fc1 = Linear(spec.width, spec.mlp, bias=bias, dtype=dtype)
        self.gate = Linear(spec.width, spec.mlp, bias=bias, dtype=dtype) if spec.gated else None
        self.fc2 = Linear(spec.mlp, spec.width, bias=bias, dtype=dtype)

    def __call__(self, x: jax.Array) -> jax.Array:
        """`[*batch, T, D] -> [*batch, T, D]`."""
        activate = ACTIVATIONS[self.activation]
        if self.gate is None:
            return self.fc2(activate(self.fc1(x)))
        return self.fc2(activate(self.gate(x)) * self.fc1(x))


class Block(nnx.Module):
    """One layer over a token stream that attends to itself and to a chain of earlier segments."""

    def __init__(
        self, spec: BlockSpec, *, dtype: jnp.dtype, rngs: nnx.Rngs, attention: Backend = "xla"
    ) -> None:
        """Makes the norms, the attention and the MLP."""
        self.layout = spec.layout
        self.norm1 = norm(spec, dtype=dtype, rngs=rngs)
        self.attention = Attention(spec, dtype=dtype, backend=attention)
        self.norm2 = None if spec.layout == "parallel" else norm(spec, dtype=dtype, rngs=rngs)
        self.mlp = MLP(spec, dtype=dtype)

    def __call__(
        self,
        x: jax.Array,
        positions: jax.Array,
        valid: jax.Array,
    ) -> jax.Array:
        """Runs the layer on streams that see nothing but themselves.

        Args:
          x: `[*batch, T, D]`.
          positions: `i32[*batch, T]`.
          valid: False for padding, `bool[*batch, T]`.

        Returns:
          `[*batch, T, D]`.
        """
        x = spread(x)
        read = self._read(x)
        own = self.attention.segment(read, positions, valid)
        return spread(self._combine(x, read, self.attention(read, positions, (own,))))

    def extend(
        self, x: jax.Array, positions: jax.Array, chain: Chain, memory: Stored, at: jax.Array
    ) -> tuple[jax.Array, Stored]:
        """Runs a turned layer on tokens that continue what is stored.

        Args:
          x: The tokens as columns, `[D, M]`.
          positions: `i32[*batch, T]`.
          chain: Earlier segments of this layer, with nested batch axes.
          memory: The streams' own segment, with room for the tokens.
          at: Where in the memory they go, `i32[*batch]`.

        Returns:
          The stream `[D, M]` and the memory with the tokens' keys and values.
        """
        x = spread(x, axis=1)
        read = self._read(x)
        attended, memory = self.attention.extend(read, positions, chain, memory, at)
        return spread(self._combine(x, read, attended), axis=1), memory

    def together(self, x: jax.Array, sheet: Sheet, *, final: bool = False) -> jax.Array:
        """Runs the layer on the tokens of a sheet, `[G, M, D]`.

        Where `final`, on the responses' rows alone, `[G, C, D]`: nobody reads the prefixes.
        """
        x = spread(x)
        read = self._read(x)
        attended = self.attention.together(read, sheet, final=final)
        if final:
            x, read = sheet.tail(x), sheet.tail(read)
        return spread(self._combine(x, read, attended))

    def _read(self, x: jax.Array) -> jax.Array:
        """What attention reads of the stream."""
        return x if self.layout == "post" else self.norm1(x)

    def _combine(self, x: jax.Array, read: jax.Array, attended: jax.Array) -> jax.Array:
        if self.norm2 is None:
            return x + attended + self.mlp(read)
        if self.layout == "parallel_two":
            return x + attended + self.mlp(self.norm2(x))
        if self.layout == "post":
            x = self.norm1(x + attended)
            return self.norm2(x + self.mlp(x))
        x = x + attended
        return x + self.mlp(self.norm2(x))


Norm = nnx.LayerNorm | nnx.RMSNorm


def norm(spec: BlockSpec, *, dtype: jnp.dtype, rngs: nnx.Rngs) -> Norm:
    """The kind of norm that a block has, over its width; statistics are float32."""
    kind = nnx.LayerNorm if spec.norm == "layer" else nnx.RMSNorm
    return kind(spec.width, epsilon=spec.epsilon, dtype=dtype, rngs=rngs)


def stack(
    spec: BlockSpec,
    layers: int,
    *,
    dtype: jnp.dtype,
    rngs: nnx.Rngs,
    attention: Backend = "xla",
) -> Block:
    """`layers` blocks as one module whose parameters have a leading layer axis."""

    def make(rngs: nnx.Rngs) -> Block:
        return Block(spec, dtype=dtype, rngs=rngs, attention=attention)

    return stack_of(make, layers, rngs)


def stack_of(make: Callable[[nnx.Rngs], Layer], layers: int, rngs: nnx.Rngs) -> Layer:
    """The same of any layer that `make` makes."""
    mapped = nnx.vmap(make, in_axes=0, out_axes=0)
    made: Layer = nnx.split_rngs(splits=layers)(mapped)(rngs)
    return made


def scan(
    blocks: Layer,
    body: Callable[[Layer, Carry, Input], tuple[Carry, Output]],
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
