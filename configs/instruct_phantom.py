"""The quickstart after instruction tuning: `sft` learns a mixture of tasks, and reports among them.

Arguments are those of `quickstart.py`. `chexjax answers` writes what the policy then answers to
held-out questions; `run` goes on with reports, as the quickstart does.
"""

from __future__ import annotations

import ml_collections
from quickstart import get_config as quickstart

from chexjax.data.instruct.tasks import TASKS


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """The run's config."""
    config = quickstart(arg)
    # Views to tell apart, and devices; few enough kinds, still, to be learnt in minutes.
    config.source.phantom.lateral = 0.3
    config.source.phantom.kinds = (*config.source.phantom.kinds, "tube")
    tasks = [name for name in TASKS if name != "age_group"]  # phantoms have no age
    config.mixture.tasks = dict.fromkeys(tasks, 1.0) | {"report": 6.0}
    config.mixture.per_study = 4
    config.sft.total_epochs = 1.0
    # Answers are short and reports are not.
    config.sft.buckets = 2
    return config
