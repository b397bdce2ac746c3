"""`sft`: supervised fine-tuning on the reference reports of the training studies, or a mixture.

Of no steps it is the import of a policy that has been fine-tuned elsewhere.
"""

from __future__ import annotations

import jax
from flax import nnx

from chexjax.artefacts import Artefact, Draft
from chexjax.data.study import Study
from chexjax.models import LanguageModel
from chexjax.rows import Rows
from chexjax.stages.context import Context, Stage
from chexjax.stages.fitting import Item, Lessons, fit, length_in_steps, make_examples
from chexjax.stages.ingest import INGEST
from chexjax.stages.mixture import MIXTURE, mixture_lessons, mixture_texts
from chexjax.stages.policies import save_policy
from chexjax.stages.start import (
    is_trained,
    new_model,
    new_tokens,
    report_texts,
    start_content,
)
from chexjax.trackers import StageTimer
from chexjax.train import SFT as Supervised


def references(studies: Rows) -> list[Item]:
    """Every training study with its reference report as the one response."""
    read = ((row, Study.from_row(study)) for row, study in enumerate(studies))
    return [(study, row, [study.findings], {}) for row, study in read if study.split == "train"]


def _work(context: Context, draft: Draft, timer: StageTimer) -> Artefact:
    config, family = context.config.sft, context.family
    studies = context.artefact(INGEST).rows()
    mixture = context.artefact(MIXTURE).rows() if MIXTURE.needed(context.config) else None
    texts = report_texts(studies, family.template) if mixture is None else mixture_texts(mixture)
    tokens = new_tokens(context, draft, texts)
    model = new_model(context, remat=config.remat)
    if not is_trained(context.config):
        return _untrained(context, draft, model)
    if mixture is None:
        lessons = Lessons(*make_examples(references(studies), tokens), studies, tokens)
    else:
        lessons = mixture_lessons(context.config, mixture, studies, tokens)
    return fit(
        context,
        draft,
        timer,
        label="sft",
        model=model,
        objective=Supervised(keep=config.keep_exponentials),
        config=config,
        total=length_in_steps(config, "sft", len(lessons.examples)),
        lessons=lessons,
    )


def _untrained(context: Context, draft: Draft, model: LanguageModel) -> Artefact:
    """The policy as it starts, which needs no moments beside it."""
    params = nnx.state(model)
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    statistics = {"steps": 0, "examples": 0, "parameters": count, "flops": 0.0}
    return save_policy(draft, context.family, params, statistics, rejects=0)


SFT = Stage(
    name="sft",
    folder="sft",
    kind="policy",
    fields=("seed", "policy", "sft"),
    reads=(INGEST, MIXTURE),
    work=_work,
    together=True,
    extra=start_content,
)
