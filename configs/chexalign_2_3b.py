"""CheXalign's recipe for CheXagent-2 (3B), with stand-ins for its studies and its judge.

Hein et al., "CheXalign" (arXiv 2410.07025), in the numbers of its released code: 148k studies, four
candidates of each at temperature 1, best against worst, one epoch at 1e-6 over the whole language
model, 64 pairs a step. For a pod slice or eight GPUs; all devices stand on the mesh's fsdp axis,
which `--config.mesh.fsdp=4 --config.mesh.data=-1` changes. It starts from the fine-tuned
checkpoint, which you bring:

    chexjax run --config=configs/chexalign_2_3b.py --config.policy.checkpoint=FOLDER --workdir=DIR

`JAX_NUM_CPU_DEVICES=8 JAX_PLATFORMS=cpu` before it and `--dry_run` behind it show what each of
eight devices would hold, on any machine and without the checkpoint.

What is not the paper's:
- The studies. As many phantoms stand in for MIMIC-CXR, drawn with two views. They show that the
  recipe runs and what it costs, nothing about its results.
- The judge. ROUGE-L stands in, which any text can be scored by; with a server that has GREEN,
  `--config.judge.name=green --config.judge.green.endpoint.url=URL` is the paper's.
- The layout of pairs is that of the prompts which the policy is asked with. The released code has
  the reports as turns of the user: `--config.template=reference_compatible`.
- Nothing is cut. The released code cuts at 3,072 tokens, past the 2,048 positions that the
  checkpoint declares, of which two images alone take 2,080; positions are rotated, so they go on.
- `control` and `evaluate`, which belong to every run here.

Arguments: `loss=NAME`, the paper's being `dpo`, `lc_dpo`, `ipo`, `kto` and `orpo`; `beta=0.05`, 0.1
unless given, and the paper tried 0.05 and 0.01 with DPO; `studies=N`; `small` runs the same chain
at toy size on two CPU cores, with a policy that it trains first.
"""

from __future__ import annotations

import ml_collections

from chexjax.config import arguments, config_dict
from chexjax.stages.config import RunConfig

MICRO_BATCH = 16
"""Pairs of a step that are in memory together, over all devices."""


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """The run's config."""
    return recipe(arg, "chexagent2_3b", studies=148_000, pixels=512, nano="chexagent2_nano")


def recipe(
    arg: str | None, preset: str, *, studies: int, pixels: int, nano: str
) -> ml_collections.ConfigDict:
    """The recipe for a policy that takes images of `pixels`, and for `nano` at toy size."""
    given = arguments(arg, loss="dpo", beta=0.1, studies=studies, small=False)
    config = config_dict(RunConfig())
    config.seed = 42
    config.source.phantom.update(
        train=given.studies, validate=0, test=512, size=pixels, lateral=1.0, seed=42
    )
    config.policy.update(preset=preset, compute_dtype="bfloat16")

    # Fine-tuned already. Its numbers are the control's, which takes a tenth of the rate.
    config.sft.update(total_steps=0, total_epochs=None, freeze=config.align.freeze)

    # The released code sets no top-k, and so has the 50 of the library that it calls.
    config.sample.update(studies=given.studies, candidates=4, max_new_tokens=512)
    config.sample.sampler.update(temperature=1.0, top_k=50, top_p=1.0)
    config.judge.name = "rouge_l"
    config.judge.green.endpoint.model = "StanfordAIMI/GREEN-radllama2-7b"
    config.judge.green.endpoint.frame = "green_llama2_7b"
    config.pair.tie = 1e-8

    config.loss.name = given.loss
    config.loss.options.beta = given.beta
    if given.loss == "lc_dpo":
        config.loss.options.alpha = 0.05
    # KTO's 64 rows are single reports, so 32 pairs.
    _train(config.sft, rate=1e-5, batch=64)
    _train(config.align, rate=1e-6, batch=32 if given.loss == "kto" else 64)
    config.align.total_epochs = 1.0

    config.evaluate.update(max_new_tokens=512)
    config.mesh.update(data=1, fsdp=-1)
    if given.small:
        _shrink(config, nano)
    return config


def _train(config: ml_collections.ConfigDict, *, rate: float, batch: int) -> None:
    config.update(
        batch_size=batch, accumulate=batch // MICRO_BATCH, buckets=4, remat="block", log_every=10
    )
    config.optimizer.update(
        learning_rate=rate,
        warmup_share=0.1,
        final_share=0.0,
        b1=0.9,
        b2=0.999,
        weight_decay=0.0,
        clip=1.0,
    )


def _shrink(config: ml_collections.ConfigDict, nano: str) -> None:
    config.policy.update(preset=nano, compute_dtype="auto")
    config.source.update(unit=32)
    config.source.phantom.update(train=64, test=16, size=64)
    config.sft.update(total_steps=8, batch_size=8, accumulate=1, log_every=1)
    config.sft.optimizer.learning_rate = 6e-4
    config.sample.update(studies=24, unit=8, max_new_tokens=24)
    config.judge.unit = config.reference.unit = 8
    config.align.update(batch_size=8, accumulate=2, log_every=1)
    for stage in (config.sft, config.align):
        stage.update(buckets=1, checkpoint_every=4)
    config.evaluate.update(max_new_tokens=24, unit=8)
