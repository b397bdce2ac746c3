"""Attention on NVIDIA GPUs: cuDNN's fused kernels, as JAX offers them.

Neither their residual nor their log-sum-exp is asked for: that would carry no gradient.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from chexjax.ops.chain import Rectangle, on_each_device, padded

_EVEN = 8
"""Sides of a rectangle are multiples of this; cuDNN's backward refuses odd ones."""


def unfit_for_cudnn(q: jax.Array) -> str | None:
    """Why cuDNN has no kernel for queries `[..., head]`, or None where it has."""
    if q.dtype not in (jnp.bfloat16, jnp.float16):
        return f"cuDNN takes bfloat16 and float16, not {q.dtype}"
    if q.shape[-1] % 8 or q.shape[-1] > 128:
        return f"cuDNN takes heads of a multiple of 8 up to 128, not {q.shape[-1]}"
    return None


def cudnn(laid: Rectangle) -> jax.Array:
    """Softmax attention over a rectangle.

    Where it is one segment, read whole or causally, cuDNN is told lengths and skips what is masked;
    otherwise it reads a mask `[B, 1, N * T, S]`, which all heads share.

    Returns:
      `[B, N * T, H, head]`.
    """
    causal = np.array_equal(laid.seen, np.tri(*laid.seen.shape, dtype=bool))
    count = laid.q.shape[1]
    whole = padded(laid, *(-(-side // _EVEN) * _EVEN for side in laid.seen.shape))
    if laid.segments == 1 and (causal or laid.seen.all()):

        def kernel(q: jax.Array, k: jax.Array, v: jax.Array, valid: jax.Array) -> jax.Array:
            lengths = valid.sum(-1, dtype=jnp.int32)
            return jax.nn.dot_product_attention(
                q, k, v, is_causal=causal, key_value_seq_lengths=lengths, implementation="cudnn"
            )

        return on_each_device(kernel, whole)[:, :count]

    def masked(q: jax.Array, k: jax.Array, v: jax.Array, valid: jax.Array) -> jax.Array:
        mask = valid[:, None, None, :] & whole.seen
        return jax.nn.dot_product_attention(q, k, v, mask=mask, implementation="cudnn")

    return on_each_device(masked, whole)[:, :count]
