"""What is optimised: (model, batch) -> per-row values, weights and metrics.

The trainer knows only this interface. Supervised fine-tuning is one objective, preference
optimisation with any loss is another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from chexjax.losses import (
    Metrics,
    Mismatched,
    PreferenceLoss,
    PromptTokens,
    Responses,
    Rows,
    missing,
)
from chexjax.models import LanguageModel, Prefix
from chexjax.ops.logprobs import token_logprobs

Batch = Mapping[str, Any]

_OF_RESPONSES = ("inputs", "targets", "mask", "ref_logps")


class Objective:
    """Maps a model and a batch to rows; the loss is `sum(value) / sum(weight)`.

    Attributes:
      scored_only: How many responses of each row have no gradient; they are the last ones.
    """

    scored_only = 0

    def shared(self, model: LanguageModel, batch: Batch) -> Mapping[str, Any]:
        """What every row needs to know of all others, without gradient: arrays with a row axis."""
        return {}

    def __call__(
        self, model: LanguageModel, batch: Batch, shared: Mapping[str, Any] | None = None
    ) -> Rows:
        """Terms of each row of the batch.

        Args:
          model: The policy.
          batch: A batch, or a micro-batch of it.
          shared: Of the whole global batch; None where `batch` is that.
        """
        raise NotImplementedError


def response_logprobs(model: LanguageModel, batch: Batch) -> jax.Array:
    """Log-probabilities of the response tokens, zero where there are none, `f32[B, N, R]`."""
    hidden = model.score(Prefix(**batch["prefix"]), batch["inputs"], batch["mask"])
    return _masked_logprobs(model, hidden, batch["targets"], batch["mask"])


def prompt_logprobs(model: LanguageModel, batch: Batch) -> tuple[jax.Array, PromptTokens]:
    """The same, with those of the prompts' text, from one pass."""
    prefix = Prefix(**batch["prefix"])
    before, hidden = model.score_all(prefix, batch["inputs"], batch["mask"])
    logps = _masked_logprobs(model, hidden, batch["targets"], batch["mask"])
    # The token behind the prefix is the first that responses start from.
    last = jnp.arange(prefix.tokens.shape[1]) == prefix.length[:, None] - 1
    targets = jnp.where(last, batch["inputs"][:, 0, :1], jnp.roll(prefix.tokens, -1, axis=1))
    text = prefix.valid & batch["real"][:, None]
    if prefix.placeholder is not None:
        text &= last | ~jnp.roll(prefix.placeholder, -1, axis=1)
    prompt = _masked_logprobs(model, before, targets, text)
    count = text.sum(-1).astype(jnp.float32)
    return logps, PromptTokens(logps=prompt.sum(-1), count=count)


def _masked_logprobs(
    model: LanguageModel, hidden: jax.Array, targets: jax.Array, mask: jax.Array
) -> jax.Array:
    return jnp.where(mask, token_logprobs(model.logits, hidden, targets), 0.0)


class SFT(Objective):
    """Next-token cross-entropy on the report only, averaged over tokens."""

    def __call__(
        self, model: LanguageModel, batch: Batch, shared: Mapping[str, Any] | None = None
    ) -> Rows:
        """Terms of each study."""
        value = -response_logprobs(model, batch).sum((1, 2))
        weight = batch["mask"].sum((1, 2)).astype(jnp.float32)
        return Rows(value, weight, {})


class Preference(Objective):
    """Any preference loss.

    A loss that needs mismatched responses finds one behind the others on the N axis of the batch.
    """

    def __init__(
        self, loss: PreferenceLoss, *, beside: Mapping[str, PreferenceLoss] | None = None
    ) -> None:
        """Optimises `loss`; logs those of `beside` whose needs `loss` meets, by their names."""
        self.loss = loss
        self.beside = beside or {}
        self.scored_only = int("mismatched" in loss.needs)

    def shared(self, model: LanguageModel, batch: Batch) -> Mapping[str, Any]:
        """KTO's mismatched responses, where the loss needs them."""
        if not self.scored_only:
            return {}
        last = _responses(batch, slice(-1, None))
        sums = response_logprobs(model, last).sum((1, 2))
        reference = jnp.where(last["mask"], last["ref_logps"], 0.0).sum((1, 2))
        given = Mismatched(logps=sums, ref_logps=reference, valid=batch["real"])
        return {"mismatched": jax.lax.stop_gradient(given)}

    def __call__(
        self, model: LanguageModel, batch: Batch, shared: Mapping[str, Any] | None = None
    ) -> Rows:
        """Terms of each row."""
        if shared is None:
            shared = self.shared(model, batch)
        if self.scored_only:
            batch = _responses(batch, slice(None, -1))
        prompt = None
        if "prompt" in self.loss.needs:
            logps, prompt = prompt_logprobs(model, batch)
        else:
            logps = response_logprobs(model, batch)
        responses = Responses(
            logps=logps,
            ref_logps=batch.get("ref_logps"),
            mask=batch["mask"],
            valid=batch["real"],
            rewards=batch["rewards"],
            prompt=prompt,
            **shared,
        )
        rows = self.loss(responses)
        return Rows(rows.value, rows.weight, rows.metrics | self._beside(responses))

    def _beside(self, responses: Responses) -> Metrics:
        """Values and margins of the other losses on the same log-probabilities."""
        responses = jax.lax.stop_gradient(responses)
        metrics: Metrics = {}
        for name, loss in self.beside.items():
            if not missing(loss, responses):
                rows = loss(responses)
                metrics[f"beside/{name}/loss"] = (rows.value.sum(), rows.weight.sum())
                margins = rows.metrics.get("rewards/margins")
                metrics |= {} if margins is None else {f"beside/{name}/margins": margins}
        return metrics


def _responses(batch: Batch, which: slice) -> dict[str, Any]:
    """A batch with some of its responses."""
    return dict(batch) | {name: batch[name][:, which] for name in _OF_RESPONSES if name in batch}
