"""A chain of key-value segments, and the same chain as one rectangle of queries and keys.

A chain is a sequence of segments whose batch axes nest: a segment shared by all responses of
a study has `[B]` where the queries have `[B, N]`, and is read where it lies, never copied.
Kernels know no chains, so for them all queries of a study are rows and all its keys columns.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

_FEWEST = 128
"""Queries of a study below which a kernel's blocks would be padding for the most part."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Segment:
    """Keys and values of a run of tokens, with where the tokens stand.

    Attributes:
      k: Rotated keys, `[*batch, S, H, head]`.
      v: Values, `[*batch, S, H, head]`.
      positions: `i32[*batch, S]`.
      valid: False for padding, `bool[*batch, S]`.
    """

    k: jax.Array
    v: jax.Array
    positions: jax.Array
    valid: jax.Array

    @property
    def rank(self) -> int:
        """Batch axes."""
        return self.k.ndim - 3

    @property
    def heads(self) -> int:
        """Heads of keys K."""
        return self.k.shape[-2]

    @property
    def keys(self) -> jax.Array:
        """As a matmul with queries reads them, `[*batch, K, head, S]`."""
        return jnp.moveaxis(self.k, self.rank, -1)

    @property
    def values(self) -> jax.Array:
        """As a matmul with weights reads them, `[*batch, K, S, head]`."""
        return jnp.moveaxis(self.v, self.rank, -2)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Stored:
    """A segment in memory, laid out as decoding reads it: heads outside of tokens.

    Attributes:
      k: Rotated keys, `[*batch, K, head, S]`; int8 where there is a `k_step`.
      v: Values, `[*batch, K, S, head]`; int8 where there is a `v_step`.
      positions: `i32[*batch, S]`.
      valid: False where nothing is stored, `bool[*batch, S]`.
      k_step: What one unit of a token's int8 key is worth, `f32[*batch, K, S]`; or None.
      v_step: The same of its value.
    """

    k: jax.Array
    v: jax.Array
    positions: jax.Array
    valid: jax.Array
    k_step: jax.Array | None = None
    v_step: jax.Array | None = None

    @property
    def rank(self) -> int:
        """Batch axes."""
        return self.k.ndim - 3

    @property
    def heads(self) -> int:
        """Heads of keys K."""
        return self.k.shape[-3]

    @property
    def keys(self) -> jax.Array:
        """`[*batch, K, head, S]`."""
        return self.k

    @property
    def values(self) -> jax.Array:
        """`[*batch, K, S, head]`."""
        return self.v

    def put(self, segment: Segment, at: jax.Array) -> Stored:
        """The same with the keys and values of `[*batch, T]` tokens, from column `at` on.

        Args:
          segment: The tokens; where they stand is known from their columns.
          at: `i32[*batch]`; at most S - T, or older columns are written over.
        """
        k, k_step = _stored(segment.keys, self.k.dtype, -2)
        v, v_step = _stored(segment.values, self.v.dtype, -1)
        return dataclasses.replace(
            self,
            k=_put(self.k, k, at, 2),
            v=_put(self.v, v, at, 1),
            k_step=None if self.k_step is None else _put(self.k_step, k_step, at, 1),
            v_step=None if self.v_step is None else _put(self.v_step, v_step, at, 1),
        )


def _stored(x: jax.Array, dtype: jnp.dtype, head: int) -> tuple[jax.Array, jax.Array]:
    """In the dtype of a memory, and what a unit is worth where that is int8, without `head`."""
    if dtype != jnp.int8:
        return x.astype(dtype), jnp.ones(())
    largest = jnp.abs(x).max(head).astype(jnp.float32)
    step = jnp.where(largest > 0, largest / 127, 1.0)
    whole = jnp.round(x.astype(jnp.float32) / jnp.expand_dims(step, head))
    return whole.astype(jnp.int8), step


def _put(memory: jax.Array, new: jax.Array, at: jax.Array, axis: int) -> jax.Array:
    """Writes `new` into each `memory` of a batch; `axis` is counted behind the batch axes."""

    def put(memory: jax.Array, new: jax.Array, at: jax.Array) -> jax.Array:
        return jax.lax.dynamic_update_slice_in_dim(memory, new, at, axis)

    for _ in range(at.ndim):
        put = jax.vmap(put)
    return put(memory, new, at)


Chain = Sequence[Segment | Stored]


@dataclasses.dataclass(frozen=True)
class Rectangle:
    """Queries and keys of a study side by side.

    Attributes:
      q: `[B, N * T, H, head]`.
      k: Those of all segments, `[B, S, K, head]`.
      v: `[B, S, K, head]`.
      valid: False for padding, `bool[B, S]`; the first key of a study that is all padding counts
        as one, since kernels have no gradient of a softmax over nothing.
      seen: Which query may see which key where it is valid; known while tracing, `bool[N * T, S]`.
      segments: How many segments the keys are of; padding stands at the end of each.
    """

    q: jax.Array
    k: jax.Array
    v: jax.Array
    valid: jax.Array
    seen: np.ndarray
    segments: int


def unfit(q: jax.Array, chain: Chain, causal: bool, window: int | None) -> str | None:
    """Why a chain is no rectangle worth a kernel, or None where it is one; see `rectangle`."""
    batch, tokens = q.shape[:-3], q.shape[-3]
    if any(isinstance(segment, Stored) for segment in chain):
        return "keys lie in memory as decoding reads them"
    if any(segment.valid.shape[:-1] not in (batch[:1], batch) for segment in chain):
        return "segments nest by more than responses in a study"
    if math.prod(batch[1:]) * tokens < _FEWEST:
        return f"a study has {math.prod(batch[1:]) * tokens} queries, fewer than {_FEWEST}"
    if causal and chain[-1].valid.shape != (*batch, tokens):
        return "the queries' own segment is not the chain's last"
    keys = sum(segment.valid.shape[-1] for segment in chain)
    if causal and window is not None and window < keys and len(chain) > 1:
        return f"a window of {window} over {keys} keys is counted across padding"
    mesh = jax.sharding.get_abstract_mesh()
    if not mesh.empty and batch[0] % (mesh.shape["data"] * mesh.shape["fsdp"]):
        return f"a batch of {batch[0]} cannot be split over data and fsdp"
    heads = chain[0].heads
    if not mesh.empty and heads % mesh.shape["tensor"]:
        return f"{heads} heads of keys cannot be split over tensor"
    return None


def rectangle(
    q: jax.Array, chain: Sequence[Segment], *, causal: bool, window: int | None
) -> Rectangle:
    """Lays a chain out for a kernel, where nothing is `unfit`.

    Who sees whom is known from shapes alone, because of what holds of every chain: the tokens of a
    segment stand in order, those of earlier segments before the queries, and the last segment of a
    causal chain is the queries' own.

    Args:
      q: `[B, *own, T, H, head]`.
      chain: Segments of batch `[B]` or `[B, *own]`.
      causal: A query sees keys at its own position and before.
      window: A causal query sees the keys of this many positions.
    """
    count, tokens = math.prod(q.shape[1:-3]), q.shape[-3]
    response, place = np.divmod(np.arange(count * tokens), tokens)
    columns = []
    for segment in chain:
        groups, length = math.prod(segment.valid.shape[1:-1]), segment.valid.shape[-1]
        group, key = np.divmod(np.arange(groups * length), length)
        shared = segment.valid.ndim == 2
        seen = np.equal.outer(np.zeros_like(response) if shared else response, group)
        if causal and segment is chain[-1]:
            back = np.subtract.outer(place, key)
            seen &= (back >= 0) & (back < (window or len(place)))
        columns.append(seen)
    valid = jnp.concatenate([_rows(segment.valid, 0) for segment in chain], axis=1)
    return Rectangle(
        q=_rows(q, 2),
        k=jnp.concatenate([_rows(segment.k, 2) for segment in chain], axis=1),
        v=jnp.concatenate([_rows(segment.v, 2) for segment in chain], axis=1),
        valid=valid.at[:, 0].set(valid[:, 0] | ~valid.any(1)),
        seen=np.concatenate(columns, axis=1),
        segments=len(chain),
    )


def _rows(x: jax.Array, trailing: int) -> jax.Array:
    """All axes between the first and the `trailing` last ones as one."""
    return x.reshape(x.shape[0], -1, *x.shape[x.ndim - trailing :])


def padded(laid: Rectangle, queries: int, keys: int) -> Rectangle:
    """The rectangle at a size that a kernel takes.

    Added keys are padding that nobody sees; added queries see what the last one sees, so that no
    softmax is over nothing.
    """
    down, right = queries - laid.q.shape[1], keys - laid.k.shape[1]

    def fill(x: jax.Array, more: int) -> jax.Array:
        return jnp.pad(x, ((0, 0), (0, more)) + ((0, 0),) * (x.ndim - 2))

    seen = np.pad(np.pad(laid.seen, ((0, down), (0, 0)), mode="edge"), ((0, 0), (0, right)))
    return Rectangle(
        q=fill(laid.q, down),
        k=fill(laid.k, right),
        v=fill(laid.v, right),
        valid=fill(laid.valid, right),
        seen=seen,
        segments=laid.segments,
    )


Kernel = Callable[[jax.Array, jax.Array, jax.Array, jax.Array], jax.Array]
"""(q, k, v, valid) of a rectangle to `[B, N * T, H, head]`."""


def on_each_device(kernel: Kernel, laid: Rectangle) -> jax.Array:
    """Runs a kernel on each device's own studies and heads; partitioners cannot cut kernels."""
    mesh = jax.sharding.get_abstract_mesh()
    if not mesh.empty and mesh.size > 1:
        rows = PartitionSpec(("data", "fsdp"))
        heads = PartitionSpec(*rows, None, "tensor")
        places = (heads, heads, heads, rows)
        kernel = jax.shard_map(kernel, in_specs=places, out_specs=heads, check_vma=False)
    return kernel(laid.q, laid.k, laid.v, laid.valid)
