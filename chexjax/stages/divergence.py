"""How far a policy has gone from SFT: the Kullback-Leibler divergence of its reports, sampled."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from chexjax.artefacts import Artefact, Draft
from chexjax.data.batches import PADDING, Bucket, PlannedBatch
from chexjax.data.examples import Collator, Example, lengths_of, pictures_of
from chexjax.engine import Completion, Sampler
from chexjax.evaluate.significance import Interval
from chexjax.evaluate.studies.divergence import estimate
from chexjax.mesh import place_batch
from chexjax.rows import Unit, map_units
from chexjax.stages.context import Context, Stage
from chexjax.stages.generation import Writer
from chexjax.stages.ingest import INGEST
from chexjax.stages.policies import load_policy, load_tokens
from chexjax.stages.sample import prompts
from chexjax.stages.sft import SFT
from chexjax.trackers import StageTimer
from chexjax.train import make_scorer


def divergence(policy: Stage) -> Stage:
    """The stage that samples one report a study at temperature 1, and scores it under SFT too."""

    def work(context: Context, draft: Draft, timer: StageTimer) -> Artefact:
        config, studies = context.config.evaluate, context.artefact(INGEST).rows()
        own, sft = context.artefact(policy), context.artefact(SFT)
        tokens, limit = load_tokens(context.family, own), config.max_new_tokens
        counts = [count for count in (config.studies, config.divergence) if count is not None]
        asked, rejects = prompts(studies, config.split, min(counts, default=None), tokens, limit)
        writer = Writer(
            context,
            "divergence",
            load_policy(context, own),
            tokens,
            asked,
            studies,
            sampler=Sampler(temperature=1.0),
            draws=1,
            limit=limit,
            unit=config.unit,
        )
        bucket = Bucket(int(lengths_of(asked)[:, 0].max()), limit)
        score = make_scorer(load_policy(context, sft))
        pictures = pictures_of(asked, studies, tokens)

        def unit(number: int) -> Unit:
            drawn = writer.draw(number)
            examples = [
                dataclasses.replace(example, responses=[one.tokens]) for example, [one] in drawn
            ]
            rows = np.arange(config.unit)
            planned = PlannedBatch(bucket, np.where(rows < len(examples), rows, PADDING))
            batch = Collator(examples, pictures)(planned)
            before = jax.device_get(score(place_batch(batch, context.mesh)))
            made = [_row(*one, logps) for one, logps in zip(drawn, before, strict=False)]
            return Unit(made, rejects if number == 0 else [])

        def summarise(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
            columns = ([row[name] for row in rows] for name in ("logp", "logp_sft"))
            return {"kl": dataclasses.asdict(estimate(*columns, seed=context.config.seed))}

        return map_units(
            draft, writer.units, unit, describe=f"divergence, {policy.folder}", summarise=summarise
        )

    return Stage(
        name=f"divergence, {policy.folder}",
        folder=f"divergence/{policy.folder}",
        kind="divergence",
        fields=("seed", "policy", "evaluate"),
        reads=(INGEST, SFT, policy),
        work=work,
        shared=True,
        extra=lambda config: {"studies": config.evaluate.divergence},
    )


def _row(example: Example, written: Sequence[Completion], before: np.ndarray) -> dict[str, Any]:
    """A study's log-probabilities: of what the policy wrote, by itself and by SFT, `f32[1, R]`."""
    [one] = written
    return {
        "id": example.id,
        "logp": float(np.sum(one.logps)),
        "logp_sft": float(before.sum()),
    }


def divergence_of(artefact: Artefact) -> Interval:
    """What such a stage has found, in nats a report."""
    return Interval(**artefact.statistics["kl"])
