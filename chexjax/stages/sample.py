"""`sample`: N candidate reports for every training study, from one prefill each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chexjax.artefacts import Artefact, ArtefactError, Draft
from chexjax.data.examples import Example, UnusableExample, check_context, make_example
from chexjax.data.study import Study
from chexjax.data.tokens import Tokens
from chexjax.rows import Reject, Rows, Unit, map_units
from chexjax.stages.context import Context, Stage
from chexjax.stages.generation import Writer
from chexjax.stages.ingest import INGEST
from chexjax.stages.policies import load_policy, load_tokens
from chexjax.stages.sft import SFT
from chexjax.trackers import StageTimer


def prompts(
    studies: Rows, split: str, count: int | None, tokens: Tokens, room: int
) -> tuple[list[Example], list[Reject]]:
    """Prompts of a split's first studies, and those that leave no room for a report."""
    examples, rejects = [], []
    chosen = [row for row, study in enumerate(studies) if study["split"] == split][:count]
    for row in chosen:
        study = Study.from_row(studies[row])
        try:
            example = make_example(study, row, [], tokens)
            check_context(example, tokens, room)
        except UnusableExample as error:
            rejects.append(Reject(study.id, str(error)))
        else:
            examples.append(example)
    if not examples:
        raise ArtefactError(f"no usable study in split {split!r} of {len(studies)} studies")
    return examples, rejects


def _work(context: Context, draft: Draft, timer: StageTimer) -> Artefact:
    config = context.config.sample
    studies = context.artefact(INGEST).rows()
    policy = context.artefact(SFT)
    tokens = load_tokens(context.family, policy)
    limit = config.max_new_tokens
    examples, rejects = prompts(studies, "train", config.studies, tokens, limit)
    writer = Writer(
        context,
        "sample",
        load_policy(context, policy),
        tokens,
        examples,
        studies,
        sampler=config.sampler,
        draws=config.candidates,
        limit=limit,
        unit=config.unit,
    )

    def unit(number: int) -> Unit:
        rows = [_row(example, studies, written) for example, written in writer.write(number)]
        return Unit(rows, rejects if number == 0 else [])

    def summarise(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return summary(rows) | {"flops": writer.flops(rows)}

    return map_units(draft, writer.units, unit, describe="sample", summarise=summarise)


def _row(example: Example, studies: Rows, written: list[dict[str, Any]]) -> dict[str, Any]:
    reference = studies[example.row]["findings"]
    return {"id": example.id, "row": example.row, "reference": reference, "candidates": written}


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Lengths and finish reasons of candidates, for the manifest."""
    candidates = [candidate for row in rows for candidate in row["candidates"]]
    return {
        "studies": len(rows),
        "candidates": len(candidates),
        "mean_words": float(np.mean([len(c["report"].split()) for c in candidates])),
        "mean_tokens": float(np.mean([c["tokens"] for c in candidates])),
        "cut_short": float(np.mean([c["finish"] == "length" for c in candidates])),
    }


SAMPLE = Stage(
    name="sample",
    folder="candidates",
    kind="candidates",
    fields=("seed", "sample"),
    reads=(INGEST, SFT),
    work=_work,
    shared=True,
    needed=lambda config: not config.pair.source,
)
