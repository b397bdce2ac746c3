"""Keys and values of a decoder in memory: what serving keeps of the tokens that it has seen."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from chexjax.families import BlockSpec
from chexjax.ops.attention import Stored


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class KV:
    """Room for keys and values in every layer; see `ops.chain.Stored`.

    Attributes:
      k: For each layer `[*batch, K, head, S]`.
      v: For each layer `[*batch, K, S, head]`.
      k_step: For each layer `f32[*batch, K, S]` where keys are int8, else None.
      v_step: The same of values.
    """

    k: tuple[jax.Array, ...]
    v: tuple[jax.Array, ...]
    k_step: tuple[jax.Array | None, ...]
    v_step: tuple[jax.Array | None, ...]

    @classmethod
    def empty(
        cls, block: BlockSpec, layers: int, batch: tuple[int, ...], room: int, dtype: Any
    ) -> KV:
        """Room for `room` tokens of each stream of a batch."""
        heads = (*batch, block.kv // block.head)
        whole = jnp.dtype(dtype) == jnp.int8

        def each(*shape: int, dtype: Any) -> tuple[jax.Array, ...]:
            return tuple(jnp.zeros(shape, dtype) for _ in range(layers))

        def step() -> tuple[jax.Array | None, ...]:
            return each(*heads, room, dtype=jnp.float32) if whole else (None,) * layers

        return cls(
            k=each(*heads, block.head, room, dtype=dtype),
            v=each(*heads, room, block.head, dtype=dtype),
            k_step=step(),
            v_step=step(),
        )

    @property
    def room(self) -> int:
        """Tokens of a stream that there is room for, S."""
        return self.k[0].shape[-1]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Memory:
    """A run of tokens that a model has seen, in every layer, with room for more.

    Attributes:
      kv: Their keys and values.
      start: Position of the first, `i32[*batch]`.
      length: How many there are, `i32[*batch]`. What stands behind them is not read.
    """

    kv: KV
    start: jax.Array
    length: jax.Array

    def layers(self) -> list[Stored]:
        """As a segment of each layer's chain, behind which nothing is written."""
        columns = jnp.arange(self.kv.room)
        positions = self.start[..., None] + columns
        valid = columns < self.length[..., None]
        kv = self.kv
        each = zip(kv.k, kv.v, kv.k_step, kv.v_step, strict=True)
        return [Stored(k, v, positions, valid, k_step, v_step) for k, v, k_step, v_step in each]

    def open(self) -> list[Stored]:
        """As the segment of each layer that tokens are being written to.

        Whether a column is there is for the causal mask to say: columns behind a token have later
        positions.
        """
        return [
            dataclasses.replace(one, valid=jnp.ones(one.valid.shape, bool)) for one in self.layers()
        ]

    def holding(self, layers: Sequence[Stored]) -> Memory:
        """The same with what has been written; `length` is for the caller to move."""
        kv = KV(
            k=tuple(one.k for one in layers),
            v=tuple(one.v for one in layers),
            k_step=tuple(one.k_step for one in layers),
            v_step=tuple(one.v_step for one in layers),
        )
        return dataclasses.replace(self, kv=kv)
