"""What every preference loss sees and returns. Arrays only: no logits, models or meshes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import ClassVar, TypeVar

import jax
import jax.numpy as jnp

Metrics = dict[str, tuple[jax.Array, jax.Array]]
"""Name to (sum, count): the trainer adds both over devices and micro-batches, then divides."""

CHOSEN, REJECTED = 0, 1
"""Where the two responses of a pair stand on the N axis."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Responses:
    """Log-probabilities of N responses to each of B prompts.

    Attributes:
      logps: Of each response token under the policy, `f32[B, N, R]`.
      ref_logps: The same under the reference policy, or None.
      mask: Real response tokens, the end token included, `bool[B, N, R]`.
      valid: False for rows that only pad the batch, `bool[B]`.
      rewards: The judge's scores, `f32[B, N]`.
    """

    logps: jax.Array
    ref_logps: jax.Array | None
    mask: jax.Array
    valid: jax.Array
    rewards: jax.Array

    def sums(self) -> jax.Array:
        """Summed policy log-probabilities, `f32[B, N]`."""
        return self._sum(self.logps)

    def ratios(self) -> jax.Array:
        """Summed log-ratios of policy to reference, `f32[B, N]`.

        Raises:
          ValueError: there are no reference log-probabilities.
        """
        if self.ref_logps is None:
            raise ValueError("this loss needs reference log-probs; run the reference stage first")
        return self._sum(self.logps - self.ref_logps)

    def _sum(self, values: jax.Array) -> jax.Array:
        return jnp.where(self.mask, values, 0.0).sum(-1)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Rows:
    """Per-row terms of an objective; the loss is `sum(value) / sum(weight)` over everything.

    Attributes:
      value: `f32[B]`, zero where the weight is.
      weight: `f32[B]`.
      metrics: For the log.
    """

    value: jax.Array
    weight: jax.Array
    metrics: Metrics


class PreferenceLoss:
    """Base of all losses: a frozen dataclass whose numbers are pytree leaves.

    A sweep over a number therefore recompiles nothing. `needs` names what of `Responses` must
    be there: any of `reference`.
    """

    needs: ClassVar[frozenset[str]] = frozenset()

    def __call__(self, responses: Responses) -> Rows:
        """Terms of each row."""
        raise NotImplementedError


LOSSES: dict[str, type[PreferenceLoss]] = {}
"""All losses by the name that configs use."""

Loss = TypeVar("Loss", bound=type[PreferenceLoss])


def register(name: str) -> Callable[[Loss], Loss]:
    """Class decorator: a frozen keyword-only dataclass, a pytree, and a name for configs."""

    def decorate(cls: Loss) -> Loss:
        dataclasses.dataclass(frozen=True, kw_only=True)(cls)
        numbers = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
        jax.tree_util.register_dataclass(cls, numbers, [])
        LOSSES[name] = cls
        return cls

    return decorate


def pair_metrics(responses: Responses, rewards: jax.Array) -> Metrics:
    """The log lines of a pairwise loss, under the names that TRL made common.

    Args:
      responses: N = 2, chosen first.
      rewards: Implicit rewards in the unit of the loss, `f32[B, 2]`.
    """
    count = responses.valid.astype(jnp.float32)
    margins = rewards[:, CHOSEN] - rewards[:, REJECTED]
    sums = responses.sums()
    columns: Mapping[str, jax.Array] = {
        "rewards/chosen": rewards[:, CHOSEN],
        "rewards/rejected": rewards[:, REJECTED],
        "rewards/margins": margins,
        "rewards/accuracies": (margins > 0).astype(jnp.float32),
        "logps/chosen": sums[:, CHOSEN],
        "logps/rejected": sums[:, REJECTED],
    }
    return {name: ((column * count).sum(), count.sum()) for name, column in columns.items()}
