"""Random model inputs with ragged lengths, shaped as `data.examples.Collator` makes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from chexjax.data.batches import Bucket, PlannedBatch
from chexjax.data.packing import Groups, Packer
from chexjax.families import Family
from chexjax.losses import Mismatched, PromptTokens, Responses

_TEXT = 6
"""Prompt tokens before the images, and at most behind them."""


def random_batch(
    family: Family,
    *,
    images: Sequence[int] = (0, 1, 2, 1),
    responses: int = 2,
    length: int = 8,
    padding: int = 0,
    seed: int = 0,
) -> dict[str, Any]:
    """One row for each entry of `images`: a prompt with that many images, and responses.

    Args:
      family: Gives shapes and vocabulary.
      images: Number of images of each study.
      responses: Responses a study, N.
      length: Longest response, R; the others are ragged from 1 on.
      padding: Padding tokens behind the longest prompt and the longest response.
      seed: Of everything that is random.

    Returns:
      `prefix` (images `u8[B, I, S, S, C]`, tokens `i32[B, P]`, placeholder and valid
      `bool[B, P]`), `inputs` and `targets` `i32[B, N, R]`, `mask` `bool[B, N, R]`, `real`
      `bool[B]`, `rewards` `f32[B, N]` (falling) and `ref_logps` `f32[B, N, R]`.
    """
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, length + 1, (len(images), responses))
    lengths.flat[0] = length
    mask = np.arange(length + padding) < lengths[..., None]
    prefix, last = _random_prefix(family, images, padding, rng)
    targets = rng.integers(0, family.decoder.vocabulary, mask.shape, np.int32) * mask
    starts = np.broadcast_to(last[:, None, None], (*mask.shape[:2], 1))
    return {
        "prefix": prefix,
        "inputs": np.concatenate([starts, targets[..., :-1]], axis=-1) * mask,
        "targets": targets,
        "mask": mask,
        "real": np.ones(len(images), bool),
        "rewards": -np.sort(-rng.random(mask.shape[:2], np.float32), axis=-1),
        "ref_logps": -rng.exponential(3.0, mask.shape).astype(np.float32) * mask,
    }


def packed(
    batch: dict[str, Any], *, groups: int = 1, accumulate: int = 1, scored_only: int = 0
) -> dict[str, Any]:
    """A batch with the row indices of its real response tokens.

    Args:
      batch: From `random_batch`.
      groups: Into how many its rows are cut, over devices and micro-batches.
      accumulate: Micro-batches.
      scored_only: How many of the last responses have rows of their own, as for KTO.
    """
    mask = np.asarray(batch["mask"])
    parts = {"rows": slice(None)}
    if scored_only:
        parts = {"rows": slice(None, -scored_only), "scored_rows": slice(-scored_only, None)}
    planned = PlannedBatch(Bucket(0, mask.shape[2]), np.arange(len(mask)))
    packer = Packer.of(
        [planned], mask.sum(-1), Groups(len(mask) // groups, accumulate), parts, multiple=1
    )
    return batch | packer(mask, planned.bucket)


def _random_prefix(
    family: Family, images: Sequence[int], padding: int, rng: np.random.Generator
) -> tuple[dict[str, Any], np.ndarray]:
    """Prompts without their last token, and the last tokens `i32[B]`."""
    vision, vocabulary = family.vision, family.decoder.vocabulary
    slots = max(1, *images)
    shape = (len(images), slots, vision.size, vision.size, vision.channels)
    visual = np.asarray([family.visual_tokens(count) for count in images])
    total = _TEXT + visual + rng.integers(1, _TEXT + 1, len(images))
    place = np.arange(total.max() + padding)
    valid = place < total[:, None]
    prefix = {
        "images": rng.integers(0, 256, shape, np.uint8),
        "tokens": rng.integers(0, vocabulary, valid.shape, np.int32) * valid,
        "placeholder": (place >= _TEXT) & (place < _TEXT + visual[:, None]),
        "valid": valid,
    }
    return prefix, rng.integers(0, vocabulary, len(images), np.int32)


def random_responses(
    batch: int, responses: int = 2, *, length: int = 8, padding: int = 0, seed: int = 0
) -> Responses:
    """Log-probabilities of ragged responses, to try a loss on.

    Args:
      batch: Rows, B.
      responses: Responses a row, N.
      length: Longest response, R.
      padding: How many of the last rows only pad the batch.
      seed: Of the numbers.
    """
    rng = np.random.default_rng(seed)
    shape = (batch, responses, length)
    logps, ref_logps = -rng.exponential(2.0, (2, *shape)).astype(np.float32)
    mask = np.arange(length) < rng.integers(1, length + 1, shape[:2])[..., None]
    valid = np.arange(batch) < batch - padding
    rewards = -np.sort(-rng.random(shape[:2], np.float32), axis=-1)
    sums = -rng.exponential(9.0, (3, batch)).astype(np.float32)
    counts = rng.integers(1, 9, batch).astype(np.float32)
    real, given = jnp.asarray(valid), jnp.asarray
    return Responses(
        logps=given(logps),
        ref_logps=given(ref_logps),
        mask=given(mask),
        valid=real,
        rewards=given(rewards),
        mismatched=Mismatched(logps=given(sums[0] + 4), ref_logps=given(sums[1]), valid=real),
        prompt=PromptTokens(logps=given(sums[2]), count=given(counts)),
    )
