"""DPO that is controlled for length: three ways."""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp

from chexjax.losses.base import PreferenceLoss, Responses, Rows, margin, pair_rows
from chexjax.losses.registry import number, register


@register("lc_dpo")
class LCDPO(PreferenceLoss):
    """`-log sigmoid(beta D + alpha (length of chosen - length of rejected))`, also called R-DPO.

    A chosen response that is the longer one is credited with its length, so less is left to learn
    from it. Lengths are response tokens, the end token included. Park et al., "Disentangling Length
    from Quality in DPO" (arXiv 2403.19159); CheXalign's LC-DPO is the same.

    Attributes:
      beta: As in DPO, above 0.
      alpha: Worth of a token, in logits; at least 0, and 0 is DPO. CheXalign's config has 0.05.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"reference"})

    beta: float = number(0.1, above=0)
    alpha: float = number(0.05, least=0)

    def __call__(self, responses: Responses) -> Rows:
        """Terms of pairs, chosen first: N = 2."""
        rewards = self.beta * responses.ratios()
        logits = margin(rewards) + self.alpha * margin(responses.lengths())
        return pair_rows(responses, -jax.nn.log_sigmoid(logits), rewards)


@register("ln_dpo")
class LNDPO(PreferenceLoss):
    """`-log sigmoid(beta D')`, D' of log-ratios per token: DPO normalised by length.

    Lambert et al., "Tulu 3" (arXiv 2411.15124).

    Attributes:
      beta: Per-token ratios are small, so this is larger than DPO's; above 0, usually 2-10.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"reference"})

    beta: float = number(5.0, above=0)

    def __call__(self, responses: Responses) -> Rows:
        """Terms of pairs, chosen first: N = 2."""
        rewards = self.beta * responses.mean_ratios()
        return pair_rows(responses, -jax.nn.log_sigmoid(margin(rewards)), rewards)


@register("ld_dpo")
class LDDPO(PreferenceLoss):
    """DPO in which the tokens that one response has beyond the other's length count for less.

    Liu et al., "Length Desensitization in DPO" (arXiv 2409.06411).

    Attributes:
      beta: As in DPO, above 0.
      alpha: Weight of the tokens beyond the shorter response, 0 to 1; 1 is DPO.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"reference"})

    beta: float = number(0.1, above=0)
    alpha: float = number(0.5, least=0, most=1)

    def __call__(self, responses: Responses) -> Rows:
        """Terms of pairs, chosen first: N = 2."""
        shared = responses.lengths().min(-1)[:, None, None]
        order = jnp.cumsum(responses.mask, axis=-1)
        weights = jnp.where(order <= shared, 1.0, self.alpha)
        rewards = self.beta * (weights * responses.token_ratios()).sum(-1)
        return pair_rows(responses, -jax.nn.log_sigmoid(margin(rewards)), rewards)
