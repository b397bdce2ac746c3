"""What is optimised: (model, batch) -> per-row values, weights and metrics.

The trainer knows only this interface. Supervised fine-tuning is one objective, preference
optimisation with any loss is another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from chexjax.losses import PreferenceLoss, Responses, Rows
from chexjax.models import LanguageModel, Prefix
from chexjax.ops.logprobs import token_logprobs

Batch = Mapping[str, Any]


class Objective(Protocol):
    """Maps a model and a batch to rows; the loss is `sum(value) / sum(weight)`."""

    def __call__(self, model: LanguageModel, batch: Batch) -> Rows:
        """Terms of each row of the batch."""
        ...


def response_logprobs(model: LanguageModel, batch: Batch) -> jax.Array:
    """Log-probabilities of the response tokens, zero where there are none, `f32[B, N, R]`."""
    hidden = model.score(Prefix(**batch["prefix"]), batch["inputs"], batch["mask"])
    logps = token_logprobs(model.logits, hidden, batch["targets"])
    return jnp.where(batch["mask"], logps, 0.0)


class SFT:
    """Next-token cross-entropy on the report only, averaged over tokens."""

    def __call__(self, model: LanguageModel, batch: Batch) -> Rows:
        """Terms of each study."""
        value = -response_logprobs(model, batch).sum((1, 2))
        weight = batch["mask"].sum((1, 2)).astype(jnp.float32)
        return Rows(value, weight, {})


class Preference:
    """Any preference loss on pairs with cached reference log-probabilities."""

    def __init__(self, loss: PreferenceLoss) -> None:
        """Wraps `loss`."""
        self.loss = loss

    def __call__(self, model: LanguageModel, batch: Batch) -> Rows:
        """Terms of each pair."""
        return self.loss(
            Responses(
                logps=response_logprobs(model, batch),
                ref_logps=batch.get("ref_logps"),
                mask=batch["mask"],
                valid=batch["real"],
                rewards=batch["rewards"],
            )
        )
