"""What every preference loss sees and returns. Arrays only: no logits, models or meshes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, Self

import jax
import jax.numpy as jnp

from chexjax.config import nearest

Metrics = dict[str, tuple[jax.Array, jax.Array]]
"""Name to (sum, count): the trainer adds both over devices and micro-batches, then divides."""

CHOSEN, REJECTED = 0, 1
"""Where the two responses of a pair stand on the N axis."""

NEEDS = {
    "reference": "ref_logps",
    "mismatched": "mismatched",
    "prompt": "prompt",
}
"""What a loss may need beside the policy's log-probabilities, and the field that holds it."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Mismatched:
    """Responses to other prompts, scored under each prompt of the global batch.

    They are what KTO estimates the distance from the reference with. All M rows of the global
    batch stand here, in whatever micro-batch a loss is taken.

    Attributes:
      logps: Summed log-probability under the policy, `f32[M]`.
      ref_logps: The same under the reference, `f32[M]`.
      valid: False for rows that only pad the batch, `bool[M]`.
    """

    logps: jax.Array
    ref_logps: jax.Array
    valid: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class PromptTokens:
    """How likely the policy finds the text of the prompts.

    Attributes:
      logps: Summed log-probability of the prompt's text tokens, images left out, `f32[B]`.
      count: How many they are, `f32[B]`.
    """

    logps: jax.Array
    count: jax.Array


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
      desirable: Responses to be made more likely, `bool[B, N]`; None where the first of each row
        is, as in pairs.
      mismatched: See `Mismatched`; None where nobody asked for it.
      prompt: See `PromptTokens`; None where nobody asked for it.
    """

    logps: jax.Array
    ref_logps: jax.Array | None
    mask: jax.Array
    valid: jax.Array
    rewards: jax.Array
    desirable: jax.Array | None = None
    mismatched: Mismatched | None = None
    prompt: PromptTokens | None = None

    def lengths(self) -> jax.Array:
        """Response tokens, the end token included, `f32[B, N]`."""
        return self.mask.sum(-1).astype(jnp.float32)

    def sums(self) -> jax.Array:
        """Summed policy log-probabilities, `f32[B, N]`."""
        return self._sum(self.logps)

    def means(self) -> jax.Array:
        """Policy log-probabilities per token, `f32[B, N]`."""
        return self._per_token(self.sums())

    def ratios(self) -> jax.Array:
        """Summed log-ratios of policy to reference, `f32[B, N]`.

        Raises:
          ValueError: there are no reference log-probabilities.
        """
        return self._sum(self.token_ratios())

    def mean_ratios(self) -> jax.Array:
        """Log-ratios of policy to reference per token, `f32[B, N]`.

        Raises:
          ValueError: there are no reference log-probabilities.
        """
        return self._per_token(self.ratios())

    def token_ratios(self) -> jax.Array:
        """Log-ratio of each token, zero where there is none, `f32[B, N, R]`.

        Raises:
          ValueError: there are no reference log-probabilities.
        """
        if self.ref_logps is None:
            raise ValueError("this loss needs reference log-probs; run the reference stage first")
        return jnp.where(self.mask, self.logps - self.ref_logps, 0.0)

    def _sum(self, values: jax.Array) -> jax.Array:
        return jnp.where(self.mask, values, 0.0).sum(-1)

    def _per_token(self, sums: jax.Array) -> jax.Array:
        return sums / jnp.maximum(self.lengths(), 1.0)


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
    be there, of the keys of `NEEDS`; `unpaired` says that it learns from single responses, N = 1,
    too. Each valid row weighs 1, so that losses can be mixed.
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    unpaired: ClassVar[bool] = False

    @classmethod
    def from_options(cls, name: str, options: Mapping[str, float | str]) -> Self:
        """The loss with the options that a config gives; errors call it `name`.

        Raises:
          ValueError: unknown option (names the nearest one) or a value out of range.
        """
        known = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
        for option in options:
            if option not in known:
                raise ValueError(f"loss {name!r} has no option {option!r}{nearest(option, known)}")
        return cls(**options)

    def __call__(self, responses: Responses) -> Rows:
        """Terms of each row."""
        raise NotImplementedError


def missing(loss: PreferenceLoss, responses: Responses) -> list[str]:
    """What a loss needs and `responses` do not have."""
    return sorted(need for need in loss.needs if getattr(responses, NEEDS[need]) is None)


def margin(values: jax.Array) -> jax.Array:
    """Chosen minus rejected, `f32[B, 2] -> f32[B]`.

    Raises:
      ValueError: there are not two responses.
    """
    if values.shape[-1] != 2:
        raise ValueError(f"a pairwise loss takes 2 responses a row, not {values.shape[-1]}")
    return values[:, CHOSEN] - values[:, REJECTED]


def pair_rows(responses: Responses, value: jax.Array, rewards: jax.Array) -> Rows:
    """The rows of a pairwise loss.

    Args:
      responses: N = 2, chosen first.
      value: The loss of each pair, `f32[B]`.
      rewards: Implicit rewards in the unit of the loss, `f32[B, 2]`, for the log.
    """
    weight = responses.valid.astype(jnp.float32)
    value = jnp.where(responses.valid, value, 0.0)
    return Rows(value, weight, pair_metrics(responses, rewards))


def pair_metrics(responses: Responses, rewards: jax.Array) -> Metrics:
    """The log lines of a pairwise loss, under the names that TRL made common.

    Args:
      responses: N = 2, chosen first.
      rewards: Implicit rewards in the unit of the loss, `f32[B, 2]`.
    """
    margins = margin(rewards)
    sums = responses.sums()
    columns: Mapping[str, jax.Array] = {
        "rewards/chosen": rewards[:, CHOSEN],
        "rewards/rejected": rewards[:, REJECTED],
        "rewards/margins": margins,
        "rewards/accuracies": (margins > 0).astype(jnp.float32),
        "logps/chosen": sums[:, CHOSEN],
        "logps/rejected": sums[:, REJECTED],
    }
    valid = responses.valid
    count = valid.sum().astype(jnp.float32)
    return {name: (jnp.where(valid, x, 0.0).sum(), count) for name, x in columns.items()}
