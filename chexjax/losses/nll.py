"""Plain likelihood of the chosen response: a term of mixtures."""

from __future__ import annotations

from chexjax.losses.base import CHOSEN, PreferenceLoss, Responses, Rows, pair_rows
from chexjax.losses.registry import register


@register("nll")
class NLL(PreferenceLoss):
    """`-M(chosen)`, its mean log-probability per token.

    With DPO in a mixture it keeps the chosen response likely: Pang et al., "Iterative Reasoning
    Preference Optimization" (arXiv 2404.19733).
    """

    def __call__(self, responses: Responses) -> Rows:
        """Terms of pairs, chosen first: N = 2."""
        means = responses.means()
        return pair_rows(responses, -means[:, CHOSEN], means)
