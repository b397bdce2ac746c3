"""CheXalign's benchmark grid: judges x losses x models, from one set of candidates of each model.

    chexjax run --config=configs/benchmark.py --workdir=runs/benchmark

Each model is fine-tuned and sampled once, each judge scores these candidates once, and each loss
takes the pairs and the reference cache of its judge. All runs are compared by one judge.

What is not the paper's: the phantoms' oracle and ROUGE-L judge, since GREEN and BERTScore need
weights, the oracle once more controlled for length; and the models are toys of CheXagent-2's and
CheXagent's shapes. For real ones an axis is written anew, with a checkpoint in each point:

    config.sweep.axes["model"] = (
        "chexagent-2: policy.preset=chexagent2_3b policy.checkpoint=FOLDER sft.total_steps=0 ...",
    )

Arguments: `small` shrinks everything to seconds a run, where ROUGE-L and BLEU judge; `seed=K`.
"""

from __future__ import annotations

import ml_collections
import quickstart

from chexjax.config import arguments

LOSSES = (
    "dpo: loss.name=dpo loss.options.beta=0.5",
    "lc_dpo: loss.name=lc_dpo loss.options.beta=0.5 loss.options.alpha=0.05",
    "ipo: loss.name=ipo loss.options.beta=0.5",
    "kto: loss.name=kto loss.options.beta=0.5",
    "orpo: loss.name=orpo loss.options.beta=0.5",
)


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """The grid's config."""
    given = arguments(arg, small=False, seed=0)
    small = "small," if given.small else ""
    config = quickstart.get_config(f"{small}seed={given.seed},loss=ipo")
    config.source.phantom.validate = 8 if given.small else 256
    judges = ("rouge_l", "bleu") if given.small else ("oracle", "lc_oracle", "rouge_l")
    models = {"chexagent-2": "chexagent2_nano" if given.small else "chexagent2_tiny"}
    models["chexagent"] = "chexagent_nano"
    config.sweep.axes["model"] = tuple(f"{n}: policy.preset={p}" for n, p in models.items())
    config.sweep.axes["judge"] = tuple(f"{name}: judge.name={name}" for name in judges)
    config.sweep.axes["loss"] = LOSSES
    config.sweep.select_by = f"lc_{judges[0]}"
    return config
