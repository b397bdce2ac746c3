"""What a policy answers to questions: a score for each option, and an answer in words."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from chexjax.artefacts import Artefact, Draft
from chexjax.data.batches import PADDING, PlannedBatch, make_buckets
from chexjax.data.chexbench.questions import Question, asked_example, scored_example
from chexjax.data.examples import (
    Collator,
    Example,
    UnusableExample,
    lengths_of,
    response_lengths,
)
from chexjax.data.packing import Groups, Packer
from chexjax.engine import Sampler
from chexjax.mesh import batch_ways, place_batch
from chexjax.rows import Reject, Rows, Unit, map_units
from chexjax.stages.config import RunConfig
from chexjax.stages.context import Context, Stage
from chexjax.stages.fitting import write_rejects
from chexjax.stages.generation import Writer
from chexjax.stages.policies import load_policy, load_tokens
from chexjax.stages.questions import QUESTIONS, is_asked
from chexjax.trackers import StageTimer
from chexjax.train import make_scorer


def _examples(
    questions: Rows, chosen: Callable[[Question], bool], make: Callable[[Question, int], Example]
) -> tuple[list[Example], list[Reject]]:
    """Examples of the chosen questions, and those that do not fit the policy."""
    examples, rejects = [], []
    for row, found in enumerate(questions):
        question = Question.from_row(found)
        if chosen(question):
            try:
                examples.append(make(question, row))
            except UnusableExample as error:
                rejects.append(Reject(question.id, str(error)))
    return examples, rejects


def _nothing_to_ask(draft: Draft, rejects: Sequence[Reject]) -> Artefact:
    write_rejects(draft, rejects)
    return draft.finish(rows=0, rejects=len(rejects))


def option_scores(policy: Stage) -> Stage:
    """The stage that scores all options under a policy, in its training forward."""

    def work(context: Context, draft: Draft, timer: StageTimer) -> Artefact:
        questions, source = context.artefact(QUESTIONS).rows(), context.artefact(policy)
        tokens = load_tokens(context.family, source)
        examples, rejects = _examples(
            questions,
            lambda question: bool(question.options),
            lambda question, row: scored_example(question, row, tokens),
        )
        if not examples:
            return _nothing_to_ask(draft, rejects)
        size = context.config.chexbench.unit
        planned = plan_by_images(examples, size)
        groups = Groups(size // batch_ways(context.mesh))
        lengths = response_lengths(examples)
        packer = Packer.of([one for one, _ in planned], lengths, groups, {"rows": slice(None)})
        collate = Collator(examples, questions, tokens, 1, packer)
        score = make_scorer(load_policy(context, source))

        def unit(number: int) -> Unit:
            batch, slots = planned[number]
            arrays = dataclasses.replace(collate, slots=slots)(batch)
            logps = np.asarray(jax.device_get(score(place_batch(arrays, context.mesh))))
            rows = [k for k in batch.rows if k != PADDING]
            made = [_scored(examples[k], logps[i]) for i, k in enumerate(rows)]
            return Unit(made, rejects if number == 0 else [])

        return map_units(draft, len(planned), unit, describe=f"score options, {policy.folder}")

    return Stage(
        name=f"score options, {policy.folder}",
        folder=f"chexbench/scores_{policy.folder}",
        kind="option scores",
        fields=("policy",),
        reads=(QUESTIONS, policy),
        work=work,
        needed=lambda config: is_asked(config) and scores_options(config),
        extra=lambda config: {"unit": config.chexbench.unit},
    )


def scores_options(config: RunConfig) -> bool:
    """Whether a protocol compares log-likelihoods."""
    return bool({"sum", "mean"} & set(config.chexbench.protocols))


def plan_by_images(examples: Sequence[Example], size: int) -> list[tuple[PlannedBatch, int]]:
    """Batches of questions that show equally many images, and the image slots of each.

    One program for each number of images: no question pays for images that others show.
    """
    shown, lengths = np.asarray([example.images for example in examples]), lengths_of(examples)
    planned = []
    for count in np.unique(shown):
        rows = np.flatnonzero(shown == count)
        [bucket] = make_buckets(lengths[rows], 1)
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            padded = np.pad(part, (0, size - len(part)), constant_values=PADDING)
            planned.append((PlannedBatch(bucket, padded), max(1, int(count))))
    return planned


def _scored(example: Example, logps: np.ndarray) -> dict[str, Any]:
    """The options' sums over their own tokens, and how many these are."""
    options = [option for option in example.responses if option]
    sums = [float(logps[n, : len(option)].sum()) for n, option in enumerate(options)]
    return {"id": example.id, "logps": sums, "tokens": [len(option) for option in options]}


def written_answers(policy: Stage) -> Stage:
    """The stage that lets a policy write its answers, greedily."""

    def work(context: Context, draft: Draft, timer: StageTimer) -> Artefact:
        config = context.config.chexbench
        questions, source = context.artefact(QUESTIONS).rows(), context.artefact(policy)
        tokens, limit = load_tokens(context.family, source), config.max_new_tokens
        examples, rejects = _examples(
            questions,
            lambda question: "generate" in config.protocols or not question.options,
            lambda question, row: asked_example(question, row, tokens, limit),
        )
        if not examples:
            return _nothing_to_ask(draft, rejects)
        writer = Writer(
            context,
            "chexbench",
            load_policy(context, source),
            tokens,
            examples,
            questions,
            sampler=Sampler(temperature=0.0),
            draws=1,
            limit=limit,
            unit=config.unit,
        )

        def unit(number: int) -> Unit:
            rows = [
                {"id": example.id, "text": one["report"]} for example, [one] in writer.write(number)
            ]
            return Unit(rows, rejects if number == 0 else [])

        return map_units(draft, writer.units, unit, describe=f"write answers, {policy.folder}")

    return Stage(
        name=f"write answers, {policy.folder}",
        folder=f"chexbench/answers_{policy.folder}",
        kind="written answers",
        fields=("policy",),
        reads=(QUESTIONS, policy),
        work=work,
        needed=lambda config: is_asked(config) and writes_answers(config),
        extra=lambda config: {
            "unit": config.chexbench.unit,
            "max_new_tokens": config.chexbench.max_new_tokens,
            "chooses": "generate" in config.chexbench.protocols,
        },
    )


def writes_answers(config: RunConfig) -> bool:
    """Whether a policy writes: to choose an option, or what the official file's text tasks ask."""
    return "generate" in config.chexbench.protocols or config.chexbench.questions == "official"
