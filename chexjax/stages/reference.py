"""`reference`: log-probabilities of all pairs under the starting policy, cached per token.

KTO's mismatched reports are scored in the same pass, so that one cache serves every loss.
"""

from __future__ import annotations

import dataclasses

from chexjax.artefacts import Artefact, ArtefactError, Draft
from chexjax.data.preferences import MISMATCHED, texts_of
from chexjax.data.study import Study
from chexjax.losses import PreferenceLoss
from chexjax.rows import Rows, Unit, map_units
from chexjax.stages.config import RunConfig
from chexjax.stages.context import Context, Stage
from chexjax.stages.fitting import Item, make_examples, spent
from chexjax.stages.ingest import INGEST
from chexjax.stages.pair import PAIR
from chexjax.stages.policies import load_policy, load_tokens
from chexjax.stages.scoring import Scorer
from chexjax.stages.sft import SFT
from chexjax.stages.visual import cached_tokens
from chexjax.trackers import StageTimer

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
    visual = cached_tokens(context)
    scorer = Scorer(
        context, load_policy(context, policy), examples, studies, tokens, unit=size, visual=visual
    )

    def unit(number: int) -> Unit:
        rows = [{"id": one.id, "ref_logps": logps} for one, logps in scorer.score(number)]
        return Unit(rows, rejects if number == 0 else [])

    statistics = spent(scorer.flops, scorer.slots, cached=visual is not None)
    return map_units(
        draft, scorer.units, unit, describe="reference", summarise=lambda _: statistics
    )


def _is_cached(config: RunConfig) -> bool:
    return config.reference.mode == "cached" and needs_reference(config.loss.build())


def needs_reference(loss: PreferenceLoss) -> bool:
    """Whether a loss needs log-probabilities of the reference policy."""
    return bool(loss.needs & {"reference", "mismatched"})


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
