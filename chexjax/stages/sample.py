"""`sample`: N candidate reports for every training study, from one prefill each, or given ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from chexjax.artefacts import Artefact, ArtefactError, Draft
from chexjax.data.candidates import read_candidates
from chexjax.data.examples import Example, UnusableExample, check_context, make_example
from chexjax.data.given import digest
from chexjax.data.study import Study
from chexjax.data.tokens import Tokens
from chexjax.rows import Reject, Rows, Unit, map_units
from chexjax.stages.config import RunConfig
from chexjax.stages.context import Context, Stage
from chexjax.stages.generation import Writer
from chexjax.stages.ingest import INGEST
from chexjax.stages.policies import load_policy, load_tokens
from chexjax.stages.sft import SFT
from chexjax.trackers import StageTimer


def first_of(studies: Rows, split: str, count: int | None) -> list[int]:
    """Rows of a split's first studies; all where `count` is None."""
    return [row for row, study in enumerate(studies) if study["split"] == split][:count]


def prompts(
    studies: Rows, split: str, count: int | None, tokens: Tokens, room: int
) -> tuple[list[Example], list[Reject]]:
    """Prompts of a split's first studies, and those that leave no room for a report."""
    examples, rejects = [], []
    for row in first_of(studies, split, count):
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
    return _given(context, draft) if context.config.sample.source else _drawn(context, draft)


def _given(context: Context, draft: Draft) -> Artefact:
    config, file = context.config.sample, Path(context.config.sample.source)
    studies = context.artefact(INGEST).rows()
    wanted = {studies[row]["id"]: row for row in first_of(studies, "train", config.studies)}
    found, rejects = read_candidates(file, wanted, config.candidates)
    if not found:
        first = f": {rejects[0].reason}" if rejects else ""
        raise ArtefactError(f"{file}: no usable row of {len(rejects)}{first}")
    if missing := len(wanted) - len(found):
        print(f"sample: {missing} of {len(wanted)} studies have no candidates in it", flush=True)

    def unit(number: int) -> Unit:
        rows = found[number * config.unit : (number + 1) * config.unit]
        referenced = [row | {"reference": studies[row["row"]]["findings"]} for row in rows]
        return Unit(referenced, rejects if number == 0 else [])

    def summarise(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return summary(rows) | {"missing": missing, "flops": 0.0}

    units = -(-len(found) // config.unit)
    return map_units(draft, units, unit, describe="sample", summarise=summarise)


def _drawn(context: Context, draft: Draft) -> Artefact:
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
    """Lengths and, where this run has written them, finish reasons of candidates."""
    candidates = [candidate for row in rows for candidate in row["candidates"]]
    found: dict[str, Any] = {
        "studies": len(rows),
        "candidates": len(candidates),
        "mean_words": float(np.mean([len(c["report"].split()) for c in candidates])),
    }
    if "finish" in candidates[0]:
        found["mean_tokens"] = float(np.mean([c["tokens"] for c in candidates]))
        found["cut_short"] = float(np.mean([c["finish"] == "length" for c in candidates]))
    return found


def _reads(config: RunConfig) -> Sequence[Stage]:
    return (INGEST,) if config.sample.source else (INGEST, SFT)


def _source(config: RunConfig) -> Mapping[str, Any]:
    return {"source": digest(Path(config.sample.source))} if config.sample.source else {}


SAMPLE = Stage(
    name="sample",
    folder="candidates",
    kind="candidates",
    fields=("seed", "sample"),
    reads=_reads,
    work=_work,
    shared=True,
    needed=lambda config: not config.pair.source,
    extra=_source,
)
