"""Kahneman-Tversky optimisation: of single responses, each desirable or not."""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp

from chexjax.losses.base import Metrics, Mismatched, PreferenceLoss, Responses, Rows, pair_metrics
from chexjax.losses.registry import number, register


@register("kto")
class KTO(PreferenceLoss):
    """`w (1 - sigmoid(beta (r - z)))` if desirable, `w (1 - sigmoid(beta (z - r)))` if not.

    r is the summed log-ratio of a response, z the mean of the same over mismatched prompts and
    responses of the global batch, at least 0 and without gradient. A row's value is the mean over
    its N responses; N = 1 is unpaired data. Ethayarajh et al., "KTO" (arXiv 2402.01306).

    Attributes:
      beta: As in DPO, above 0.
      desirable_weight: The weight w of desirable responses, at least 0.
      undesirable_weight: That of the others; balance them where one kind is rarer.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"reference", "mismatched"})
    unpaired: ClassVar[bool] = True

    beta: float = number(0.1, above=0)
    desirable_weight: float = number(1.0, least=0)
    undesirable_weight: float = number(1.0, least=0)

    def __call__(self, responses: Responses) -> Rows:
        """Terms of rows of any N."""
        ratios = responses.ratios()
        origin = reference_point(responses.mismatched)
        desirable = responses.desirable
        if desirable is None:
            desirable = jnp.broadcast_to(jnp.arange(ratios.shape[1]) == 0, ratios.shape)
        gain = jnp.where(desirable, 1.0, -1.0) * self.beta * (ratios - origin)
        weights = jnp.where(desirable, self.desirable_weight, self.undesirable_weight)
        value = (weights * jax.nn.sigmoid(-gain)).mean(-1)
        weight = responses.valid.astype(jnp.float32)
        metrics = self._metrics(responses, self.beta * ratios, desirable)
        metrics["kto/reference_point"] = (origin * weight.sum(), weight.sum())
        return Rows(jnp.where(responses.valid, value, 0.0), weight, metrics)

    def _metrics(self, responses: Responses, rewards: jax.Array, desirable: jax.Array) -> Metrics:
        if rewards.shape[-1] == 2 and responses.desirable is None:
            return pair_metrics(responses, rewards)
        kinds = {"desirable": desirable, "undesirable": ~desirable}
        valid = responses.valid[:, None]
        return {
            f"rewards/{name}": (
                jnp.where(kind & valid, rewards, 0.0).sum(),
                (kind & valid).sum().astype(jnp.float32),
            )
            for name, kind in kinds.items()
        }


def reference_point(mismatched: Mismatched | None) -> jax.Array:
    """Mean log-ratio of mismatched responses, at least 0 and without gradient, `f32[]`.

    Raises:
      ValueError: there are no mismatched responses.
    """
    if mismatched is None:
        raise ValueError("this loss needs mismatched responses; run the pair stage again")
    ratios = jnp.where(mismatched.valid, mismatched.logps - mismatched.ref_logps, 0.0)
    mean = ratios.sum() / jnp.maximum(mismatched.valid.sum(), 1)
    return jax.lax.stop_gradient(jnp.maximum(mean, 0.0))
