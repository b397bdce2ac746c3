"""`align`: preference optimisation of the policy on the pairs."""

from __future__ import annotations

import shutil

from chexjax.artefacts import Artefact, Draft
from chexjax.config import ConfigError
from chexjax.losses import PreferenceLoss, build, own_source
from chexjax.rows import Rows
from chexjax.stages.config import LossConfig, RunConfig
from chexjax.stages.context import Context, Stage
from chexjax.stages.fitting import Item, fit, length_in_steps, make_examples
from chexjax.stages.ingest import INGEST
from chexjax.stages.pair import PAIR
from chexjax.stages.policies import load_policy, load_tokens
from chexjax.stages.reference import REFERENCE, pair_items
from chexjax.stages.sft import SFT
from chexjax.trackers import StageTimer
from chexjax.train import Preference


def make_loss(config: LossConfig) -> PreferenceLoss:
    """The loss of a config; errors name the config field."""
    try:
        return build(config.name, config.options)
    except ValueError as error:
        raise ConfigError(f"config.loss: {error}") from error


def _own_loss(config: RunConfig) -> dict[str, str]:
    """The text of the loss where it is the user's own."""
    source = own_source(config.loss.name)
    return {} if source is None else {"own_loss": source}


def with_reference(items: list[Item], reference: Rows) -> list[Item]:
    """Adds the cached log-probabilities to the pairs that have some."""
    cached = {row["id"]: row["ref_logps"] for row in reference}
    return [
        (study, row, reports, {**columns, "ref_logps": cached[study.id]})
        for study, row, reports, columns in items
        if study.id in cached
    ]


def _work(context: Context, draft: Draft, timer: StageTimer) -> Artefact:
    config = context.config.align
    loss = make_loss(context.config.loss)
    policy = context.artefact(SFT)
    studies, pairs = context.artefact(INGEST).rows(), context.artefact(PAIR).rows()
    shutil.copytree(policy.path / "tokenizer", draft.path / "tokenizer", dirs_exist_ok=True)
    tokens = load_tokens(context.pair_family, policy)
    items = with_reference(pair_items(studies, pairs), context.artefact(REFERENCE).rows())
    examples, rejects = make_examples(items, tokens)
    return fit(
        context,
        draft,
        timer,
        label="align",
        model=load_policy(context, policy, remat=config.remat),
        objective=Preference(loss),
        config=config,
        total=length_in_steps(config, "align", len(examples)),
        examples=examples,
        rejects=rejects,
        studies=studies,
        tokens=tokens,
    )


ALIGN = Stage(
    name="align",
    folder="aligned",
    kind="policy",
    fields=("seed", "policy", "template", "loss", "align"),
    reads=(INGEST, SFT, PAIR, REFERENCE),
    work=_work,
    extra=_own_loss,
)
