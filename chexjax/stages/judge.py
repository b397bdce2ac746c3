"""`judge`: a score, with its reasons, for every candidate."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from chexjax.artefacts import Artefact, Draft
from chexjax.config import ConfigError
from chexjax.judges import (
    GreenConfig,
    Judge,
    build,
    error_profile,
    identity,
    uncontrolled,
)
from chexjax.judges.answer import judgement
from chexjax.judges.examination import examine
from chexjax.rng import row_keys
from chexjax.rows import Unit, map_units
from chexjax.stages.config import RunConfig
from chexjax.stages.context import Context, Stage
from chexjax.stages.sample import SAMPLE
from chexjax.trackers import StageTimer

_COMPARED = 256
"""Candidates that full precision judges too, to say what a faster judge costs."""


def judge_of(context: Context, name: str) -> Judge:
    """The judge of that name with the run's settings, its answers kept in the workdir."""
    return build(name, dataclasses.replace(context.config.judge, green=_green(context)))


def _green(context: Context) -> GreenConfig:
    """Its answers in one file a process: SQLite has no safe way to share one over a network."""
    green, index = context.config.judge.green, context.share.index
    file = context.workdir / (f"answers-{index}.sqlite" if index else "answers.sqlite")
    return dataclasses.replace(green, answers=green.answers or str(file))


def labeler_name(config: RunConfig) -> str:
    """Who reads labels from held-out reports; empty where nobody does."""
    asked = config.evaluate.labeler
    if asked:
        return "" if asked == "none" else asked
    return "grammar" if config.source.name == "phantom" else "rule_labels"


def files_of(config: RunConfig, *names: str) -> Mapping[str, Any]:
    """Settings of the judges and labelers of these names, with what is in their files."""
    found = (identity(name, config.judge) for name in filter(None, names))
    return {key: value for one in found for key, value in one.items()}


def _work(context: Context, draft: Draft, timer: StageTimer) -> Artefact:
    config = context.config.judge
    judge = judge_of(context, config.name)
    candidates = context.artefact(SAMPLE).rows()

    def unit(number: int) -> Unit:
        first = number * config.unit
        judged = _judged(judge, candidates[first : first + config.unit])
        return Unit(_disturbed(judged, config.noise, context.config.seed))

    def summarise(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return _statistics(rows) | _spent(rows, context.config) | _checked(rows, context)

    units = -(-len(candidates) // config.unit)
    return map_units(draft, units, unit, describe="judge", summarise=summarise)


def _judged(judge: Judge, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """All candidates of some studies, judged together."""
    pairs = [(row["reference"], one["report"]) for row in rows for one in row["candidates"]]
    try:
        verdicts = iter(judge.judge([r for r, _ in pairs], [c for _, c in pairs]))
    except ValueError as error:  # weights are read at the first pair
        raise ConfigError(f"config.judge: {error}") from error
    said = [[next(verdicts) for _ in row["candidates"]] for row in rows]
    return [
        row | {"judgements": [{"score": v.score, "details": dict(v.details)} for v in judged]}
        for row, judged in zip(rows, said, strict=True)
    ]


def _disturbed(rows: list[dict[str, Any]], noise: float, seed: int) -> list[dict[str, Any]]:
    """The same with noise on every score; what the judge said is kept in the details."""
    if not noise:
        return rows
    keys = row_keys(seed, "judge noise", [row["id"] for row in rows], len(rows[0]["judgements"]))
    drawn = noise * np.asarray(jax.vmap(jax.vmap(jax.random.normal))(keys), np.float64)
    return [
        row | {"judgements": [_moved(*pair) for pair in zip(row["judgements"], by, strict=True)]}
        for row, by in zip(rows, drawn.tolist(), strict=True)
    ]


def _moved(judged: dict[str, Any], by: float) -> dict[str, Any]:
    score = judged["score"]
    return {"score": score + by, "details": {**judged["details"], "undisturbed": score}}


def _statistics(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Scores, of studies all of whose candidates have one, and errors by category."""
    scores = np.asarray([[j["score"] for j in row["judgements"]] for row in rows])
    scored = scores[np.isfinite(scores).all(1)]
    details = [j["details"] for row in rows for j in row["judgements"]]
    found: dict[str, Any] = {"unscored": int((~np.isfinite(scores)).sum()), "studies": len(scored)}
    if len(scored):
        found |= {
            "mean": float(scored.mean()),
            "sd": float(scored.std()),
            "mean_best": float(scored.max(1).mean()),
            "mean_worst": float(scored.min(1).mean()),
        }
    return found | ({"errors": error_profile(details)} if "significant" in details[0] else {})


def _spent(rows: Sequence[dict[str, Any]], config: RunConfig) -> dict[str, Any]:
    """Questions, tokens and dollars, where a server answered; equal pairs were asked once."""
    spent = {
        (row["reference"], candidate["report"]): verdict["details"]["tokens"]
        for row in rows
        for candidate, verdict in zip(row["candidates"], row["judgements"], strict=True)
        if "tokens" in verdict["details"]
    }
    if not spent:
        return {}
    asked, written = np.sum(list(spent.values()), axis=0).tolist()
    cost = config.judge.green.endpoint.cost(asked, written)
    return {"judged": len(spent), "tokens": {"asked": asked, "written": written}, "dollars": cost}


def _checked(rows: Sequence[dict[str, Any]], context: Context) -> dict[str, Any]:
    """How far GREEN agrees with what is better known: the phantoms' oracle, or its exact self."""
    config, found = context.config.judge, {}
    if uncontrolled(config.name) != "green":
        return {}
    if context.config.source.name == "phantom":
        found["oracle"] = _agreement(rows, build("oracle", config))
    green, local = _green(context), config.green.local
    if not green.remote and local != local.exact:
        settings = dataclasses.replace(green, local=local.exact, unreadable="published")
        exact = build("green", dataclasses.replace(config, green=settings))
        some = rows[: -(-_COMPARED // len(rows[0]["judgements"]))]
        found["full_precision"] = _agreement(some, exact)
    return {"agreement": found} if found else {}


def _agreement(rows: Sequence[dict[str, Any]], better: Judge) -> dict[str, Any]:
    """See `examine`; the scores are looked at before they are controlled for length."""
    pairs = [(row["reference"], one["report"]) for row in rows for one in row["candidates"]]
    references, candidates = [r for r, _ in pairs], [c for _, c in pairs]
    details = [one["details"] for row in rows for one in row["judgements"]]
    said = [
        judgement(
            one["matched"],
            one["significant"],
            one["insignificant"],
            items=(),
            well_formed=one["well_formed"],
        )
        for one in details
    ]
    return examine(references, candidates, better.judge(references, candidates), said)


JUDGE = Stage(
    name="judge",
    folder="scores",
    kind="scores",
    fields=("judge",),
    reads=(SAMPLE,),
    work=_work,
    shared=True,
    needed=lambda config: not config.pair.source,
    extra=lambda config: files_of(config, config.judge.name),
)
