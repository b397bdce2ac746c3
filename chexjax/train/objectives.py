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
from chexjax.ops.packing import Packing
from chexjax.train.moving import Reference

Batch = Mapping[str, Any]

_OF_RESPONSES = ("inputs", "targets", "mask", "ref_logps")


class Objective:
    """Maps a model and a batch to rows; the loss is `sum(value) / sum(weight)`.

    Attributes:
      scored_only: How many responses of each row have no gradient; they are the last ones.
      reference: The reference policy that a step runs; None where it runs none.
    """

    scored_only = 0
    reference: Reference | None = None

    def with_reference(self, reference: LanguageModel, batch: Batch) -> Batch:
        """A batch with what the reference policy says of it, as a cache would have it."""
        return batch

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


def response_logprobs(model: LanguageModel, batch: Batch, *, keep: bool = False) -> jax.Array:
    """Log-probabilities of the response tokens, zero where there are none, `f32[B, N, R]`."""
    mask, packing = batch["mask"], Packing.of(batch["mask"], batch.get("rows"))
    hidden = model.score(Prefix(**batch["prefix"]), batch["inputs"], mask, packing)
    return _on_grid(
        model.logprobs(hidden, packing.pack(batch["targets"]), keep=keep), mask, packing
    )


def prompt_logprobs(
    model: LanguageModel, batch: Batch, *, keep: bool = False
) -> tuple[jax.Array, PromptTokens]:
    """The same, with those of the prompts' text, from one pass."""
    prefix = Prefix(**batch["prefix"])
    mask, packing = batch["mask"], Packing.of(batch["mask"], batch.get("rows"))
    before, hidden = model.score_all(prefix, batch["inputs"], mask, packing)
    logps = model.logprobs(hidden, packing.pack(batch["targets"]), keep=keep)
    # The token behind the prefix is the first that responses start from.
    last = jnp.arange(prefix.tokens.shape[1]) == prefix.length[:, None] - 1
    targets = jnp.where(last, batch["inputs"][:, 0, :1], jnp.roll(prefix.tokens, -1, axis=1))
    text = prefix.valid & batch["real"][:, None]
    if prefix.placeholder is not None:
        text &= last | ~jnp.roll(prefix.placeholder, -1, axis=1)
    prompt = jnp.where(text, model.logprobs(before, targets, keep=keep), 0.0)
    count = text.sum(-1).astype(jnp.float32)
    return _on_grid(logps, mask, packing), PromptTokens(logps=prompt.sum(-1), count=count)


def _on_grid(logps: jax.Array, mask: jax.Array, packing: Packing) -> jax.Array:
    """Rows `[G, C]` in their places of `[B, N, R]`, zero elsewhere."""
    return jnp.where(mask, packing.unpack(logps, mask.shape), 0.0)


class SFT(Objective):
    """Next-token cross-entropy on the responses only, averaged over tokens.

    A batch may have `weights`, `f32[B, N, R]`: how much each token counts.
    """

    def __init__(self, *, keep: bool = False) -> None:
        """Keeps probabilities for the backward pass, or not; see `ops.logprobs`."""
        self.keep = keep

    def __call__(
        self, model: LanguageModel, batch: Batch, shared: Mapping[str, Any] | None = None
    ) -> Rows:
        """Terms of each study."""
        logps = response_logprobs(model, batch, keep=self.keep)
        weights = batch["mask"] * batch.get("weights", jnp.float32(1))
        return Rows(-(logps * weights).sum((1, 2)), weights.sum((1, 2)), {})


class Preference(Objective):
    """Any preference loss.

    A loss that needs mismatched responses finds one behind the others on the N axis of the batch.
    """

    def __init__(
        self,
        loss: PreferenceLoss,
        *,
        beside: Mapping[str, PreferenceLoss] | None = None,
        keep: bool = False,
        reference: Reference | None = None,
    ) -> None:
        """Optimises `loss`; logs those of `beside` whose needs `loss` meets, by their names.

        `keep` keeps probabilities for the backward pass; see `ops.logprobs`.
        """
        self.loss = loss
        self.keep = keep
        self.reference = reference
        self.beside = beside or {}
        self.scored_only = int("mismatched" in loss.needs)

    def with_reference(self, reference: LanguageModel, batch: Batch) -> Batch:
        """The batch with log-probabilities of all its responses under the reference policy.

        Compilers leave out what a pass over the batch does not read of them.
        """
        parts = [self._trained(batch), *([self._scored(batch)] if self.scored_only else [])]
        logps = [response_logprobs(reference, part) for part in parts]
        return {**batch, "ref_logps": jnp.concatenate(logps, axis=1)}

    def shared(self, model: LanguageModel, batch: Batch) -> Mapping[str, Any]:
        """KTO's mismatched responses, where the loss needs them."""
        if not self.scored_only:
            return {}
        last = self._scored(batch)
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
        batch = self._trained(batch)
        prompt = None
        if "prompt" in self.loss.needs:
            logps, prompt = prompt_logprobs(model, batch, keep=self.keep)
        else:
            logps = response_logprobs(model, batch, keep=self.keep)
        responses = Responses(
            logps=logps,
            ref_logps=batch.get("ref_logps"),
            mask=batch["mask"],
            valid=batch["real"],
            rewards=batch["rewards"],
            desirable=batch["desirable"] > 0 if "desirable" in batch else None,
            prompt=prompt,
            **shared,
        )
        rows = self.loss(responses)
        return Rows(rows.value, rows.weight, rows.metrics | self._beside(responses))

    def _trained(self, batch: Batch) -> Batch:
        if not self.scored_only:
            return batch
        return _responses(batch, slice(None, -self.scored_only), "rows")

    def _scored(self, batch: Batch) -> Batch:
        return _responses(batch, slice(-self.scored_only, None), "scored_rows")

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


def _responses(batch: Batch, which: slice, rows: str) -> dict[str, Any]:
    """A batch with some of its responses, and the row indices that belong to them."""
    some = {name: batch[name][:, which] for name in _OF_RESPONSES if name in batch}
    return dict(batch) | some | {"rows": batch.get(rows)}
