"""What the stages that train have in common: examples, steps, the finished policy."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
from flax import nnx

from chexjax.artefacts import Artefact, ArtefactError, Draft, write_atomic
from chexjax.config import ConfigError, steps
from chexjax.data.batches import Plan, PlannedBatch, make_buckets
from chexjax.data.examples import (
    Collator,
    Example,
    UnusableExample,
    image_slots,
    lengths_of,
    make_example,
    pictures_of,
    response_lengths,
)
from chexjax.data.mix import Mix
from chexjax.data.packing import Groups, Packer
from chexjax.data.study import Study
from chexjax.data.tokens import Tokens
from chexjax.data.visual import VisualTokens
from chexjax.families import PolicyFamily
from chexjax.mesh import batch_ways, parameter_names
from chexjax.models import LORA_TRAINED, LanguageModel, LoRAConfig, add_lora, merge_lora
from chexjax.perf import flops
from chexjax.rows import Reject
from chexjax.stages.context import Context
from chexjax.stages.policies import save_policy, write_kept
from chexjax.trackers import StageTimer
from chexjax.train import Load, TrainConfig, TrainingData, train
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


class Lessons(NamedTuple):
    """What a policy learns from.

    Attributes:
      examples: One row of a batch each.
      rejects: What does not fit the policy.
      studies: Rows with the `images` that examples show.
      tokens: The policy's tokenizer.
      visual: What a cache has of the images.
      mix: Shares of an epoch; None for every example once.
    """

    examples: list[Example]
    rejects: list[Reject]
    studies: Sequence[Mapping[str, Any]]
    tokens: Tokens
    visual: VisualTokens | None = None
    mix: Mix | None = None


def fit(
    context: Context,
    draft: Draft,
    timer: StageTimer,
    *,
    label: str,
    model: LanguageModel,
    objective: Objective,
    config: TrainConfig,
    total: int | Callable[[float], int],
    lessons: Lessons,
) -> Artefact:
    """Trains a policy and finishes its artefact.

    Its length `total` is in steps, or made from the floating-point operations of one.

    Raises:
      ArtefactError: no example is left to train on.
    """
    examples = _usable(draft, label, lessons)
    plan = _plan(examples, config, context.config.seed, lessons.mix)
    pictures = pictures_of(examples, lessons.studies, lessons.tokens, lessons.visual)
    packer = functools.partial(_packer, plan, examples, context, config, objective.scored_only)
    if config.lora.rank:
        add_lora(model, config.lora, seed=context.config.seed)
    graph, trainable, _ = split_params(model, config.freeze)
    cost = StepCost.of(context.family, trainable, objective, examples)
    executed, slots = functools.partial(cost.executed, plan, packer(1)), image_slots(pictures)
    length = total if isinstance(total, int) else total(executed(slots))
    kept: dict[str, Sequence[str]] = {}

    def keep(step: int, because: Sequence[str], params: nnx.State) -> None:
        params = _merged(nnx.merge(graph, params)) if config.lora.rank else params
        write_kept(draft, step, context.family, params)
        kept[str(step)] = because

    params = train(
        model,
        context.family,
        objective,
        _data(plan, lessons, Collator(examples, pictures, packer(length)), cost),
        config=config,
        steps=length,
        mesh=context.mesh,
        folder=draft.path,
        scratch=draft.scratch,
        timer=timer,
        watch=context.watch(draft.path),
        label=label,
        keep=keep,
    )
    if config.lora.rank:
        policy = nnx.merge(graph, params)
        _write_adapter(draft, policy, context.family, config.lora)
        params = _merged(policy)
    statistics = {
        "steps": length,
        "examples": len(examples),
        "buckets": [list(bucket) for bucket in plan.buckets],
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(params)),
        **({"kept": kept} if kept else {}),
        **spent(lambda i: length * executed(i), slots, cached=lessons.visual is not None),
    }
    return save_policy(draft, context.family, params, statistics, len(lessons.rejects))


def _data(plan: Plan, lessons: Lessons, collate: Collator, cost: StepCost) -> TrainingData:
    examples = lessons.examples
    shown = sum(example.images for example in examples) / len(examples)
    return TrainingData(
        plan=plan,
        collate=collate,
        ids=[example.id for example in examples],
        prefix=lengths_of(examples)[:, 0],
        responses=response_lengths(examples),
        useful=functools.partial(cost.useful, images=shown if lessons.visual is None else 0.0),
    )


def _usable(draft: Draft, label: str, lessons: Lessons) -> list[Example]:
    """The examples, when what cannot be used stands in its file."""
    if draft.share.first:
        write_rejects(draft, lessons.rejects)
    if not lessons.examples:
        raise ArtefactError(
            f"{label}: no usable example is left of {len(lessons.rejects)}; "
            f"see {draft.path / 'rejects.jsonl'} and the rejects of the stages before"
        )
    return lessons.examples


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


def _merged(policy: LanguageModel) -> nnx.State:
    """The parameters with their adapters merged."""
    merge_lora(policy)
    return nnx.state(policy)


def _write_adapter(
    draft: Draft, policy: LanguageModel, family: PolicyFamily, config: LoRAConfig
) -> None:
    """Keeps the adapters, which the policy then has merged, where their format allows it."""
    try:
        save_adapter(
            draft.path / "adapter", policy, family.names, rank=config.rank, alpha=config.alpha
        )
    except ValueError as error:
        print(f"the policy holds its adapter merged, and only so: {error}", flush=True)


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepCost:
    """Operations of a training step.

    Attributes:
      family: Shapes of the policy.
      trained: Names of the parameters that are trained.
      objective: What is optimised.
      responses: Responses of a row.
    """

    family: PolicyFamily
    trained: Sequence[str]
    objective: Objective
    responses: int

    @classmethod
    def of(
        cls,
        family: PolicyFamily,
        trainable: nnx.State,
        objective: Objective,
        examples: Sequence[Example],
    ) -> StepCost:
        """Of training these parameters on such examples."""
        responses, names = len(examples[0].responses), parameter_names(trainable)
        return cls(family=family, trained=names, objective=objective, responses=responses)

    def executed(self, plan: Plan, packer: Packer, images: int) -> float:
        """Of a step with so many images a row, padding included: the mean over an epoch."""
        batches = plan.epoch(0)
        return sum(self._planned(plan, packer, one, images) for one in batches) / len(batches)

    def useful(self, load: Load, images: float) -> float:
        """Of a step on what is real of a batch, with so many images a row on average.

        Rows count with their mean length, of which attention's share is a little less than theirs.
        """
        rows = load.examples
        work = flops.Work(
            images=rows * images,
            prefixes=rows,
            prefix=load.prefix / rows,
            responses=rows * self._trained_responses,
            response=load.response / (rows * self.responses),
            rows=load.response * self._trained_responses / self.responses,
        )
        beside = rows * self.objective.scored_only
        return self._step(work, beside, load.response - work.answered)

    @property
    def _trained_responses(self) -> int:
        return self.responses - self.objective.scored_only

    def _planned(self, plan: Plan, packer: Packer, batch: PlannedBatch, images: int) -> float:
        work = flops.Work(
            images=plan.batch_size * images,
            prefixes=plan.batch_size,
            prefix=batch.bucket.prefix,
            responses=plan.batch_size * self._trained_responses,
            response=batch.bucket.response,
            rows=packer.total("rows", batch),
        )
        beside = plan.batch_size * self.objective.scored_only
        return self._step(work, beside, packer.total("scored_rows", batch) if beside else 0)

    def _step(self, work: flops.Work, beside: int, beside_rows: float) -> float:
        """One step, with responses that are scored and not trained on beside those of `work`."""
        frozen_vision = not any(name.startswith("vision/") for name in self.trained)
        adapters = any(re.search(LORA_TRAINED, name) for name in self.trained)
        options = {"frozen_vision": frozen_vision, "adapters": adapters}
        cost, passes = flops.train_step(self.family, work, **options), [work]
        if beside:
            passes.append(dataclasses.replace(work, responses=beside, rows=beside_rows))
            cost += flops.forward(self.family, passes[1])
        if self.objective.reference is not None:  # it shares a frozen tower
            apart = {"images": 0} if frozen_vision else {}
            forwards = (dataclasses.replace(one, **apart) for one in passes)
            cost += sum(flops.forward(self.family, one) for one in forwards)
        return cost
