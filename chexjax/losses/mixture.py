"""Weighted sums of losses."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from chexjax.losses.base import Metrics, PreferenceLoss, Responses, Rows
from chexjax.losses.registry import build, register


@register("mixture")
class Mixture(PreferenceLoss):
    """`sum_k weight_k * loss_k`, row by row.

    In a config the options are a weight for each loss and, behind two underscores, the options of
    these: `{"dpo": 1.0, "dpo__beta": 0.1, "nll": 0.2}`.

    Attributes:
      losses: By name; the names stand in the log.
      weights: Of the losses, by the same names.
    """

    losses: Mapping[str, PreferenceLoss]
    weights: Mapping[str, float | jax.Array]

    @classmethod
    def from_options(cls, name: str, options: Mapping[str, float | str]) -> Mixture:
        """Reads weights and options as they stand in a config."""
        weights = {key: float(value) for key, value in options.items() if "__" not in key}
        if not weights:
            raise ValueError(
                "a mixture has no losses; give weights, such as {'dpo': 1, 'nll': 0.2}"
            )
        parts: dict[str, dict[str, float | str]] = {part: {} for part in weights}
        for key, value in options.items():
            part, behind, option = key.partition("__")
            if part not in parts:
                raise ValueError(f"option {key!r} is of a loss without weight; give {part!r} one")
            if behind:
                parts[part][option] = value
        return cls(losses={k: build(k, given) for k, given in parts.items()}, weights=weights)

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        """What any of the losses needs."""
        return frozenset().union(*(loss.needs for loss in self.losses.values()))

    @property
    def unpaired(self) -> bool:  # type: ignore[override]
        """Whether all of the losses learn from single responses."""
        return all(loss.unpaired for loss in self.losses.values())

    def __call__(self, responses: Responses) -> Rows:
        """Terms of rows that all of the losses take."""
        parts = {name: loss(responses) for name, loss in self.losses.items()}
        values = [self.weights[name] * rows.value for name, rows in parts.items()]
        metrics: Metrics = {}
        for name, rows in parts.items():
            metrics |= rows.metrics | {f"loss/{name}": (rows.value.sum(), rows.weight.sum())}
        return Rows(jnp.sum(jnp.stack(values), axis=0), next(iter(parts.values())).weight, metrics)
