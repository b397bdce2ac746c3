"""Direct preference optimisation."""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp

from chexjax.losses.base import (
    CHOSEN,
    REJECTED,
    PreferenceLoss,
    Responses,
    Rows,
    pair_metrics,
    register,
)


@register("dpo")
class DPO(PreferenceLoss):
    """`-log sigmoid(beta * D)`, D = summed log-ratio of chosen minus that of rejected.

    Rafailov et al., "Direct Preference Optimization" (arXiv 2305.18290), equation 7.

    Attributes:
      beta: Strength of the pull towards the reference, in 1 / nat; above 0, usually 0.01-0.5.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"reference"})

    beta: float = 0.1

    def __call__(self, responses: Responses) -> Rows:
        """Terms of pairs, chosen first: N = 2."""
        rewards = self.beta * responses.ratios()
        weight = responses.valid.astype(jnp.float32)
        loss = -jax.nn.log_sigmoid(rewards[:, CHOSEN] - rewards[:, REJECTED])
        return Rows(loss * weight, weight, pair_metrics(responses, rewards))
