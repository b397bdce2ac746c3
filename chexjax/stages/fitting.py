"""What the stages that train have in common: examples, steps, the finished policy."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
from flax import nnx

from chexjax.artefacts import Artefact, ArtefactError, Draft, write_atomic
from chexjax.config import ConfigError, steps
from chexjax.data.batches import Plan, make_buckets
from chexjax.data.examples import (
    Collator,
    Example,
    UnusableExample,
    image_slots,
    lengths_of,
    make_example,
    response_lengths,
)
from chexjax.data.mix import Mix
from chexjax.data.packing import Groups, Packer
from chexjax.data.study import Study
from chexjax.data.tokens import Tokens
from chexjax.data.visual import VisualTokens
from chexjax.families import Family
from chexjax.mesh import batch_ways, parameter_names
from chexjax.models import LORA_TRAINED, VLM, LoRAConfig, add_lora, merge_lora
from chexjax.perf import flops
from chexjax.rows import Reject
from chexjax.stages.context import Context
from chexjax.stages.policies import save_policy
from chexjax.trackers import StageTimer
from chexjax.train import TrainConfig, TrainingData, train
from chexjax.train.objectives import Objective
from chexjax.train.step import split_params
from chexjax.weights import save_adapter

Item = tuple[Study, int, Sequence[str], Mapping[str, Sequence[Any]]]
"""A study, its row, reports about it, and columns of numbers for them."""


def make_examples(items: Iterable[Item], tokens: Tokens) -> tuple[list[Example], list[Reject]]:
    """Examples of what fits the policy, and the rest with its reasons."""
    examples, rejects = [], []
    for study, row, reports, columns in items:
        try:
            examples.append(make_example(study, row, reports, tokens, **columns))
        except UnusableExample as error:
            rejects.append(Reject(study.id, str(error)))
    return examples, rejects


def write_rejects(draft: Draft, rejects: Sequence[Reject]) -> None:
    """Writes `rejects.jsonl` where there are any."""
    if rejects:
        lines = [json.dumps({"id": r.id, "reason": r.reason}) + "\n" for r in rejects]
        write_atomic(draft.path / "rejects.jsonl", "".join(lines))


def length_in_steps(config: TrainConfig, field: str, rows: int) -> int:
    """Steps of a run over `rows` examples; errors name the config field."""
    try:
        return steps(config, "total", batch_size=config.batch_size, rows=rows)
    except ConfigError as error:
        raise ConfigError(f"config.{field}: {error}") from error


def fit(
    context: Context,
    draft: Draft,
    timer: StageTimer,
    *,
    label: str,
    model: VLM,
    objective: Objective,
    config: TrainConfig,
    total: int | Callable[[float], int],
    examples: Sequence[Example],
    rejects: Sequence[Reject],
    studies: Sequence[Mapping[str, Any]],
    tokens: Tokens,
    visual: VisualTokens | None = None,
    mix: Mix | None = None,
) -> Artefact:
    """Trains on examples, or on what a cache has of their images, and finishes the policy artefact.

    Its length `total` is in steps, or made from the floating-point operations of one.

    Raises:
      ArtefactError: no example is left to train on.
    """
    if draft.share.first:
        write_rejects(draft, rejects)
    if not examples:
        raise _nothing_left(draft, label, rejects)
    plan, slots = _plan(examples, config, context.config.seed, mix), image_slots(examples)
    packer = functools.partial(_packer, plan, examples, context, config, objective.scored_only)
    if config.lora.rank:
        add_lora(model, config.lora, seed=context.config.seed)
    graph, trainable, _ = split_params(model, config.freeze)
    names, responses = parameter_names(trainable), len(examples[0].responses)
    first = (plan, packer(1), names, responses, objective)
    cost = functools.partial(step_flops, context.family, *first)
    length = total if isinstance(total, int) else total(cost(slots))
    collate = Collator(examples, studies, tokens, slots, packer(length), visual)
    params = train(
        model,
        context.family,
        objective,
        TrainingData(plan, collate, [example.id for example in examples]),
        config=config,
        steps=length,
        mesh=context.mesh,
        folder=draft.path,
        scratch=draft.scratch,
        timer=timer,
        label=label,
    )
    if config.lora.rank:
        params = _merged(draft, nnx.merge(graph, params), context.family, config.lora)
    statistics = {
        "steps": length,
        "examples": len(examples),
        "buckets": [list(bucket) for bucket in plan.buckets],
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(params)),
        **spent(lambda images: length * cost(images), slots, cached=visual is not None),
    }
    return save_policy(draft, context.family, params, statistics, len(rejects))


def _nothing_left(draft: Draft, label: str, rejects: Sequence[Reject]) -> ArtefactError:
    return ArtefactError(
        f"{label}: no usable example is left of {len(rejects)}; "
        f"see {draft.path / 'rejects.jsonl'} and the rejects of the stages before"
    )


def _packer(
    plan: Plan,
    examples: Sequence[Example],
    context: Context,
    config: TrainConfig,
    scored_only: int,
    steps: int,
) -> Packer:
    """Packs the responses of all batches that a run of so many steps meets."""
    epochs = -(-steps // plan.batches_per_epoch)
    batches = (batch for number in range(epochs) for batch in plan.epoch(number))
    parts = {"rows": slice(None)}
    if scored_only:
        parts = {"rows": slice(None, -scored_only), "scored_rows": slice(-scored_only, None)}
    size = config.batch_size // config.accumulate // batch_ways(context.mesh)
    groups = Groups(size, config.accumulate)
    return Packer.of(batches, response_lengths(examples), groups, parts)


def _plan(examples: Sequence[Example], config: TrainConfig, seed: int, mix: Mix | None) -> Plan:
    lengths = lengths_of(examples)
    return Plan(
        lengths=lengths,
        buckets=make_buckets(lengths, config.buckets),
        batch_size=config.batch_size,
        seed=seed,
        mix=mix,
    )


def spent(cost: Callable[[int], float], slots: int, *, cached: bool) -> dict[str, float]:
    """Operations for a manifest: `flops` that are executed, `flops_spared` by a cache.

    Args:
      cost: Operations, as a function of the images of a study that are encoded.
      slots: Images of a study.
      cached: Whether visual tokens come from a cache.
    """
    if not cached:
        return {"flops": cost(slots)}
    return {"flops": cost(0), "flops_spared": cost(slots) - cost(0)}


def _merged(draft: Draft, policy: VLM, family: Family, config: LoRAConfig) -> nnx.State:
    """The parameters with their adapters merged, which are kept where their format allows it."""
    try:
        save_adapter(
            draft.path / "adapter", policy, family.names, rank=config.rank, alpha=config.alpha
        )
    except ValueError as error:
        print(f"the policy holds its adapter merged, and only so: {error}", flush=True)
    merge_lora(policy)
    return nnx.state(policy)


def step_flops(
    family: Family,
    plan: Plan,
    packer: Packer,
    trained: Sequence[str],
    responses: int,
    objective: Objective,
    images: int,
) -> float:
    """Executed operations of a step that trains these parameters, padding included: the mean."""
    frozen_vision = not any(name.startswith("vision/") for name in trained)
    adapters = any(re.search(LORA_TRAINED, name) for name in trained)
    per_epoch = plan.epoch(0)
    cost = 0.0
    for batch in per_epoch:
        work = flops.Work(
            images=plan.batch_size * images,
            prefixes=plan.batch_size,
            prefix=batch.bucket.prefix,
            responses=plan.batch_size * (responses - objective.scored_only),
            response=batch.bucket.response,
            rows=packer.total("rows", batch),
        )
        cost += flops.train_step(family, work, frozen_vision=frozen_vision, adapters=adapters)
        passes = [work]
        if count := plan.batch_size * objective.scored_only:
            rows = packer.total("scored_rows", batch)
            passes.append(dataclasses.replace(work, responses=count, rows=rows))
            cost += flops.forward(family, passes[1])
        if objective.reference is not None:  # it shares a frozen tower
            apart = {"images": 0} if frozen_vision else {}
            cost += sum(flops.forward(family, dataclasses.replace(p, **apart)) for p in passes)
    return cost / len(per_epoch)
