"""Losses that leave a pair alone once its margin is wide enough."""

from __future__ import annotations

from typing import ClassVar

import jax

from chexjax.losses.base import CHOSEN, PreferenceLoss, Responses, Rows, margin, pair_rows
from chexjax.losses.registry import number, register


@register("hinge")
class Hinge(PreferenceLoss):
    """`max(0, 1 - beta D)`, D = summed log-ratio of chosen minus that of rejected.

    Liu et al., "Statistical Rejection Sampling Improves Preference Optimization"
    (arXiv 2309.06657).

    Attributes:
      beta: The margin that is aimed at is `1 / beta` nats; above 0, usually 0.01-0.5.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"reference"})

    beta: float = number(0.1, above=0)

    def __call__(self, responses: Responses) -> Rows:
        """Terms of pairs, chosen first: N = 2."""
        rewards = self.beta * responses.ratios()
        return pair_rows(responses, jax.nn.relu(1 - margin(rewards)), rewards)


@register("slic")
class SLiC(PreferenceLoss):
    """`max(0, delta - (S(chosen) - S(rejected))) - weight * S(chosen)`, S summed log-probabilities.

    Needs no reference. Zhao et al., "SLiC-HF" (arXiv 2305.10425), with the chosen
    response as the target of its regulariser.

    Attributes:
      delta: Margin that is aimed at, in nats, above 0.
      weight: Of the regulariser, at least 0.
    """

    delta: float = number(1.0, above=0)
    weight: float = number(0.01, least=0)

    def __call__(self, responses: Responses) -> Rows:
        """Terms of pairs, chosen first: N = 2."""
        sums = responses.sums()
        value = jax.nn.relu(self.delta - margin(sums)) - self.weight * sums[:, CHOSEN]
        return pair_rows(responses, value, sums)
