"""Ragged responses as rows of one matrix, and back.

A grid of responses `[B, N, R]` is cut into G groups of as many rows of the batch each, one or more
for every device that shares the batch. The real tokens of a group are packed into the C rows of a
matrix; linear layers and the vocabulary see these rows, attention sees the grid.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Packing:
    """Which slot of the grid stands in which row.

    Attributes:
      rows: Slot of each row within its group, `i32[G, C]`, and S where a row holds nothing. None
        where every slot is a row, and every row of the batch a group.
      slots: Row of each slot, `i32[G, S]`, and C where a slot holds nothing; S is B / G * N * R.
    """

    rows: jax.Array | None
    slots: jax.Array | None

    @classmethod
    def of(cls, mask: jax.Array, rows: jax.Array | None) -> Packing:
        """The packing of real tokens `bool[B, N, R]` into `rows`, in which they stand in order."""
        if rows is None:
            return ALL
        real = mask.reshape(rows.shape[0], -1)
        return cls(rows, jnp.where(real, jnp.cumsum(real, axis=1) - 1, rows.shape[1]))

    def pack(self, x: jax.Array) -> jax.Array:
        """`[B, N, R, *] -> [G, C, *]`, zero in rows that hold nothing."""
        if self.rows is None or self.slots is None:
            return x.reshape(x.shape[0], -1, *x.shape[3:])
        return _take(x.reshape(self.rows.shape[0], -1, *x.shape[3:]), self.rows, self.slots)

    def unpack(self, x: jax.Array, grid: tuple[int, ...]) -> jax.Array:
        """`[G, C, *] -> [B, N, R, *]`, zero in slots that hold nothing; `grid` is (B, N, R)."""
        if self.rows is not None and self.slots is not None:
            x = _take(x, self.slots, self.rows)
        return x.reshape(*grid, *x.shape[2:])


ALL = Packing(None, None)
"""Every slot is a row."""


@jax.custom_vjp
def _take(x: jax.Array, there: jax.Array, back: jax.Array) -> jax.Array:
    """`x: [G, S, *]` at `there: i32[G, C]`, zero where that is out of range.

    The gradient is taken the other way by `back`: a scatter would be slow.
    """
    index = there.reshape(*there.shape, *(1 for _ in x.shape[2:]))
    return jnp.take_along_axis(x, index, axis=1, mode="fill", fill_value=0)


def _forward(
    x: jax.Array, there: jax.Array, back: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _take(x, there, back), (there, back)


def _backward(ways: tuple[jax.Array, jax.Array], g: jax.Array) -> tuple[jax.Array, None, None]:
    there, back = ways
    return _take(g, back, there), None, None


_take.defvjp(_forward, _backward)
