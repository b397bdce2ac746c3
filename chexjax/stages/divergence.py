"""How far a policy has gone from SFT: the Kullback-Leibler divergence of its reports, sampled."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from chexjax.artefacts import Artefact, Draft
from chexjax.data.batches import PADDING, Bucket, PlannedBatch
from chexjax.data.examples import Collator, image_slots, lengths_of
from chexjax.engine import Sampler
from chexjax.mesh import place_batch
from chexjax.rows import Unit, map_units
from chexjax.stages.align import ALIGN
from chexjax.stages.context import Context, Stage
from chexjax.stages.generation import Writer
from chexjax.stages.ingest import INGEST
from chexjax.stages.policies import load_policy, load_tokens
from chexjax.stages.sample import prompts
from chexjax.stages.sft import SFT
from chexjax.trackers import StageTimer
from chexjax.train import make_scorer


def _work(context: Context, draft: Draft, timer: StageTimer) -> Artefact:
    """One report a study at temperature 1; its log-probability under both policies."""
    config, studies = context.config.evaluate, context.artefact(INGEST).rows()
    aligned, sft = context.artefact(ALIGN), context.artefact(SFT)
    tokens, limit = load_tokens(context.family, aligned), config.max_new_tokens
    asked, rejects = prompts(studies, config.split, config.studies, tokens, limit)
    writer = Writer(
        context,
        "divergence",
        load_policy(context, aligned),
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

    def unit(number: int) -> Unit:
        drawn = writer.draw(number)
        examples = [
            dataclasses.replace(example, responses=[one.tokens]) for example, [one] in drawn
        ]
        rows = np.arange(config.unit)
        planned = PlannedBatch(bucket, np.where(rows < len(examples), rows, PADDING))
        collate = Collator(examples, studies, tokens, image_slots(asked))
        before = jax.device_get(score(place_batch(collate(planned), context.mesh)))
        made = [
            {
                "id": example.id,
                "logp_aligned": float(np.sum(drawn[k][1][0].logps)),
                "logp_sft": float(before[k].sum()),
            }
            for k, example in enumerate(examples)
        ]
        return Unit(made, rejects if number == 0 else [])

    return map_units(draft, writer.units, unit, describe="divergence", summarise=summary)


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Divergence in nats a report: the mean over studies, and its standard error."""
    gaps = np.asarray([row["logp_aligned"] - row["logp_sft"] for row in rows])
    error = gaps.std(ddof=1) / len(gaps) ** 0.5 if len(gaps) > 1 else float("nan")
    return {"kl": float(gaps.mean()), "kl_error": float(error)}


DIVERGENCE = Stage(
    name="divergence",
    folder="divergence",
    kind="divergence",
    fields=("seed", "policy", "evaluate"),
    reads=(INGEST, SFT, ALIGN),
    work=_work,
)
