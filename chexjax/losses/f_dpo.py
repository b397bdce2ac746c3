"""DPO under other divergences from the reference than the reverse Kullback-Leibler one."""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp

from chexjax.losses.base import PreferenceLoss, Responses, Rows, margin, pair_rows
from chexjax.losses.registry import choice, number, register

# Probabilities of whole reports differ by many orders of magnitude; beyond e^60 the exponential of
# a log-ratio is held, which keeps its square within float32.
_TOP = 60.0


@register("f_dpo")
class FDPO(PreferenceLoss):
    """`-log sigmoid(beta (f'(u(chosen)) - f'(u(rejected))))`, u ratios of probabilities.

    f generates the divergence. Wang et al., "Beyond Reverse KL" (arXiv 2309.16240); `chi_squared`
    is Huang et al., "Correcting the Mythos of KL-Regularization" (arXiv 2407.13399), without its
    clipping.

    Attributes:
      beta: As in DPO, above 0.
      divergence: `reverse_kl` (which is DPO), `forward_kl`, `jensen_shannon`, `alpha`, or
        `chi_squared`, of which half is added to the reverse KL.
      order: The alpha of `alpha`, above 0 and at most 1; towards 0 it is the reverse KL, at 1 the
        forward one.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"reference"})

    beta: float = number(0.1, above=0)
    divergence: str = choice("chi_squared", "reverse_kl", "forward_kl", "jensen_shannon", "alpha")
    order: float = number(0.5, above=0, most=1)

    def __call__(self, responses: Responses) -> Rows:
        """Terms of pairs, chosen first: N = 2."""
        rewards = self.beta * self._slope(responses.ratios())
        return pair_rows(responses, -jax.nn.log_sigmoid(margin(rewards)), rewards)

    def _slope(self, ratios: jax.Array) -> jax.Array:
        """f' at the exponential of log-ratios, up to a constant."""
        match self.divergence:
            case "reverse_kl":
                return ratios
            case "forward_kl":
                return -_exp(-ratios)
            case "jensen_shannon":
                return jax.nn.log_sigmoid(ratios)
            case "alpha":
                return -_exp(-self.order * ratios) / self.order
            case _:
                return _exp(ratios) + ratios


def _exp(x: jax.Array) -> jax.Array:
    return jnp.exp(jnp.minimum(x, _TOP))
