"""Batched generation: one prefill a study, N continuations decoded side by side.

The prefix cache has batch `[B]` and is shared by the N continuations, whose own cache has
`[B, N]`. Nothing is copied per continuation.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx

from chexjax.engine.sampling import Sampler, fold_step
from chexjax.models import Cache, LanguageModel, Prefix
from chexjax.ops.attention import Segment


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Generation:
    """What was written.

    Attributes:
      tokens: Ids up to and with the end token, then padding, `i32[B, N, R]`.
      lengths: Tokens written, the end token included, `i32[B, N]`.
      finished: True where the end token came, False where the limit did, `bool[B, N]`.
      logps: Log-probability of each token under the untempered policy, `f32[B, N, R]`.
    """

    tokens: jax.Array
    lengths: jax.Array
    finished: jax.Array
    logps: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _Decoding:
    step: jax.Array
    last: jax.Array
    own: Cache
    result: Generation


Generate = Callable[[Prefix, jax.Array, jax.Array], Generation]


def make_generate(model: LanguageModel, sampler: Sampler, *, end: int, limit: int) -> Generate:
    """A jitted generator.

    Args:
      model: The policy.
      sampler: How tokens are drawn.
      end: Id that ends a report.
      limit: Most tokens of a report, R.

    Returns:
      `(prefix, last prompt token i32[B], key[B, N]) -> Generation`.
    """
    graph, params = nnx.split(model)

    @jax.jit
    def generate(params: nnx.State, prefix: Prefix, last: jax.Array, keys: jax.Array) -> Generation:
        return _generate(nnx.merge(graph, params), sampler, end, limit, prefix, last, keys)

    return lambda prefix, last, keys: generate(params, prefix, last, keys)


def _generate(
    model: LanguageModel,
    sampler: Sampler,
    end: int,
    limit: int,
    prefix: Prefix,
    last: jax.Array,
    keys: jax.Array,
) -> Generation:
    prompt = model.prefill(prefix)
    shape = keys.shape
    start = prefix.length[:, None]
    one = jnp.ones((*shape, 1), bool)

    def unfinished(state: _Decoding) -> jax.Array:
        return (state.step < limit) & ~state.result.finished.all()

    def advance(state: _Decoding) -> _Decoding:
        t = state.step
        position = jnp.broadcast_to(start + t, shape)
        hidden, new = model.extend(position, state.last[..., None], one, (prompt, state.own))
        logits = model.logits(hidden)[..., 0, :].astype(jnp.float32)
        token = sampler.draw(fold_step(keys, t), logits)
        logp = jnp.take_along_axis(jax.nn.log_softmax(logits), token[..., None], -1)[..., 0]
        return _Decoding(t + 1, token, _append(state.own, new, t), _record(state, token, logp))

    def _record(state: _Decoding, token: jax.Array, logp: jax.Array) -> Generation:
        result, t = state.result, state.step
        active = ~result.finished
        return Generation(
            tokens=result.tokens.at[..., t].set(jnp.where(active, token, end)),
            lengths=result.lengths + active,
            finished=result.finished | (token == end),
            logps=result.logps.at[..., t].set(jnp.where(active, logp, 0.0)),
        )

    empty = Generation(
        tokens=jnp.full((*shape, limit), end, jnp.int32),
        lengths=jnp.zeros(shape, jnp.int32),
        finished=jnp.zeros(shape, bool),
        logps=jnp.zeros((*shape, limit), jnp.float32),
    )
    first = _Decoding(
        step=jnp.zeros((), jnp.int32),
        last=jnp.broadcast_to(last[:, None], shape).astype(jnp.int32),
        own=_empty_cache(prompt, shape, limit),
        result=empty,
    )
    return jax.lax.while_loop(unfinished, advance, first).result


def _empty_cache(prompt: Cache, shape: tuple[int, ...], limit: int) -> Cache:
    """Room for `limit` tokens of each continuation."""

    def room(segment: Segment, layers: tuple[int, ...]) -> Segment:
        heads = segment.k.shape[-2:]
        empty = jnp.zeros((*layers, *shape, limit, *heads), segment.k.dtype)
        return Segment(
            k=empty,
            v=empty,
            positions=jnp.zeros((*layers, *shape, limit), jnp.int32),
            valid=jnp.zeros((*layers, *shape, limit), bool),
        )

    return Cache(body=room(prompt.body, prompt.body.k.shape[:1]), last=room(prompt.last, ()))


def _append(cache: Cache, new: Cache, step: jax.Array) -> Cache:
    """Writes the segments of one token at `step`."""

    def put(room: jax.Array, token: jax.Array, axis: int) -> jax.Array:
        return jax.lax.dynamic_update_slice_in_dim(room, token, step, room.ndim + axis)

    def write(room: Segment, token: Segment) -> Segment:
        return Segment(
            k=put(room.k, token.k, -3),
            v=put(room.v, token.v, -3),
            positions=put(room.positions, token.positions, -1),
            valid=put(room.valid, token.valid, -1),
        )

    return Cache(body=write(cache.body, new.body), last=write(cache.last, new.last))
