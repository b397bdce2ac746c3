"""Identity preference optimisation."""

from __future__ import annotations

from typing import ClassVar

import jax.numpy as jnp

from chexjax.losses.base import PreferenceLoss, Responses, Rows, margin, pair_rows
from chexjax.losses.registry import number, register


@register("ipo")
class IPO(PreferenceLoss):
    """`(D' - 1 / (2 beta))^2`, D' = log-ratio per token of chosen minus that of rejected.

    Azar et al., "A General Theoretical Paradigm to Understand Learning from Human Preferences"
    (arXiv 2310.12036), equation 17, with means where it has sums: so its authors, TRL and CheXalign
    compute it, and beta then does not depend on length.

    Attributes:
      beta: The margin that is aimed at is `1 / (2 beta)` nat a token; above 0, usually 0.01-0.5.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"reference"})

    beta: float = number(0.1, above=0)

    def __call__(self, responses: Responses) -> Rows:
        """Terms of pairs, chosen first: N = 2."""
        ratios = responses.mean_ratios()
        value = jnp.square(margin(ratios) - 1 / (2 * self.beta))
        return pair_rows(responses, value, self.beta * ratios)
