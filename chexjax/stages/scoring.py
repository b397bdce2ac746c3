"""Log-probabilities of given texts under a policy, unit by unit, in its training forward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from chexjax.data.batches import PADDING, Bucket, PlannedBatch, make_buckets
from chexjax.data.examples import (
    Collator,
    Example,
    image_slots,
    lengths_of,
    pictures_of,
    response_lengths,
)
from chexjax.data.packing import Groups, Packer
from chexjax.data.tokens import Tokens
from chexjax.data.visual import VisualTokens
from chexjax.mesh import batch_ways, place_batch
from chexjax.models import LanguageModel
from chexjax.perf import flops
from chexjax.stages.context import Context
from chexjax.train import make_scorer


class Scorer:
    """Scores the responses of examples in fixed units, in one shape."""

    def __init__(
        self,
        context: Context,
        model: LanguageModel,
        examples: Sequence[Example],
        studies: Sequence[Any],
        tokens: Tokens,
        *,
        unit: int,
        visual: VisualTokens | None = None,
    ) -> None:
        """Puts all examples into one bucket.

        Args:
          context: The run.
          model: The policy.
          examples: What to score, at least one, all with as many responses.
          studies: Rows with the images, found by `Example.row`.
          tokens: The policy's tokenizer.
          unit: Examples of one unit of work, scored together.
          visual: What a cache has of their images.
        """
        self._context, self._examples, self._size = context, examples, unit
        [self._bucket] = make_buckets(lengths_of(examples), 1)
        self._planned = _units(len(examples), unit, self._bucket)
        pictures = pictures_of(examples, studies, tokens, visual)
        self._slots, lengths = image_slots(pictures), response_lengths(examples)
        groups = Groups(unit // batch_ways(context.mesh))
        self._packer = Packer.of(self._planned, lengths, groups, {"rows": slice(None)})
        self._collate = Collator(examples, pictures, self._packer)
        self._score = make_scorer(model)

    @property
    def units(self) -> int:
        """Units of work."""
        return len(self._planned)

    @property
    def slots(self) -> int:
        """Images that each example has room for."""
        return self._slots

    def score(self, unit: int) -> list[tuple[Example, list[np.ndarray]]]:
        """The examples of one unit, and for each response log-probabilities of its tokens."""
        batch = self._planned[unit]
        placed = place_batch(self._collate(batch), self._context.mesh)
        logps = np.asarray(jax.device_get(self._score(placed)))
        rows = [self._examples[k] for k in batch.rows if k != PADDING]
        return [
            (example, [logps[i, n, : len(r)].copy() for n, r in enumerate(example.responses)])
            for i, example in enumerate(rows)
        ]

    def flops(self, slots: int) -> float:
        """Operations that all units take, with so many images an example."""
        work = flops.Work(
            images=self._size * slots,
            prefixes=self._size,
            prefix=self._bucket.prefix,
            responses=len(self._examples[0].responses) * self._size,
            response=self._bucket.response,
            rows=self._packer.total("rows", self._planned[0]),
        )
        return self.units * flops.forward(self._context.family, work)


def _units(count: int, size: int, bucket: Bucket) -> list[PlannedBatch]:
    """Batches of all rows in their order; the last one is padded."""
    rows = np.arange(-(-count // size) * size).reshape(-1, size)
    return [PlannedBatch(bucket, np.where(r < count, r, PADDING)) for r in rows]
