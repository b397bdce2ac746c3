"""`pair`: the best candidate of each study against its worst, or rows that were made elsewhere."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from chexjax.artefacts import Artefact, ArtefactError, Draft
from chexjax.data.given import digest
from chexjax.data.preferences import MISMATCHED, read_preferences, texts_of
from chexjax.rows import Reject, Unit, map_units
from chexjax.stages.config import RunConfig
from chexjax.stages.context import Context, Stage
from chexjax.stages.ingest import INGEST
from chexjax.stages.judge import JUDGE
from chexjax.trackers import StageTimer


def _work(context: Context, draft: Draft, timer: StageTimer) -> Artefact:
    return _given(context, draft) if context.config.pair.source else _judged(context, draft)


def _given(context: Context, draft: Draft) -> Artefact:
    config, file = context.config, Path(context.config.pair.source)
    studies = context.artefact(INGEST).rows()
    usable = {study["id"]: row for row, study in enumerate(studies) if study["split"] == "train"}
    found, rejects = read_preferences(file, usable)
    if len(found) < 2:
        first = f": {rejects[0].reason}" if rejects else ""
        raise ArtefactError(f"{file}: {len(found)} usable rows of {len(found + rejects)}{first}")

    def summarise(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return summary(rows, len(found) + len(rejects)) | {"ties": 0}

    unit = Unit(with_mismatched(found, config.seed), rejects)
    return map_units(draft, 1, lambda _: unit, describe="pair", summarise=summarise)


def _judged(context: Context, draft: Draft) -> Artefact:
    config, scores = context.config, context.artefact(JUDGE).rows()
    scored, rejects = with_scores(scores)
    found = [pair for row in scored if (pair := best_against_worst(row, config.pair.tie))]
    pairs = [pair for pair in found if pair["chosen"] != pair["rejected"]]
    equal = (pair["id"] for pair in found if pair["chosen"] == pair["rejected"])
    same = [Reject(name, "best and worst are the same text") for name in equal]
    if not pairs:
        raise ArtefactError(
            f"no usable pair: all candidates of all {len(scored)} scored studies tie within "
            f"config.pair.tie={config.pair.tie} under judge {config.judge.name!r}; sample at a "
            f"higher temperature, take more candidates, or use another judge"
        )

    def summarise(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return summary(rows, len(scored) - len(same))

    unit = Unit(with_mismatched(pairs, config.seed), [*rejects, *same])
    return map_units(draft, 1, lambda _: unit, describe="pair", summarise=summarise)


def with_mismatched(pairs: Sequence[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    """Gives each pair a report of another one, as chosen there as rejected: KTO's reference point.

    It is fixed here, so that neither batches nor devices change it. All pairs stand in one ring, in
    random order; each takes from the next. The same of rows of single reports.
    """
    rng = np.random.default_rng((seed, len(pairs)))
    names = texts_of(pairs[0])
    order, sides = rng.permutation(len(pairs)), rng.integers(0, len(names), len(pairs))
    partner = np.empty_like(order)
    partner[order] = np.roll(order, -1)
    return [
        {**pair, MISMATCHED: pairs[other][names[side]]}
        for pair, other, side in zip(pairs, partner, sides, strict=True)
    ]


def with_scores(
    rows: Sequence[dict[str, Any]],
) -> tuple[list[dict[str, Any]], list[Reject]]:
    """The studies all of whose candidates have a finite score, and the others rejected."""
    scored, rejects = [], []
    for row in rows:
        bad = [j["score"] for j in row["judgements"] if not math.isfinite(j["score"])]
        if bad:
            rejects.append(Reject(row["id"], f"the judge gave a candidate the score {bad[0]}"))
        else:
            scored.append(row)
    return scored, rejects


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


def summary(rows: Sequence[dict[str, Any]], studies: int) -> dict[str, Any]:
    """Share dropped, rewards and lengths of pairs out of `studies` scored studies."""
    names = texts_of(rows[0])
    rewards = np.asarray([row["rewards"] for row in rows])
    words = np.asarray([[len(row[name].split()) for name in names] for row in rows])
    found: dict[str, Any] = {
        "studies": studies,
        "ties": studies - len(rows),
        "share_dropped": 1 - len(rows) / studies,
    }
    for k, name in enumerate(names):
        column = rewards[:, k]
        found[f"reward_{name}"] = {"mean": float(column.mean()), "sd": float(column.std())}
        found[f"words_{name}"] = float(words[:, k].mean())
    return found


def _reads(config: RunConfig) -> Sequence[Stage]:
    return (INGEST,) if config.pair.source else (JUDGE,)


def _source(config: RunConfig) -> Mapping[str, Any]:
    return {"source": digest(Path(config.pair.source))} if config.pair.source else {}


PAIR = Stage(
    name="pair",
    folder="pairs",
    kind="pairs",
    fields=("seed", "pair"),
    reads=_reads,
    work=_work,
    extra=_source,
)
