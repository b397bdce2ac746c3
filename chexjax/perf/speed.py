"""How fast the devices that are here multiply, and add up over each other.

Each is one program of a few seconds at most, in which the work is done many times over, so that
starting it does not count. All devices of a mesh work at once, and the slowest of them decides.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from chexjax.mesh import AXES

_TRIES = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Size:
    """Work that a kind of device does in a fraction of a second."""

    width: int
    dtype: Any
    products: int
    bytes: int
    sums: int


_CPU = _Size(width=512, dtype=jnp.float32, products=8, bytes=2**20, sums=4)
_ELSEWHERE = _Size(width=8192, dtype=jnp.bfloat16, products=16, bytes=2**28, sums=8)


def matmul_flops(mesh: Mesh) -> tuple[float, str]:
    """Operations a second of each device, in products of square matrices, and their dtype."""
    size = _size(mesh)
    each = NamedSharding(mesh, PartitionSpec(AXES))
    shape = (mesh.size, size.width, size.width)

    def make() -> tuple[jax.Array, jax.Array]:
        keys = jax.random.split(jax.random.key(0))
        x, w = (jax.random.normal(key, shape, size.dtype) for key in keys)
        return x, w * size.width**-0.5  # a product is as large as its factor

    def run(x: jax.Array, w: jax.Array) -> jax.Array:
        return jax.lax.fori_loop(0, size.products, lambda _, x: x @ w, x)

    factors = jax.jit(make, out_shardings=(each, each))()
    seconds = _seconds(jax.jit(run, out_shardings=each), *factors)
    return 2 * size.width**3 * size.products / seconds, jnp.dtype(size.dtype).name


def all_reduce_bytes(mesh: Mesh, axis: str) -> float:
    """Bytes a second that each device sends in sums along an axis, by the best ring there is.

    Args:
      mesh: Devices.
      axis: One of more than one device.
    """
    size, count = _size(mesh), mesh.shape[axis]
    each = PartitionSpec(AXES)

    @functools.partial(jax.shard_map, mesh=mesh, in_specs=each, out_specs=each, check_vma=False)
    def run(x: jax.Array) -> jax.Array:
        return jax.lax.fori_loop(0, size.sums, lambda _, x: jax.lax.psum(x, axis) / count, x)

    place = NamedSharding(mesh, each)
    shape = (mesh.size, size.bytes // 4)
    numbers = jax.jit(lambda: jnp.ones(shape, jnp.float32), out_shardings=place)()
    sent = 2 * (count - 1) / count * size.bytes * size.sums
    return sent / _seconds(jax.jit(run), numbers)


def _size(mesh: Mesh) -> _Size:
    return _CPU if mesh.devices.flat[0].platform == "cpu" else _ELSEWHERE


def _seconds(run: Callable[..., jax.Array], *args: jax.Array) -> float:
    """The shortest of a few tries, behind one that compiles."""
    run(*args).block_until_ready()
    tries = []
    for _ in range(_TRIES):
        began = time.perf_counter()
        run(*args).block_until_ready()
        tries.append(time.perf_counter() - began)
    return min(tries)
