"""One jitted training step for any objective."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import Mesh, NamedSharding

from chexjax.losses import Rows
from chexjax.mesh import (
    Table,
    compiler_options,
    parameter_names,
    parameter_shardings,
    path_name,
    replicated,
)
from chexjax.models import LORA_TRAINED, LanguageModel, Prefix
from chexjax.train.moving import Reference
from chexjax.train.objectives import Batch, Objective

Metrics = dict[str, jax.Array]
Step = Callable[["TrainState", Batch, Any], tuple["TrainState", Metrics]]
"""(state, batch, learning rate) -> (state, metrics)."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """All that a step changes or needs.

    Attributes:
      step: Steps taken, skipped ones included, `i32[]`.
      skipped: Steps whose loss or gradient was not finite, `i32[]`.
      trainable: Parameters that are optimised.
      frozen: Parameters that are not; nothing is computed for their gradients.
      optimizer: Optax state of the trainable ones.
      reference: The trainable ones of a reference policy that the step runs; None without it.
    """

    step: jax.Array
    skipped: jax.Array
    trainable: nnx.State
    frozen: nnx.State
    optimizer: optax.OptState
    reference: nnx.State | None = None


def split_params(
    model: LanguageModel, freeze: Sequence[str]
) -> tuple[nnx.GraphDef, nnx.State, nnx.State]:
    """Cuts a model into its graph, what is trained and what is frozen.

    Of a model with adapters nothing but these is trained.

    Raises:
      ValueError: a regex matches no parameter, or nothing is left to train.
    """
    names = parameter_names(nnx.state(model))
    for pattern in freeze:
        if not any(re.search(pattern, name) for name in names):
            raise ValueError(
                f"freeze: {pattern!r} matches no parameter; names look like {names[0]}"
            )

    adapted = any(re.search(LORA_TRAINED, name) for name in names)

    def is_trainable(path: Sequence[Any], _: Any) -> bool:
        name = "/".join(map(str, path))
        frozen = any(re.search(pattern, name) for pattern in freeze)
        return not frozen and (not adapted or re.search(LORA_TRAINED, name) is not None)

    graph, trainable, frozen = nnx.split(model, is_trainable, ...)  # type: ignore[misc]
    if not jax.tree.leaves(trainable):
        raise ValueError(f"freeze={tuple(freeze)} leaves nothing to train")
    return graph, trainable, frozen


def init_state(
    trainable: nnx.State,
    frozen: nnx.State,
    optimizer: optax.GradientTransformationExtraArgs,
    *,
    reference: bool = False,
) -> TrainState:
    """The state before the first step, with a copy of the policy as `reference` if asked for."""
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        skipped=jnp.zeros((), jnp.int32),
        trainable=trainable,
        frozen=frozen,
        optimizer=optimizer.init(trainable),
        reference=jax.tree.map(jnp.copy, trainable) if reference else None,
    )


def state_shardings(state: TrainState, table: Table, mesh: Mesh) -> Any:
    """Where a (possibly abstract) state lives; moments lie with their parameters."""
    whole = replicated(mesh)

    def moments(path: Sequence[Any], leaf: Any) -> Any:
        if leaf.ndim == 0:
            return whole
        return parameter_shardings({path_name(path): leaf}, table, mesh)[path_name(path)]

    places: Any = dict(
        step=whole,
        skipped=whole,
        trainable=parameter_shardings(state.trainable, table, mesh),
        frozen=parameter_shardings(state.frozen, table, mesh),
        optimizer=jax.tree_util.tree_map_with_path(moments, state.optimizer),
        reference=state.reference and parameter_shardings(state.reference, table, mesh),
    )
    return TrainState(**places)


def placed_state(
    trainable: nnx.State,
    frozen: nnx.State,
    optimizer: optax.GradientTransformationExtraArgs,
    reference: bool,
    table: Table,
    mesh: Mesh,
) -> tuple[TrainState, TrainState]:
    """The state before the first step, on its devices, and where its parts lie."""
    first = functools.partial(init_state, optimizer=optimizer, reference=reference)
    places = state_shardings(jax.eval_shape(first, trainable, frozen), table, mesh)
    return jax.jit(first, out_shardings=places)(trainable, frozen), places


def make_step(
    graph: nnx.GraphDef,
    objective: Objective,
    optimizer: optax.GradientTransformationExtraArgs,
    *,
    accumulate: int,
    places: TrainState | None = None,
) -> Step:
    """The jitted step; it consumes the state that it is given.

    The new state lies at `places` (see `state_shardings`), so that it is a state for the same
    compiled step again; left to the compiler without them.

    The loss is the sum of values over the sum of weights of the whole global batch, so neither
    micro-batches nor devices change it. A step whose loss or gradient is not finite leaves
    parameters and moments as they were and is counted.
    """

    def step(state: TrainState, batch: Batch, rate: jax.Array) -> tuple[TrainState, Metrics]:
        def policy(trainable: nnx.State) -> LanguageModel:
            model: LanguageModel = nnx.merge(graph, trainable, state.frozen)
            return model

        def anchored(micro: Batch) -> Batch:
            if state.reference is None:
                return micro
            shares = not _trains_tower(state.trainable)
            return _anchored(objective, policy(state.reference), micro, shares_tower=shares)

        def share(micro: Batch) -> Any:
            return objective.shared(policy(state.trainable), anchored(micro))

        shared = _over_parts(share, batch, accumulate)

        def summed(trainable: nnx.State, micro: Batch) -> tuple[jax.Array, Rows]:
            rows = objective(policy(trainable), micro, shared)
            return rows.value.sum(), rows

        def totals(micro: Batch) -> Any:
            grads, rows = jax.grad(summed, has_aux=True)(state.trainable, anchored(micro))
            return grads, (rows.value.sum(), rows.weight.sum(), rows.metrics)

        grads, (value, weight, metrics) = _accumulated(totals, batch, accumulate)
        weight = jnp.maximum(weight, 1.0)
        grads = jax.tree.map(lambda g: g * (1 / weight), grads)
        norm = optax.tree.norm(grads)
        finite = jnp.isfinite(value) & jnp.isfinite(norm)
        new = _updated(state, grads, optimizer, rate, finite, objective.reference)
        named = {name: total / jnp.maximum(count, 1.0) for name, (total, count) in metrics.items()}
        return new, named | {
            "loss": value / weight,
            "grad_norm": norm,
            "lr": rate,
            "skipped": new.skipped,
        }

    mesh = cast(NamedSharding, places.step).mesh if places else None
    options = compiler_options(mesh) if isinstance(mesh, Mesh) else None
    return jax.jit(step, donate_argnums=0, out_shardings=(places, None), compiler_options=options)


def _updated(
    state: TrainState,
    grads: Any,
    optimizer: optax.GradientTransformationExtraArgs,
    rate: jax.Array,
    finite: jax.Array,
    reference: Reference | None,
) -> TrainState:
    """The state behind a step; as it was, but for the counts, where the step is not finite."""
    directions, moments = optimizer.update(grads, state.optimizer, state.trainable, finite=finite)
    updates = jax.tree.map(lambda d: -rate * d, directions)

    def keep(new: jax.Array, old: jax.Array) -> jax.Array:
        return jnp.where(finite, new, old)

    number, beside = state.step + 1, state.reference
    trainable = jax.tree.map(keep, optax.apply_updates(state.trainable, updates), state.trainable)
    if reference is not None and beside is not None:
        beside = reference.followed(beside, trainable, number)
    return TrainState(
        step=number,
        skipped=state.skipped + ~finite,
        trainable=trainable,
        frozen=state.frozen,
        optimizer=moments,
        reference=beside,
    )


def _anchored(
    objective: Objective, reference: LanguageModel, batch: Batch, *, shares_tower: bool
) -> Batch:
    """A batch with what the reference says of it; a tower that both policies share runs once."""
    if shares_tower:
        prefix = reference.seen(Prefix(**batch["prefix"]))
        batch = {**batch, "prefix": vars(prefix)}
    return objective.with_reference(reference, batch)


def _trains_tower(trainable: nnx.State) -> bool:
    return any(name.startswith("vision/") for name in parameter_names(trainable))


def _parts(batch: Batch, count: int) -> Batch:
    """Micro-batches on a new first axis; each has every `count`-th row, so all devices share it."""
    return jax.tree.map(lambda x: x.reshape(-1, count, *x.shape[1:]).swapaxes(0, 1), batch)


def _over_parts(function: Callable[[Batch], Any], batch: Batch, count: int) -> Any:
    """Arrays with a row axis, made micro-batch by micro-batch; rows in the order of these."""
    if count == 1:
        return function(batch)
    made = jax.lax.map(function, _parts(batch, count))
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), made)


def _accumulated(totals: Callable[[Batch], Any], batch: Batch, count: int) -> Any:
    """Sums over micro-batches."""
    if count == 1:
        return totals(batch)
    parts = _parts(batch, count)

    def add(total: Any, micro: Batch) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, totals(micro)), None

    shapes = jax.eval_shape(totals, jax.tree.map(lambda x: x[0], parts))
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    return jax.lax.scan(add, zeros, parts)[0]
