"""The whole method on chest X-ray phantoms, in minutes on two CPU cores.

Arguments: `small` shrinks everything to seconds, for a look at the machinery; `seed=K` draws
other phantoms, another policy and other random bits; `loss=NAME` aligns with another loss, at its
own default numbers.
"""

from __future__ import annotations

import ml_collections

from chexjax.config import arguments, config_dict
from chexjax.stages.config import RunConfig


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """The run's config."""
    given = arguments(arg, small=False, seed=0, loss="dpo")
    config = config_dict(RunConfig())
    config.seed = config.source.phantom.seed = given.seed

    # Five kinds of finding: common enough, each, to be learnt in minutes.
    config.source.phantom.update(
        train=8192,
        validate=0,
        test=512,
        kinds=("cardiomegaly", "effusion", "pneumothorax", "consolidation", "pacemaker"),
        # As on a ward, where most pictures have a prior one, which the policy is not shown.
        prior=0.7,
    )

    config.sft.update(batch_size=16, total_epochs=3.5, buckets=2)
    config.sft.optimizer.learning_rate = 6e-4

    # A nucleus of 0.8: candidates differ where the policy is in doubt, not by slips of the die.
    config.sample.update(studies=768, max_new_tokens=72)
    config.sample.sampler.update(temperature=1.0, top_p=0.8)

    # The judge that comes with chexjax scores the candidates; the oracle, which knows what is true,
    # the held-out reports.
    config.judge.name = "green"
    config.evaluate.judge = "oracle"

    config.loss.name = given.loss
    if given.loss == "dpo":
        config.loss.options.beta = 0.5
    config.align.update(batch_size=16, total_epochs=2.0)
    config.align.optimizer.learning_rate = 1e-4

    config.evaluate.update(max_new_tokens=72, unit=128)

    if given.small:
        _shrink(config)
    return config


def _shrink(config: ml_collections.ConfigDict) -> None:
    config.policy.preset = "chexagent2_nano"
    # A policy of seconds writes nothing that the oracle can read; shared words it has.
    config.judge.name = "rouge_l"
    config.evaluate.judge = ""
    config.sample.sampler.top_p = 1.0
    config.source.phantom.update(train=64, test=16, size=64)
    config.source.unit = 32
    config.sft.update(batch_size=8, buckets=1, checkpoint_every=4, log_every=1)
    config.sample.update(studies=24, unit=8, max_new_tokens=24)
    config.judge.unit = 8
    config.reference.unit = 8
    config.align.update(batch_size=8, total_epochs=1.0, checkpoint_every=2, log_every=1)
    config.evaluate.update(max_new_tokens=24, unit=8)
