"""What runs on the devices: reading prompts into memory, and writing tokens from it.

Memory of a pool is `[L, G]` groups, `[L, G, N]` rows: L lanes, each of which reads one prompt
while the others read theirs, G groups of N rows in each lane. A lane lies on one shard of the
data axes, so nothing that is stored moves.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec

from chexjax.engine.drafting import Texts
from chexjax.engine.sampling import Draws
from chexjax.families import BlockSpec
from chexjax.models import KV, LanguageModel, Memory, Prefix


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Place:
    """Where lanes read to.

    Attributes:
      group: Group of each lane, `i32[L]`.
      active: Whether the lane reads anything, `bool[L]`.
      at: Tokens that stand there already, `i32[L]`.
    """

    group: jax.Array
    active: jax.Array
    at: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Rows:
    """Where the rows of a pool are.

    Attributes:
      prefix: Tokens of each group's prefix, `i32[L, G]`.
      length: Tokens of each row that stand in memory, `i32[L, G, N]`.
      last: The token behind them, `i32[L, G, N]`.
      written: Tokens that were written before, `i32[L, G, N]`.
      draws: How tokens are drawn.
    """

    prefix: jax.Array
    length: jax.Array
    last: jax.Array
    written: jax.Array
    draws: Draws

    def after(self, made: Steps) -> Rows:
        """The same behind one step."""
        last = jnp.take_along_axis(made.tokens, made.count[..., None] - 1, -1)[..., 0]
        return dataclasses.replace(
            self, last=last, length=self.length + made.count, written=self.written + made.count
        )


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Steps:
    """What steps have written, with a first axis over steps and K drafted tokens in each.

    Attributes:
      tokens: `i32[*batch, 1 + K]`, of which the first `count` are written.
      logps: Their log-probabilities, `f32[*batch, 1 + K]`.
      count: `i32[*batch]`, from 1 to 1 + K.
      margins: How far each is above all others, in logits, `f32[*batch, 1 + K]`; negative where
        another is likelier. None where nothing is drafted.
    """

    tokens: jax.Array
    logps: jax.Array
    count: jax.Array
    margins: jax.Array | None = None


def make_room(block: BlockSpec, layers: int, batch: tuple[int, ...], room: int, dtype: Any) -> KV:
    """Empty memory `[*batch]`, its lanes and heads split as those of the mesh in context."""
    make = functools.partial(KV.empty, block, layers, batch, room, dtype)
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty:
        return make()
    empty: KV = jax.jit(make, out_shardings=_place_of_room(block, batch, mesh))()
    return empty


def room_shapes(
    block: BlockSpec, layers: int, batch: tuple[int, ...], room: int, dtype: Any, mesh: Mesh
) -> KV:
    """What `make_room` makes on a mesh, as shapes with their places; nothing is allocated."""
    place = NamedSharding(mesh, _place_of_room(block, batch, mesh))
    shapes = jax.eval_shape(functools.partial(KV.empty, block, layers, batch, room, dtype))
    placed: KV = jax.tree.map(lambda x: x.update(sharding=place), shapes)
    return placed


def _place_of_room(
    block: BlockSpec, batch: tuple[int, ...], mesh: Mesh | AbstractMesh
) -> PartitionSpec:
    lanes = [("data", "fsdp"), *[None] * (len(batch) - 1)] if batch else []
    heads = "tensor" if (block.kv // block.head) % mesh.shape["tensor"] == 0 else None
    return PartitionSpec(*lanes, heads)


class Programs:
    """The jitted functions over one model; what is compiled is shared by all models of a shape."""

    def __init__(self, model: LanguageModel) -> None:
        """Takes an unrolled model."""
        graph, self.params = nnx.split(model)
        self.read_preamble = functools.partial(_READ_PREAMBLE, graph, self.params)
        self.read_prefix = functools.partial(_READ_PREFIX, graph, self.params)
        self.read_rows = functools.partial(_READ_ROWS, graph, self.params)
        self.write = functools.partial(_WRITE, graph, self.params)


def _read_preamble(model: LanguageModel, memory: Memory, tokens: jax.Array) -> Memory:
    """Some of the preamble, `i32[T]`."""
    memory = model.extend(tokens, (), memory)[1]
    return dataclasses.replace(memory, length=memory.length + tokens.shape[-1])


def _read_prefix(
    model: LanguageModel, preamble: Memory | None, pool: KV, place: Place, prefix: Prefix
) -> KV:
    """One chunk of a prefix in each lane, `[L, T]`; visual tokens are made on the way."""
    memory = Memory(_taken(pool, place), _start(preamble, place.at), place.at)
    read = model.prefill(prefix, _chain(preamble), memory)
    return _given(pool, read.kv, place)


def _read_rows(
    model: LanguageModel,
    preamble: Memory | None,
    prefixes: tuple[KV, jax.Array] | None,
    pool: KV,
    place: Place,
    tokens: jax.Array,
) -> KV:
    """One chunk of all rows of a group in each lane, `[L, N, T]`."""
    chain, start = _chain(preamble), _start(preamble, place.at)
    if prefixes is not None:
        kv, length = prefixes
        length = _each(jax.lax.dynamic_index_in_dim, length, place.group)
        chain += (Memory(_taken(kv, place), start, length),)
        start = start + length
    shape = tokens.shape[:-1]
    at, start = (jnp.broadcast_to(x[:, None], shape) for x in (place.at, start))
    read = model.extend(tokens, chain, Memory(_taken(pool, place), start, at))[1]
    return _given(pool, read.kv, place)


def _write(
    model: LanguageModel,
    preamble: Memory | None,
    prefixes: KV | None,
    pool: KV,
    rows: Rows,
    texts: Texts | None,
    *,
    steps: int,
    draft: int,
    trust: float,
) -> tuple[KV, Steps]:
    """Takes `steps` steps with every row, in each of which the model reads `draft` tokens more.

    A fixed one of these is taken unless the model gives it less than `trust`.
    """
    chain, start = _chain(preamble), _start(preamble, rows.prefix)
    if prefixes is not None:
        chain += (Memory(prefixes, start, rows.prefix),)
        start = start + rows.prefix
    start = jnp.broadcast_to(start[..., None], rows.last.shape)

    def step(carry: tuple[KV, Rows, Texts | None], _: None) -> tuple[Any, Steps]:
        pool, rows, texts = carry
        asked, drafted = rows.last[..., None], None
        if texts is not None:
            drafted = texts.draft(draft + 1)  # the last is not read, but may be fixed
            asked = jnp.concatenate([asked, jnp.maximum(drafted[0][..., :-1], 0)], -1)
        read, memory = model.extend(asked, chain, Memory(pool, start, rows.length))
        made = _chosen(model.logits(read).astype(jnp.float32), rows, drafted, trust)
        if texts is not None:
            texts = texts.add(made.tokens, made.count)
        return (memory.kv, rows.after(made), texts), made

    (pool, _, _), made = jax.lax.scan(step, (pool, rows, texts), None, length=steps)
    return pool, jax.tree.map(_everywhere, made)


def _chosen(
    logits: jax.Array, rows: Rows, drafted: tuple[jax.Array, jax.Array] | None, trust: float
) -> Steps:
    """What is written behind the last token, and behind drafted ones as far as they are right.

    Args:
      logits: Behind each token read, `f32[*batch, 1 + K, V]`.
      rows: Where the rows are.
      drafted: 1 + K tokens of each, and which of them are fixed; see `Texts.draft`.
      trust: The least probability at which a fixed token is taken.
    """
    tokens = rows.draws.tokens(rows.written[..., None] + jnp.arange(logits.shape[-2]), logits)
    total = jax.nn.logsumexp(logits, axis=-1)
    if drafted is None:
        logps = _of(logits, tokens) - total
        return Steps(tokens, logps, count=jnp.ones(tokens.shape[:-1], jnp.int32))
    ids, fixed = drafted
    likely = _of(logits, jnp.maximum(ids, 0)) - total >= math.log(trust)
    tokens = jnp.where(fixed & likely, ids, tokens)
    chosen, index = _of(logits, tokens), jnp.arange(logits.shape[-1])
    others = jnp.where(index == tokens[..., None], -jnp.inf, logits).max(-1)
    count = 1 + jnp.cumprod((tokens == ids)[..., :-1], -1).sum(-1)
    return Steps(tokens, chosen - total, count, margins=chosen - others)


def _of(logits: jax.Array, tokens: jax.Array) -> jax.Array:
    """The logits of tokens, `f32[*batch]`."""
    return jnp.take_along_axis(logits, tokens[..., None], -1)[..., 0]


def _everywhere(x: jax.Array) -> jax.Array:
    """On every device of the mesh in context, for every process to read."""
    mesh = jax.sharding.get_abstract_mesh()
    return x if mesh.empty else jax.lax.with_sharding_constraint(x, PartitionSpec())


def _chain(preamble: Memory | None) -> tuple[Memory, ...]:
    return () if preamble is None else (preamble,)


def _start(preamble: Memory | None, like: jax.Array) -> jax.Array:
    """The position behind the preamble, of the shape of `like`."""
    return jnp.zeros_like(like) + (0 if preamble is None else preamble.length)


def _each(function: Any, *args: Any) -> Any:
    """A function of an array and an index, in every lane; the indexed axis goes."""
    return jax.vmap(functools.partial(function, axis=0, keepdims=False))(*args)


def _taken(pool: KV, place: Place) -> KV:
    """The group of each lane, `[L, G, ...] -> [L, ...]`."""
    return jax.tree.map(lambda x: _each(jax.lax.dynamic_index_in_dim, x, place.group), pool)


def _given(pool: KV, groups: KV, place: Place) -> KV:
    """The pool with those groups of the active lanes."""

    def put(pool: jax.Array, new: jax.Array, group: jax.Array, active: jax.Array) -> jax.Array:
        old = jax.lax.dynamic_index_in_dim(pool, group, keepdims=False)
        kept = jnp.where(active, new, old)
        return jax.lax.dynamic_update_index_in_dim(pool, kept, group, 0)

    return jax.tree.map(
        lambda pool, new: jax.vmap(put)(pool, new, place.group, place.active), pool, groups
    )


def _program(function: Any, *, memory: int, static: Sequence[str] = ()) -> Any:
    """Jits a function of a model and more, whose argument number `memory` is written in place.

    The model comes as its graph, by value, and its parameters, so that a second engine compiles
    nothing anew.
    """

    def run(graph: nnx.GraphDef[LanguageModel], params: nnx.State, *args: Any, **more: Any) -> Any:
        return function(nnx.merge(graph, params), *args, **more)

    return jax.jit(run, static_argnums=0, donate_argnums=memory + 1, static_argnames=static)


_READ_PREAMBLE = _program(_read_preamble, memory=1)
_READ_PREFIX = _program(_read_prefix, memory=2)
_READ_ROWS = _program(_read_rows, memory=3)
_WRITE = _program(_write, memory=3, static=("steps", "draft", "trust"))
