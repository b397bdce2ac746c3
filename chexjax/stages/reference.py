"""`reference`: log-probabilities of all pairs under the starting policy, cached per token.

KTO's mismatched reports are scored in the same pass, so that one cache serves every loss.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np

from chexjax.artefacts import Artefact, ArtefactError, Draft
from chexjax.data.batches import PADDING, Bucket, PlannedBatch, make_buckets
from chexjax.data.examples import Collator, image_slots, lengths_of, response_lengths
from chexjax.data.packing import Groups, Packer
from chexjax.data.preferences import MISMATCHED, texts_of
from chexjax.data.study import Study
from chexjax.losses import PreferenceLoss
from chexjax.mesh import batch_ways, place_batch
from chexjax.perf import flops
from chexjax.rows import Rows, Unit, map_units
from chexjax.stages.config import RunConfig
from chexjax.stages.context import Context, Stage
from chexjax.stages.fitting import Item, make_examples, spent
from chexjax.stages.ingest import INGEST
from chexjax.stages.pair import PAIR
from chexjax.stages.policies import load_policy, load_tokens
from chexjax.stages.sft import SFT
from chexjax.stages.visual import cached_tokens
from chexjax.trackers import StageTimer
from chexjax.train import make_scorer

COLUMNS = ("rewards", "desirable")
"""Numbers of a pair's reports, or of a single one."""


def pair_items(studies: Rows, pairs: Rows, *, mismatched: bool = True) -> list[Item]:
    """Studies, under the id of the pair, with its reports; the mismatched one is the last."""
    texts = (*texts_of(pairs[0]), *([MISMATCHED] if mismatched else []))
    return [
        (
            dataclasses.replace(Study.from_row(studies[pair["row"]]), id=pair["id"]),
            pair["row"],
            [pair[text] for text in texts],
            {name: pair[name] for name in COLUMNS if name in pair},
        )
        for pair in pairs
    ]


def _work(context: Context, draft: Draft, timer: StageTimer) -> Artefact:
    size = context.config.reference.unit
    studies, pairs = context.artefact(INGEST).rows(), context.artefact(PAIR).rows()
    policy = context.artefact(SFT)
    tokens = load_tokens(context.pair_family, policy)
    examples, rejects = make_examples(pair_items(studies, pairs), tokens)
    if not examples:
        raise ArtefactError(f"no pair fits the context: {rejects[0].reason}")
    slots = image_slots(examples, tokens)
    [bucket] = make_buckets(lengths_of(examples), 1)
    visual, planned = cached_tokens(context), _units(len(examples), size, bucket)
    groups = Groups(size // batch_ways(context.mesh))
    packer = Packer.of(planned, response_lengths(examples), groups, {"rows": slice(None)})
    collate = Collator(examples, studies, tokens, slots, packer, visual)
    score = make_scorer(load_policy(context, policy))

    def unit(number: int) -> Unit:
        batch = place_batch(collate(planned[number]), context.mesh)
        logps = np.asarray(jax.device_get(score(batch)))
        rows = [k for k in planned[number].rows if k != PADDING]
        return Unit(
            [_row(examples[k], logps[i]) for i, k in enumerate(rows)],
            rejects if number == 0 else [],
        )

    def cost(slots: int) -> float:
        work = flops.Work(
            images=size * slots,
            prefixes=size,
            prefix=bucket.prefix,
            responses=len(examples[0].responses) * size,
            response=bucket.response,
            rows=packer.total("rows", planned[0]),
        )
        return len(planned) * flops.forward(context.family, work)

    statistics = spent(cost, slots, cached=visual is not None)
    return map_units(
        draft, len(planned), unit, describe="reference", summarise=lambda _: statistics
    )


def _units(count: int, size: int, bucket: Bucket) -> list[PlannedBatch]:
    """Batches of all rows in their order; the last one is padded."""
    rows = np.arange(-(-count // size) * size).reshape(-1, size)
    return [PlannedBatch(bucket, np.where(r < count, r, PADDING)) for r in rows]


def _is_cached(config: RunConfig) -> bool:
    return config.reference.mode == "cached" and needs_reference(config.loss.build())


def needs_reference(loss: PreferenceLoss) -> bool:
    """Whether a loss needs log-probabilities of the reference policy."""
    return bool(loss.needs & {"reference", "mismatched"})


def _row(example: Any, logps: np.ndarray) -> dict[str, Any]:
    kept = [logps[n, : len(r)].copy() for n, r in enumerate(example.responses)]
    return {"id": example.id, "ref_logps": kept}


REFERENCE = Stage(
    name="reference",
    folder="reference",
    kind="reference",
    fields=("policy", "template", "reference"),
    reads=(INGEST, SFT, PAIR),
    work=_work,
    shared=True,
    needed=_is_cached,
)
