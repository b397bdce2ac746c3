"""A small judge in GREEN's format, trained on reports whose errors are known.

    chexjax train_judge --config=configs/train_judge.py --workdir=runs/judge

`trained_judge/judge` in the workdir is then a Hugging Face folder. So was the judge made that comes
with chexjax, in two runs whose settings its card has. `--config.train_judge.start=FOLDER` goes on
from a judge, `chexjax/judges/green_nano` for one; `--config.train_judge.run=WORKDIR` also examines
it with the candidates of a run, as those of `configs/quickstart.py`.

Arguments: `edits` trains on the reports of any source, with errors put into their text by rule
(then run `ingest` first); `small` shrinks everything to seconds; `seed=K`.
"""

from __future__ import annotations

import ml_collections

from chexjax.config import arguments, config_dict
from chexjax.stages.config import RunConfig


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """The run's config."""
    given = arguments(arg, small=False, edits=False, seed=0)
    config = config_dict(RunConfig())
    config.seed = config.source.phantom.seed = given.seed
    config.source.phantom.update(train=4096, validate=0, test=512, size=32)
    own = config.train_judge
    own.update(errors="edits" if given.edits else "content", limit=320 if given.edits else 160)
    own.train.update(batch_size=8, total_epochs=1.0, buckets=3, remat="none")
    own.train.keep_exponentials = True
    own.train.optimizer.update(learning_rate=3e-3, b2=0.98, warmup_share=0.05, final_share=0.02)
    if given.small:
        config.source.phantom.update(train=16, test=8)
        config.source.unit = 8
        own.update(preset="green_pico", lessons=32, examined=4, limit=32)
        own.train.update(batch_size=4, buckets=1, checkpoint_every=2, log_every=1)
    return config
