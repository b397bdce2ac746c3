"""The quickstart with a preference loss of one's own, which is written here.

Arguments: those of `quickstart.py`, but for `loss`.
"""

from __future__ import annotations

import jax
import ml_collections
from quickstart import get_config as quickstart

from chexjax.losses import PreferenceLoss, Responses, Rows, margin, number, pair_rows, register


@register("offset_dpo")
class OffsetDPO(PreferenceLoss):
    """`-log sigmoid(beta D - gamma (score of chosen - score of rejected))`.

    A pair that the judge finds far apart has to come further apart (Amini et al., "Direct
    Preference Optimization with an Offset", arXiv 2402.10571).
    """

    needs = frozenset({"reference"})

    beta: float = number(0.5, above=0)
    gamma: float = number(1.0, least=0)

    def __call__(self, responses: Responses) -> Rows:
        """Terms of pairs, chosen first."""
        rewards = self.beta * responses.ratios()
        logits = margin(rewards) - self.gamma * margin(responses.rewards)
        return pair_rows(responses, -jax.nn.log_sigmoid(logits), rewards)


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """The run's config."""
    config = quickstart(arg)
    config.loss.name = "offset_dpo"
    config.loss.options = {"gamma": 0.5}
    return config
