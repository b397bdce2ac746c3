"""Prompts and their responses as one matrix of tokens.

Linear layers are fastest on one large matrix, and the gradient of a kernel is then summed once:
a sheet holds the prefixes of a group of pairs and behind them their responses' real tokens.
Attention alone sees who shares which prefix.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from chexjax.ops.packing import Packing


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Place:
    """Where tokens stand.

    Attributes:
      positions: `i32[*batch, T]`.
      valid: False for padding, `bool[*batch, T]`.
    """

    positions: jax.Array
    valid: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Sheet:
    """The tokens of G groups, `[G, M, *]`: M counts B / G prefixes of P tokens and C packed rows.

    Attributes:
      prefix: `[B, P]`.
      responses: `[B, N, R]`.
      packing: Of the responses.
    """

    prefix: Place
    responses: Place
    packing: Packing

    def join(self, prefix: jax.Array, responses: jax.Array) -> jax.Array:
        """`[B, P, *]` and `[B, N, R, *]` to `[G, M, *]`."""
        rows = self.packing.pack(responses)
        first = prefix.reshape(rows.shape[0], -1, *prefix.shape[2:])
        return jnp.concatenate([first, rows], axis=1)

    def split(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The way back."""
        return self.head(x), self.grid(self.tail(x))

    def head(self, x: jax.Array) -> jax.Array:
        """The prefixes, `[G, M, *] -> [B, P, *]`."""
        return x[:, : self._first(x)].reshape(*self.prefix.valid.shape, *x.shape[2:])

    def tail(self, x: jax.Array) -> jax.Array:
        """The responses' rows, `[G, M, *] -> [G, C, *]`."""
        return x[:, self._first(x) :]

    def grid(self, rows: jax.Array) -> jax.Array:
        """`[G, C, *] -> [B, N, R, *]`."""
        return self.packing.unpack(rows, self.responses.valid.shape)

    def _first(self, x: jax.Array) -> int:
        return self.prefix.valid.size // x.shape[0]
