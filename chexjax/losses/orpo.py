"""Odds-ratio preference optimisation."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from chexjax.losses.base import (
    CHOSEN,
    PreferenceLoss,
    Responses,
    Rows,
    margin,
    pair_rows,
)
from chexjax.losses.registry import choice, number, register


@register("orpo")
class ORPO(PreferenceLoss):
    """`NLL(chosen) - beta log sigmoid(log odds of chosen - log odds of rejected)`.

    The odds are `p / (1 - p)` of the mean log-probability per token; no reference is needed.
    Hong et al., "ORPO" (arXiv 2403.07691).

    Attributes:
      beta: Weight of the odds ratio (the paper's lambda), at least 0, usually 0.1.
      nll: `response`: the mean over the chosen response's tokens, as in the paper; `prompt`: over
        these and the prompt's text, as TRL computes it.
    """

    beta: float = number(0.1, least=0)
    nll: str = choice("response", "prompt")

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        """The prompt's log-probabilities where they are counted."""
        return frozenset({"prompt"}) if self.nll == "prompt" else frozenset()

    def __call__(self, responses: Responses) -> Rows:
        """Terms of pairs, chosen first: N = 2."""
        means = responses.means()
        odds = means - _log1mexp(means)
        value = self._nll(responses) - self.beta * jax.nn.log_sigmoid(margin(odds))
        return pair_rows(responses, value, self.beta * means)

    def _nll(self, responses: Responses) -> jax.Array:
        if self.nll == "response":
            return -responses.means()[:, CHOSEN]
        if responses.prompt is None:
            raise ValueError("orpo with nll='prompt' needs the prompt's log-probs")
        total = responses.sums()[:, CHOSEN] + responses.prompt.logps
        return -total / (responses.lengths()[:, CHOSEN] + responses.prompt.count)


def _log1mexp(x: jax.Array) -> jax.Array:
    """`log(1 - exp(x))` for x < 0, exact near 0 and far from it."""
    x = jnp.minimum(x, -1e-7)  # of a response that is certain the odds would be infinite
    return jnp.log(-jnp.expm1(x))
