"""Anchored preference optimisation: which way each response moves is chosen, too."""

from __future__ import annotations

from typing import ClassVar

import jax

from chexjax.losses.base import CHOSEN, REJECTED, PreferenceLoss, Responses, Rows, margin, pair_rows
from chexjax.losses.registry import number, register


@register("apo_zero")
class APOZero(PreferenceLoss):
    """`(1 - sigmoid(beta r(chosen))) + sigmoid(beta r(rejected))`, r summed log-ratios.

    Makes the chosen response more likely and the rejected one less: for pairs that are better than
    what the policy writes. D'Oosterlinck et al., "Anchored Preference Optimization"
    (arXiv 2408.06266).

    Attributes:
      beta: As in DPO, above 0.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"reference"})

    beta: float = number(0.1, above=0)

    def __call__(self, responses: Responses) -> Rows:
        """Terms of pairs, chosen first: N = 2."""
        rewards = self.beta * responses.ratios()
        value = jax.nn.sigmoid(-rewards[:, CHOSEN]) + jax.nn.sigmoid(rewards[:, REJECTED])
        return pair_rows(responses, value, rewards)


@register("apo_down")
class APODown(PreferenceLoss):
    """`sigmoid(beta r(chosen)) + (1 - sigmoid(beta (r(chosen) - r(rejected))))`.

    Makes both less likely, the rejected one more so: for a policy that is better than the chosen
    responses. D'Oosterlinck et al. (arXiv 2408.06266).

    Attributes:
      beta: As in DPO, above 0.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"reference"})

    beta: float = number(0.1, above=0)

    def __call__(self, responses: Responses) -> Rows:
        """Terms of pairs, chosen first: N = 2."""
        rewards = self.beta * responses.ratios()
        value = jax.nn.sigmoid(rewards[:, CHOSEN]) + jax.nn.sigmoid(-margin(rewards))
        return pair_rows(responses, value, rewards)
