"""`judge`: a score, with its reasons, for every candidate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chexjax.artefacts import Artefact, Draft
from chexjax.judges import Judge, build
from chexjax.rows import Unit, map_units
from chexjax.stages.context import Context, Stage
from chexjax.stages.sample import SAMPLE
from chexjax.trackers import StageTimer


def _work(context: Context, draft: Draft, timer: StageTimer) -> Artefact:
    config = context.config.judge
    judge = build(config.name)
    candidates = context.artefact(SAMPLE).rows()

    def unit(number: int) -> Unit:
        first = number * config.unit
        return Unit([_judged(judge, row) for row in candidates[first : first + config.unit]])

    units = -(-len(candidates) // config.unit)
    return map_units(draft, units, unit, describe="judge", summarise=_summarise)


def _judged(judge: Judge, row: dict[str, Any]) -> dict[str, Any]:
    reports = [candidate["report"] for candidate in row["candidates"]]
    verdicts = judge.judge([row["reference"]] * len(reports), reports)
    return row | {"judgements": [{"score": v.score, "details": v.details} for v in verdicts]}


def _summarise(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    scores = np.asarray([[j["score"] for j in row["judgements"]] for row in rows])
    return {
        "mean": float(scores.mean()),
        "sd": float(scores.std()),
        "mean_best": float(scores.max(1).mean()),
        "mean_worst": float(scores.min(1).mean()),
    }


JUDGE = Stage(
    name="judge",
    folder="scores",
    kind="scores",
    fields=("judge",),
    reads=(SAMPLE,),
    work=_work,
    needed=lambda config: not config.pair.source,
)
