"""What a policy answers to questions: a score for each option, and an answer in words."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from chexjax.artefacts import Artefact, Draft
from chexjax.data.batches import PADDING, plan_by_images
from chexjax.data.chexbench.questions import Question, asked_example, scored_example
from chexjax.data.examples import (
    Collator,
    Example,
    UnusableExample,
    lengths_of,
    pictures_of,
    response_lengths,
)
from chexjax.data.packing import Groups, Packer
from chexjax.engine import Sampler
from chexjax.mesh import batch_ways, place_batch
from chexjax.rows import Reject, Rows, Unit, map_units
from chexjax.stages.config import RunConfig
from chexjax.stages.context import Context, Stage
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


def option_scores(policy: Stage) -> Stage:
    """The stage that scores all options under a policy, in its training forward."""
    name = f"score options, {policy.folder}"

    def work(context: Context, draft: Draft, timer: StageTimer) -> Artefact:
        questions, source = context.artefact(QUESTIONS).rows(), context.artefact(policy)
        tokens = load_tokens(context.family, source)
        examples, rejects = _examples(
            questions,
            lambda question: bool(question.options),
            lambda question, row: scored_example(question, row, tokens),
        )
        if not examples:
            return map_units(draft, 1, lambda _: Unit([], rejects), describe=name)
        size = context.config.chexbench.unit
        images = [example.images for example in examples]
        planned = plan_by_images(images, lengths_of(examples), size)
        groups = Groups(size // batch_ways(context.mesh))
        lengths = response_lengths(examples)
        packer = Packer.of([one for one, _ in planned], lengths, groups, {"rows": slice(None)})
        pictures = pictures_of(examples, questions, tokens)
        score = make_scorer(load_policy(context, source))

        def unit(number: int) -> Unit:
            batch, slots = planned[number]
            shown = pictures and dataclasses.replace(pictures, slots=slots)
            arrays = Collator(examples, shown, packer)(batch)
            logps = np.asarray(jax.device_get(score(place_batch(arrays, context.mesh))))
            rows = [k for k in batch.rows if k != PADDING]
            made = [_scored(examples[k], logps[i]) for i, k in enumerate(rows)]
            return Unit(made, rejects if number == 0 else [])

        return map_units(draft, len(planned), unit, describe=name)

    return Stage(
        name=name,
        folder=f"chexbench/scores_{policy.folder}",
        kind="option scores",
        fields=("policy",),
        reads=(QUESTIONS, policy),
        work=work,
        shared=True,
        needed=lambda config: is_asked(config) and scores_options(config),
        extra=lambda config: {"unit": config.chexbench.unit},
    )


def scores_options(config: RunConfig) -> bool:
    """Whether a protocol compares log-likelihoods."""
    return bool({"sum", "mean"} & set(config.chexbench.protocols))


def _scored(example: Example, logps: np.ndarray) -> dict[str, Any]:
    """The options' sums over their own tokens, and how many these are."""
    options = [option for option in example.responses if option]
    sums = [float(logps[n, : len(option)].sum()) for n, option in enumerate(options)]
    return {"id": example.id, "logps": sums, "tokens": [len(option) for option in options]}


def written_answers(policy: Stage) -> Stage:
    """The stage that lets a policy write its answers, greedily."""
    name = f"write answers, {policy.folder}"

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
            return map_units(draft, 1, lambda _: Unit([], rejects), describe=name)
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

        return map_units(draft, writer.units, unit, describe=name)

    return Stage(
        name=name,
        folder=f"chexbench/answers_{policy.folder}",
        kind="written answers",
        fields=("policy",),
        reads=(QUESTIONS, policy),
        work=work,
        shared=True,
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
