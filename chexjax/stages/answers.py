"""`answers`: what the policy answers to held-out triplets of its mixture, greedy."""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from chexjax.artefacts import Artefact, ArtefactError, Draft
from chexjax.data.examples import Example, UnusableExample, check_context
from chexjax.data.instruct.triplets import Shown, Triplet, triplet_prompt
from chexjax.data.tokens import Tokens
from chexjax.engine import Sampler
from chexjax.judges.overlap import Rouge
from chexjax.rows import Reject, Rows, Unit, map_units
from chexjax.stages.config import EvaluateConfig
from chexjax.stages.context import Context, Stage
from chexjax.stages.generation import Writer
from chexjax.stages.ingest import INGEST
from chexjax.stages.mixture import MIXTURE
from chexjax.stages.policies import load_policy, load_tokens
from chexjax.stages.sft import SFT
from chexjax.trackers import StageTimer


def held_out_triplets(
    mixture: Rows, config: EvaluateConfig, tokens: Tokens
) -> tuple[list[Example], list[Reject]]:
    """The triplets of a split as prompts, and those that leave no room for an answer.

    Raises:
      ArtefactError: there is none.
    """
    examples, rejects = [], []
    for row, stored in enumerate(mixture):
        if stored["split"] != config.split:
            continue
        try:
            example = triplet_prompt(Triplet.from_row(stored), row, tokens)
            check_context(example, tokens, config.max_new_tokens)
        except UnusableExample as error:
            rejects.append(Reject(stored["id"], str(error)))
        else:
            examples.append(example)
    if not examples:
        raise ArtefactError(f"no usable triplet in split {config.split!r} of the mixture")
    return examples[: config.studies], rejects


def _work(context: Context, draft: Draft, timer: StageTimer) -> Artefact:
    config, policy = context.config.evaluate, context.artefact(SFT)
    mixture, studies = (context.artefact(stage).rows() for stage in (MIXTURE, INGEST))
    tokens = load_tokens(context.family, policy)
    examples, rejects = held_out_triplets(mixture, config, tokens)
    writer = Writer(
        context,
        "answers",
        load_policy(context, policy),
        tokens,
        examples,
        Shown(mixture, studies),
        sampler=Sampler(temperature=0.0),
        draws=1,
        limit=config.max_new_tokens,
        unit=config.unit,
    )

    def unit(number: int) -> Unit:
        rows = [_row(mixture[one.row], written) for one, [written] in writer.write(number)]
        return Unit(rows, rejects if number == 0 else [])

    return map_units(draft, writer.units, unit, describe="answers", summarise=_summarise)


def _row(triplet: Mapping[str, Any], written: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: triplet[name] for name in ("id", "dataset", "task", "instruction", "answer")}
    return kept | {"written": written["report"], "finish": written["finish"]}


def _summarise(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """By data set and task: how many, the share answered word for word, and mean ROUGE-L."""
    scores = Rouge().judge([row["answer"] for row in rows], [row["written"] for row in rows])
    found = collections.defaultdict[tuple[str, str], list[tuple[float, float]]](list)
    for row, scored in zip(rows, scores, strict=True):
        exact = _words(row["answer"]) == _words(row["written"])
        found[row["dataset"], row["task"]].append((exact, scored.score))
    return {
        "tasks": [
            [*names, len(pairs), *np.mean(pairs, axis=0).tolist()]
            for names, pairs in sorted(found.items())
        ]
    }


def _words(text: str) -> list[str]:
    return text.lower().split()


def _describe(made: Artefact, console: Console) -> None:
    table = Table("data set", "task", title="Answers", title_justify="left")
    for heading in ("triplets", "exact", "ROUGE-L"):
        table.add_column(heading, justify="right")
    for dataset, task, count, exact, overlap in made.statistics["tasks"]:
        table.add_row(dataset, task, f"{count:,}", f"{exact:.1%}", f"{overlap:.3f}")
    console.print(table)


ANSWERS = Stage(
    name="answers",
    folder="answers",
    kind="answers",
    fields=("seed", "policy", "evaluate"),
    reads=(INGEST, MIXTURE, SFT),
    work=_work,
    shared=True,
    needed=lambda config: config.mixture.is_used,
    describe=_describe,
)
