"""`pair`: the best candidate of each study against its worst."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chexjax.artefacts import Artefact, ArtefactError, Draft
from chexjax.rows import Unit, map_units
from chexjax.stages.context import Context, Stage
from chexjax.stages.judge import JUDGE
from chexjax.trackers import StageTimer


def _work(context: Context, draft: Draft, timer: StageTimer) -> Artefact:
    config, scores = context.config, context.artefact(JUDGE).rows()
    pairs = [pair for row in scores if (pair := best_against_worst(row, config.pair.tie))]
    if not pairs:
        raise ArtefactError(
            f"no usable pair: all candidates of all {len(scores)} studies tie within "
            f"config.pair.tie={config.pair.tie} under judge {config.judge.name!r}; sample at a "
            f"higher temperature, take more candidates, or use another judge"
        )

    def summarise(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return _summary(rows, len(scores))

    return map_units(draft, 1, lambda _: Unit(pairs), describe="pair", summarise=summarise)


def best_against_worst(row: dict[str, Any], tie: float) -> dict[str, Any] | None:
    """The pair of a study, or None where its scores tie; the first of equals is taken."""
    scores = np.asarray([judgement["score"] for judgement in row["judgements"]])
    best, worst = int(scores.argmax()), int(scores.argmin())
    if scores[best] - scores[worst] <= tie:
        return None
    reports = [candidate["report"] for candidate in row["candidates"]]
    return {
        "id": row["id"],
        "row": row["row"],
        "chosen": reports[best],
        "rejected": reports[worst],
        "rewards": [float(scores[best]), float(scores[worst])],
    }


def _summary(rows: Sequence[dict[str, Any]], studies: int) -> dict[str, Any]:
    rewards = np.asarray([row["rewards"] for row in rows])
    words = np.asarray([[len(row[k].split()) for k in ("chosen", "rejected")] for row in rows])
    return {
        "studies": studies,
        "ties": studies - len(rows),
        "share_dropped": 1 - len(rows) / studies,
        "reward_chosen": {"mean": float(rewards[:, 0].mean()), "sd": float(rewards[:, 0].std())},
        "reward_rejected": {"mean": float(rewards[:, 1].mean()), "sd": float(rewards[:, 1].std())},
        "words_chosen": float(words[:, 0].mean()),
        "words_rejected": float(words[:, 1].mean()),
    }


PAIR = Stage(
    name="pair", folder="pairs", kind="pairs", fields=("pair",), reads=(JUDGE,), work=_work
)
