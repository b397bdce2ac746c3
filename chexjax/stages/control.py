"""`control`: SFT continued for the compute that alignment took.

What sampling, reference log-probs and alignment cost in floating-point operations is spent on
more supervised steps from the same policy, so that a gain of alignment is never one of compute.
The learning rate starts over at a tenth of SFT's: started over at the full rate, the control first
unlearns what SFT's decay had won, and is no match (on the quickstart a tenth did best of 1, 0.3 and
0.1).
"""

from __future__ import annotations

import dataclasses
import math

from chexjax.artefacts import Artefact, Draft
from chexjax.stages.align import ALIGN
from chexjax.stages.context import Context, Stage
from chexjax.stages.fitting import Lessons, fit, make_examples
from chexjax.stages.ingest import INGEST
from chexjax.stages.policies import copy_tokenizer, load_policy, load_tokens
from chexjax.stages.reference import REFERENCE
from chexjax.stages.sample import SAMPLE
from chexjax.stages.sft import SFT, references
from chexjax.trackers import StageTimer
from chexjax.train import SFT as Supervised

_EXTRA = (SAMPLE, REFERENCE, ALIGN)
_RATE = 0.1


def _work(context: Context, draft: Draft, timer: StageTimer) -> Artefact:
    sft = context.artefact(SFT)
    ran = [stage for stage in _EXTRA if stage.needed(context.config)]
    extra = sum(_cost(context.artefact(stage)) for stage in ran)
    studies = context.artefact(INGEST).rows()
    copy_tokenizer(draft, sft)
    tokens = load_tokens(context.family, sft)
    optimizer = context.config.sft.optimizer
    optimizer = dataclasses.replace(optimizer, learning_rate=_RATE * optimizer.learning_rate)
    examples, rejects = make_examples(references(studies), tokens)
    return fit(
        context,
        draft,
        timer,
        label="control",
        model=load_policy(context, sft, remat=context.config.sft.remat),
        objective=Supervised(),
        config=dataclasses.replace(context.config.sft, optimizer=optimizer),
        total=lambda cost: math.ceil(extra / cost),
        lessons=Lessons(examples, rejects, studies, tokens),
    )


def _cost(artefact: Artefact) -> float:
    """Operations, with those that cached visual tokens spared: they change nobody's result."""
    statistics = artefact.statistics
    return float(statistics["flops"] + statistics.get("flops_spared", 0.0))


CONTROL = Stage(
    name="control",
    folder="control",
    kind="policy",
    fields=("seed", "policy", "sft"),
    reads=(INGEST, SFT, *_EXTRA),
    work=_work,
    together=True,
    extra=lambda _: {"rate": _RATE},
)
