"""Losses and betas from one set of pairs and one reference cache, compared at the end.

    chexjax run --config=configs/sweep.py --workdir=runs/sweep

Studies, SFT, candidates, scores, pairs and reference are made once, as in `quickstart.py`; each
point has an aligned policy of its own. A point is a name and the fields that it sets: write more,
or other axes, and run the command again; what is there stays. Arguments: those of `quickstart.py`
but for `loss`.
"""

from __future__ import annotations

import ml_collections
import quickstart

from chexjax.config import arguments


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """The sweep's config."""
    given = arguments(arg, small=False, seed=0)
    # IPO of the quickstart, so that no option of another loss is set before a point sets its own.
    small = "small," if given.small else ""
    config = quickstart.get_config(f"{small}seed={given.seed},loss=ipo")
    config.source.phantom.validate = 8 if given.small else 256
    losses = [f"dpo-{beta}: loss.name=dpo loss.options.beta={beta}" for beta in (0.1, 0.5, 2.0)]
    losses += [
        "lc_dpo-0.5: loss.name=lc_dpo loss.options.beta=0.5 loss.options.alpha=0.05",
        "ipo-0.5: loss.name=ipo loss.options.beta=0.5",
        "simpo: loss.name=simpo",
    ]
    config.sweep.axes["loss"] = tuple(losses[:2] if given.small else losses)
    config.sweep.select_by = f"lc_{config.judge.name}"
    return config
