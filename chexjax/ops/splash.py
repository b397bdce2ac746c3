"""Attention on TPU: JAX's splash kernels, which never write scores to memory.

Blocks of keys that no query of a block sees are skipped. What is not known while tracing, the
padding, comes in as segment ids. The gradient is the library's own.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.pallas.ops.tpu import splash_attention as library

from chexjax.ops.chain import Rectangle, on_each_device, padded

_LANES = 128
_BLOCK = 512


def splash(laid: Rectangle, *, interpret: bool = False) -> jax.Array:
    """Softmax attention over a rectangle.

    Args:
      laid: Of any float dtype.
      interpret: Run the kernels step by step, on any device.

    Returns:
      `[B, N * T, H, head]`.
    """
    count, head = laid.q.shape[1], laid.q.shape[-1]
    rows, columns = _block(count), _block(laid.k.shape[1])
    whole = padded(laid, -(-count // rows) * rows, -(-laid.k.shape[1] // columns) * columns)

    def kernel(q: jax.Array, k: jax.Array, v: jax.Array, valid: jax.Array) -> jax.Array:
        attention = _kernel(whole.seen, rows, columns, interpret)
        q, k, v = (jnp.swapaxes(x, 1, 2) for x in (q * jnp.asarray(head**-0.5, q.dtype), k, v))
        ids = library.SegmentIds(
            q=jnp.ones((len(q), q.shape[2]), jnp.int32), kv=valid.astype(jnp.int32)
        )
        return jnp.swapaxes(jax.vmap(attention)(q, k, v, ids), 1, 2)

    return on_each_device(kernel, whole)[:, :count]


def _block(length: int) -> int:
    """The largest block that cuts a run of tokens with little padding."""
    blocks = -(-length // _BLOCK)
    return -(-length // (blocks * _LANES)) * _LANES


def _kernel(seen: np.ndarray, rows: int, columns: int, interpret: bool) -> Callable[..., jax.Array]:
    sizes = library.BlockSizes(
        block_q=rows,
        block_kv=columns,
        block_q_dkv=rows,
        block_kv_dkv=columns,
        block_q_dq=rows,
        block_kv_dq=columns,
    )
    kernel: Callable[..., jax.Array] = library.make_splash_mha(
        library.MultiHeadMask([library.NumpyMask(seen)]),  # one stands for all heads
        block_sizes=sizes,
        head_shards=1,
        q_seq_shards=1,
        interpret=interpret,
    )
    return kernel
