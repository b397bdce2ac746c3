"""`sft`: supervised fine-tuning on the reference reports of the training studies."""

from __future__ import annotations

from chexjax.artefacts import Artefact, Draft
from chexjax.data.study import Study
from chexjax.rows import Rows
from chexjax.stages.context import Context, Stage
from chexjax.stages.fitting import Item, fit, length_in_steps, make_examples
from chexjax.stages.ingest import INGEST
from chexjax.stages.policies import new_model, new_tokens
from chexjax.trackers import StageTimer
from chexjax.train import SFT as Supervised


def references(studies: Rows) -> list[Item]:
    """Every training study with its reference report as the one response."""
    read = ((row, Study.from_row(study)) for row, study in enumerate(studies))
    return [(study, row, [study.findings], {}) for row, study in read if study.split == "train"]


def _work(context: Context, draft: Draft, timer: StageTimer) -> Artefact:
    config = context.config.sft
    studies = context.artefact(INGEST).rows()
    tokens = new_tokens(context, draft.path / "tokenizer", studies)
    examples, rejects = make_examples(references(studies), tokens)
    return fit(
        context,
        draft,
        timer,
        label="sft",
        model=new_model(context, remat=config.remat),
        objective=Supervised(keep=config.keep_exponentials),
        config=config,
        total=length_in_steps(config, "sft", len(examples)),
        examples=examples,
        rejects=rejects,
        studies=studies,
        tokens=tokens,
    )


SFT = Stage(
    name="sft",
    folder="sft",
    kind="policy",
    fields=("seed", "policy", "sft"),
    reads=(INGEST,),
    work=_work,
)
