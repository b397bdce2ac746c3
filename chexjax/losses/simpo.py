"""Simple preference optimisation, and its contrastive forerunner: no reference policy."""

from __future__ import annotations

import jax

from chexjax.losses.base import CHOSEN, PreferenceLoss, Responses, Rows, margin, pair_rows
from chexjax.losses.registry import number, register


@register("simpo")
class SimPO(PreferenceLoss):
    """`-log sigmoid(beta (M(chosen) - M(rejected)) - gamma)`, M log-probabilities per token.

    Meng et al., "SimPO" (arXiv 2405.14734), equation 6.

    Attributes:
      beta: Scale, above 0, usually 2-2.5.
      gamma: Margin that is aimed at, in logits; at least 0, usually 0.5-1.6.
    """

    beta: float = number(2.0, above=0)
    gamma: float = number(0.5, least=0)

    def __call__(self, responses: Responses) -> Rows:
        """Terms of pairs, chosen first: N = 2."""
        rewards = self.beta * responses.means()
        return pair_rows(responses, -jax.nn.log_sigmoid(margin(rewards) - self.gamma), rewards)


@register("cpo")
class CPO(PreferenceLoss):
    """`-log sigmoid(beta (S(chosen) - S(rejected))) - alpha M(chosen)`, S sums and M means.

    Xu et al., "Contrastive Preference Optimization" (arXiv 2401.08417), with the
    likelihood of the chosen response per token, so that alpha does not depend on length.

    Attributes:
      beta: Scale, above 0, usually 0.1.
      alpha: Weight of the likelihood term, at least 0.
    """

    beta: float = number(0.1, above=0)
    alpha: float = number(1.0, least=0)

    def __call__(self, responses: Responses) -> Rows:
        """Terms of pairs, chosen first: N = 2."""
        rewards = self.beta * responses.sums()
        value = -jax.nn.log_sigmoid(margin(rewards)) - self.alpha * responses.means()[:, CHOSEN]
        return pair_rows(responses, value, rewards)
