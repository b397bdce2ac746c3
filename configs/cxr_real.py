"""Real pixels: three hundred chest X-rays with labels, in a policy of CheXagent-2's shape.

    chexjax run --config=configs/cxr_real.py --workdir=runs/cxr --config.source.path=FOLDER

`FOLDER` has a `manifest.jsonl` with a picture, its view, sex, age and labels in each row, and no
report: the labels, a sentence each, are the reference. Tuning is on questions about view, age
group and labels beside these findings, and alignment on pairs that the labels' F1 makes. So few
pictures teach nobody to read X-rays. What the run shows is that real files go the whole way, and
how far beyond the commonest answer so little data carries.

Arguments: `small` shrinks everything to seconds; `seed=K`.
"""

from __future__ import annotations

import ml_collections

from chexjax.config import arguments, config_dict
from chexjax.stages.config import NEIGHBOUR, RunConfig


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """The run's config."""
    given = arguments(arg, small=False, seed=0)
    config = config_dict(RunConfig())
    config.seed = given.seed

    config.source.name = "table"
    # One column is both: what is found, and by which names.
    config.source.table.update(findings="findings", labels="findings")
    config.source.image.size = 256
    config.policy.preset = "chexagent2_tiny"

    config.mixture.tasks = {"view": 1.0, "age_group": 1.0, "disease": 1.0, "report": 3.0}
    config.sft.update(batch_size=16, total_epochs=20.0, buckets=2)
    config.sft.optimizer.learning_rate = 6e-4

    config.sample.update(max_new_tokens=48)
    config.judge.name = "rule_labels"
    config.align.update(batch_size=16, total_epochs=2.0)
    config.align.optimizer.learning_rate = 1e-4
    config.evaluate.update(
        max_new_tokens=48,
        unit=64,
        metrics=("rouge_l",),
        systems=(NEIGHBOUR, "SFT", "SFT continued", "aligned"),
    )
    # View, and one or many of the labels, as CheXbench asks for them.
    config.chexbench.questions = "studies"
    config.chexbench.max_new_tokens = 16

    if given.small:
        config.policy.preset = "chexagent2_nano"
        config.sft.update(batch_size=8, total_epochs=1.0)
        config.sample.update(studies=16, unit=8, max_new_tokens=12)
        config.align.update(batch_size=8, total_epochs=1.0)
        config.evaluate.update(studies=16, unit=8, max_new_tokens=12)
        config.chexbench.count = 4
    return config
