"""Direct preference optimisation, with the two ways to allow for wrong labels."""

from __future__ import annotations

from typing import ClassVar

import jax

from chexjax.losses.base import PreferenceLoss, Responses, Rows, margin, pair_rows
from chexjax.losses.registry import number, register


@register("dpo")
class DPO(PreferenceLoss):
    """`-(1 - e) log sigmoid(beta D) - e log sigmoid(-beta D)`.

    D is the summed log-ratio of chosen minus that of rejected, e the label smoothing. Rafailov et
    al., "Direct Preference Optimization" (arXiv 2305.18290), equation 7; smoothed as in Mitchell,
    "A note on DPO with noisy preferences" (2023).

    Attributes:
      beta: Strength of the pull towards the reference, in 1 / nat; above 0, usually 0.01-0.5.
      label_smoothing: Share of pairs that are believed to be labelled the wrong way round, 0 to
        0.5.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"reference"})

    beta: float = number(0.1, above=0)
    label_smoothing: float = number(0.0, least=0, most=0.5)

    def __call__(self, responses: Responses) -> Rows:
        """Terms of pairs, chosen first: N = 2."""
        rewards = self.beta * responses.ratios()
        right, wrong = both_ways(margin(rewards))
        e = self.label_smoothing
        return pair_rows(responses, (1 - e) * right + e * wrong, rewards)


@register("robust_dpo")
class RobustDPO(PreferenceLoss):
    """`(-(1 - e) log sigmoid(beta D) + e log sigmoid(-beta D)) / (1 - 2 e)`.

    Unbiased for DPO without noise where a share e of the pairs is labelled the wrong way round.
    Chowdhury et al., "Provably Robust DPO" (arXiv 2403.00409).

    Attributes:
      beta: As in DPO, above 0.
      label_smoothing: The share e, 0 to 0.49.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"reference"})

    beta: float = number(0.1, above=0)
    label_smoothing: float = number(0.1, least=0, most=0.49)

    def __call__(self, responses: Responses) -> Rows:
        """Terms of pairs, chosen first: N = 2."""
        rewards = self.beta * responses.ratios()
        right, wrong = both_ways(margin(rewards))
        e = self.label_smoothing
        return pair_rows(responses, ((1 - e) * right - e * wrong) / (1 - 2 * e), rewards)


def both_ways(logits: jax.Array) -> tuple[jax.Array, jax.Array]:
    """`-log sigmoid` of the logits and of their negatives."""
    return -jax.nn.log_sigmoid(logits), -jax.nn.log_sigmoid(-logits)
