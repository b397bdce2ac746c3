"""Log-probabilities of given tokens, computed in chunks of rows.

Logits of all tokens at once would be the largest array of a training step by far. Rows meet
the vocabulary projection chunk by chunk instead. The backward pass computes each chunk's logits
again, or keeps probabilities where memory is plenty.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

_BLOCKS = 128
"""Most blocks of a row of logits that are summed one by one."""

Head = Callable[[Any, Any, jax.Array], jax.Array]
"""Maps parameters, constants and hidden states `[G, M, D]` to logits `[G, M, V]`."""


def token_logprobs(
    head: Head,
    params: Any,
    constants: Any,
    hidden: jax.Array,
    targets: jax.Array,
    *,
    chunk: int = 1024,
    keep: bool = False,
) -> jax.Array:
    """Log-probability of each target token, differentiable in `params` and `hidden`.

    Args:
      head: The vocabulary projection.
      params: What of it can have a gradient.
      constants: What cannot, such as an int8 kernel.
      hidden: `[G, M, D]`.
      targets: `i32[G, M]`.
      chunk: Most rows of each group that meet the vocabulary at a time.
      keep: Keep the exponentials of the logits for the backward pass, `[G, M, V]` in the dtype of
        `hidden`, and save a quarter of all arithmetic. As they all exist, there are no chunks.

    Returns:
      `f32[G, M]`.
    """
    count = targets.shape[1]
    chunks = 1 if keep else -(-count // chunk)
    padding = ((0, 0), (0, -count % chunks))  # chunks of equal size pad the least
    rows, tokens = jnp.pad(hidden, (*padding, (0, 0))), jnp.pad(targets, padding)
    return _logprobs(head, chunks, keep, params, constants, rows, tokens)[:, :count]


def _in_chunks(x: jax.Array, chunks: int) -> jax.Array:
    """`[G, M, *] -> [chunks, G, M / chunks, *]`."""
    return jnp.moveaxis(x.reshape(x.shape[0], chunks, -1, *x.shape[2:]), 1, 0)


def _whole(x: jax.Array) -> jax.Array:
    """The way back."""
    return jnp.moveaxis(x, 0, 1).reshape(x.shape[1], -1, *x.shape[3:])


def _scan(body: Callable[[Any, Any], Any], carry: Any, inputs: Any, chunks: int) -> Any:
    """`jax.lax.scan`, without a loop and its first carry where there is one chunk alone."""
    if chunks > 1:
        return jax.lax.scan(body, carry, inputs)
    carry, out = body(None, jax.tree.map(lambda x: x[0], inputs))
    return carry, jax.tree.map(lambda x: x[None], out)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _logprobs(
    head: Head,
    chunks: int,
    keep: bool,
    params: Any,
    constants: Any,
    hidden: jax.Array,
    targets: jax.Array,
) -> jax.Array:
    return _forward(head, chunks, False, params, constants, hidden, targets)[0]


def _forward(
    head: Head,
    chunks: int,
    keep: bool,
    params: Any,
    constants: Any,
    hidden: jax.Array,
    targets: jax.Array,
) -> tuple[jax.Array, list[Any]]:
    """Log-probabilities, and of each chunk what a gradient needs: `log(sum(exp))`, exponentials."""

    def body(_: None, chunk: tuple[jax.Array, jax.Array]) -> tuple[None, Any]:
        logits = head(params, constants, chunk[0]).astype(jnp.float32)
        total, weights, tops = _log_sum_exp(logits)
        picked = jnp.take_along_axis(logits, chunk[1][..., None], axis=-1)[..., 0]
        kept = (weights.astype(hidden.dtype), tops) if keep else None
        return None, (picked - total, total, kept)

    rows = (_in_chunks(hidden, chunks), _in_chunks(targets, chunks))
    _, (logps, *kept) = _scan(body, None, rows, chunks)
    return _whole(logps), kept


def _log_sum_exp(logits: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Over a row of V logits, by blocks of them, each with a maximum of its own.

    XLA gives a reduction on a CPU as many threads as its result is large, and a number a row is
    too small for a second one. Barriers keep it from making one reduction of two.

    Returns:
      `log(sum(exp))` `f32[G, M]`, exponentials over the block's maximum `f32[G, M, K, V / K]`, and
      these maxima `f32[G, M, K]`.
    """
    blocks = logits.reshape(*logits.shape[:-1], math.gcd(logits.shape[-1], _BLOCKS), -1)
    tops = jax.lax.optimization_barrier(blocks.max(-1))
    weights = jnp.exp(blocks - tops[..., None])
    sums = jax.lax.optimization_barrier(weights.sum(-1))
    return jax.nn.logsumexp(tops, axis=-1, b=sums), weights, tops


def _for_gradient(
    head: Head, chunks: int, keep: bool, params: Any, constants: Any, hidden: Any, targets: Any
) -> tuple[jax.Array, Any]:
    """The same under differentiation; parameters without a gradient become constants."""
    moving = jax.tree.map(lambda p: p.value if p.perturbed else None, params)
    given = [jax.tree.map(lambda p: p.value, x) for x in (params, constants, hidden, targets)]
    logps, kept = _forward(head, chunks, keep, *given)
    return logps, (moving, *given, kept)


def _backward(
    head: Head, chunks: int, keep: bool, residuals: Any, slopes: Any
) -> tuple[Any, None, Any, None]:
    moving, params, constants, hidden, targets, kept = residuals
    if isinstance(slopes, SymbolicZero):
        return None, None, None, None

    def project(moving: Any, rows: jax.Array) -> jax.Array:
        whole = jax.tree.map(
            lambda m, p: p if m is None else m, moving, params, is_leaf=lambda x: x is None
        )
        return head(whole, constants, rows)

    def body(gradient: Any, chunk: Any) -> tuple[Any, jax.Array]:
        rows, tokens, slope, total, kept = chunk
        # Of a linear head the pull needs no logits: where weights are kept, none are made.
        logits, pull = jax.vjp(project, moving, rows)
        if kept is None:
            falls = slope[..., None] * jnp.exp(logits.astype(jnp.float32) - total[..., None])
        else:
            weights, tops = kept
            scales = slope[..., None] * jnp.exp(tops - total[..., None])
            falls = (scales[..., None] * weights).reshape(logits.shape)
        words = jax.lax.broadcasted_iota(tokens.dtype, logits.shape, logits.ndim - 1)
        hit = jnp.where(words == tokens[..., None], slope[..., None], 0.0)
        of_params, of_rows = pull((hit - falls).astype(logits.dtype))
        if gradient is not None:
            of_params = jax.tree.map(jnp.add, gradient, of_params)
        return of_params, of_rows

    inputs = (*(_in_chunks(x, chunks) for x in (hidden, targets, slopes)), *kept)
    zeros = jax.tree.map(jnp.zeros_like, moving)
    gradient, of_hidden = _scan(body, zeros, inputs, chunks)
    return gradient, None, _whole(of_hidden), None


_logprobs.defvjp(_for_gradient, _backward, symbolic_zeros=True)
