"""`align`: preference optimisation of the policy on the pairs."""

from __future__ import annotations

from collections.abc import Iterable, Set
from typing import Any

from chexjax.artefacts import Artefact, Draft
from chexjax.config import own_source
from chexjax.data.preferences import SINGLE, texts_of
from chexjax.losses import LOSSES, PreferenceLoss, build
from chexjax.rows import Rows
from chexjax.stages.config import LossConfig, RunConfig
from chexjax.stages.context import Context, Stage
from chexjax.stages.fitting import Item, Lessons, fit, length_in_steps, make_examples
from chexjax.stages.ingest import INGEST
from chexjax.stages.pair import PAIR
from chexjax.stages.policies import copy_tokenizer, load_policy, load_tokens
from chexjax.stages.reference import REFERENCE, needs_reference, pair_items
from chexjax.stages.sft import SFT
from chexjax.stages.visual import cached_tokens
from chexjax.trackers import StageTimer
from chexjax.train import Preference


def with_reference(items: Iterable[Item], reference: Rows) -> list[Item]:
    """Adds the cached log-probabilities to the pairs that have some."""
    cached = {row["id"]: row["ref_logps"] for row in reference}
    return [
        (study, row, reports, {**columns, "ref_logps": cached[study.id][: len(reports)]})
        for study, row, reports, columns in items
        if study.id in cached
    ]


def make_objective(config: RunConfig, *, single: bool) -> Preference:
    """The loss of a config, of `single` reports or of pairs, and beside it what is to be logged."""
    loss = config.loss.build()
    return Preference(
        loss,
        beside=_beside(config.loss, loss, single) if config.loss.log_all_losses else {},
        keep=config.align.keep_exponentials,
        reference=config.reference.in_step() if needs_reference(loss) else None,
    )


def _beside(config: LossConfig, loss: PreferenceLoss, single: bool) -> dict[str, PreferenceLoss]:
    """Every other loss whose needs are met; those left out are named."""
    beside, left_out = {}, {}
    for name in sorted(LOSSES.keys() - {config.name}):
        try:
            other = build(name, {})
        except (TypeError, ValueError):
            left_out[name] = "has no default"
            continue
        if lacking := other.needs - loss.needs:
            left_out[name] = f"needs {', '.join(sorted(lacking))}, which {config.name} does not"
        elif single and not other.unpaired:
            left_out[name] = "learns from pairs"
        else:
            beside[name] = other
    for name, reason in left_out.items():
        print(f"align: log_all_losses leaves out {name}: it {reason}", flush=True)
    return beside


def _items(context: Context, needs: Set[str]) -> list[Item]:
    """The pairs, with what the loss needs of them."""
    studies, pairs = context.artefact(INGEST).rows(), context.artefact(PAIR).rows()
    items = pair_items(studies, pairs, mismatched="mismatched" in needs)
    if not REFERENCE.needed(context.config):
        return items
    return with_reference(items, context.artefact(REFERENCE).rows())


def _work(context: Context, draft: Draft, timer: StageTimer) -> Artefact:
    config = context.config.align
    single = texts_of(context.artefact(PAIR).rows()[0]) == SINGLE
    objective = make_objective(context.config, single=single)
    policy = context.artefact(SFT)
    copy_tokenizer(draft, policy)
    tokens = load_tokens(context.pair_family, policy)
    examples, rejects = make_examples(_items(context, objective.loss.needs), tokens)
    studies = context.artefact(INGEST).rows()
    return fit(
        context,
        draft,
        timer,
        label="align",
        model=load_policy(context, policy, remat=config.remat),
        objective=objective,
        config=config,
        total=length_in_steps(config, "align", len(examples)),
        lessons=Lessons(examples, rejects, studies, tokens, cached_tokens(context)),
    )


def _extra(config: RunConfig) -> dict[str, Any]:
    """The text of a user's own loss, and of which kind the reference is that a step runs."""
    source, reference = own_source(LOSSES[config.loss.name]), config.reference
    extra: dict[str, Any] = {} if source is None else {"own_loss": source}
    if reference.mode != "cached":
        moving = {"mode": reference.mode, "every": reference.every, "decay": reference.decay}
        extra["reference"] = moving
    return extra


ALIGN = Stage(
    name="align",
    folder="aligned",
    kind="policy",
    fields=("seed", "policy", "template", "loss", "align"),
    reads=(INGEST, SFT, PAIR, REFERENCE),
    work=_work,
    together=True,
    extra=_extra,
)
