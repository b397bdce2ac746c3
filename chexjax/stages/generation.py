"""Reports of a policy, unit by unit: what `sample` and `evaluate` have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from chexjax.data.batches import PADDING, Bucket, PlannedBatch
from chexjax.data.examples import Collator, Example, image_slots, lengths_of
from chexjax.data.tokens import Tokens
from chexjax.engine import Sampler, make_generate
from chexjax.mesh import place_batch
from chexjax.models import VLM, Prefix
from chexjax.perf import flops
from chexjax.rng import row_keys
from chexjax.stages.context import Context

Row = dict[str, Any]

FINISH = {True: "stop", False: "length"}
"""Why a report ended: its end token came, or the limit did."""


class Writer:
    """Writes reports about examples in fixed units, all of them through one program."""

    def __init__(
        self,
        context: Context,
        stage: str,
        model: VLM,
        tokens: Tokens,
        examples: Sequence[Example],
        studies: Sequence[Any],
        *,
        sampler: Sampler,
        draws: int,
        limit: int,
        unit: int,
    ) -> None:
        """Fixes the shapes of all units.

        Args:
          context: The run.
          stage: Name that the random bits depend on.
          model: The policy.
          tokens: Its tokenizer.
          examples: What to write about, at least one.
          studies: Rows with the images, found by `Example.row`.
          sampler: How tokens are drawn.
          draws: Reports a study.
          limit: Most tokens of a report.
          unit: Studies decoded together.
        """
        self._context, self._stage, self._tokens = context, stage, tokens
        self._examples, self._draws, self._limit, self._unit = examples, draws, limit, unit
        self._slots = image_slots(examples)
        self._prefix = -(-int(lengths_of(examples)[:, 0].max()) // 8) * 8
        self._collate = Collator(examples, studies, tokens, self._slots)
        self._generate = make_generate(model, sampler, end=tokens.end, limit=limit)

    @property
    def units(self) -> int:
        """Units of work."""
        return -(-len(self._examples) // self._unit)

    def flops(self, rows: Sequence[Row]) -> float:
        """Executed operations: a unit decodes until the longest of its reports ends."""
        return sum(
            self._unit_flops(rows[first : first + self._unit])
            for first in range(0, len(rows), self._unit)
        )

    def _unit_flops(self, rows: Sequence[Row]) -> float:
        work = flops.Work(
            images=self._unit * self._slots,
            prefixes=self._unit,
            prefix=self._prefix,
            responses=self._unit * self._draws,
            response=max(one["tokens"] for row in rows for one in row["candidates"]),
        )
        return flops.forward(self._context.family, work)

    def write(self, unit: int) -> list[tuple[Example, list[Row]]]:
        """The reports of one unit: for each example `draws` rows of text, tokens and finish."""
        examples, result = self.draw(unit)
        return [
            (example, [self._row(result, k, n) for n in range(self._draws)])
            for k, example in enumerate(examples)
        ]

    def draw(self, unit: int) -> tuple[Sequence[Example], Any]:
        """The examples of one unit and what was drawn for them: see `engine.make_generate`."""
        first = unit * self._unit
        rows = np.arange(first, min(first + self._unit, len(self._examples)))
        padded = np.pad(rows, (0, self._unit - len(rows)), constant_values=PADDING)
        batch = self._collate(PlannedBatch(Bucket(self._prefix, self._limit), padded))
        examples = self._examples[first : first + self._unit]
        filled = [*examples] + [self._examples[0]] * (self._unit - len(rows))
        keys = row_keys(self._context.config.seed, self._stage, [e.id for e in filled], self._draws)
        last = np.asarray([e.prompt[-1] for e in filled], np.int32)
        prefix, starts = place_batch((batch["prefix"], last), self._context.mesh)
        return examples, jax.device_get(self._generate(Prefix(**prefix), starts, keys))

    def _row(self, result: Any, k: int, n: int) -> Row:
        ids = result.tokens[k, n, : result.lengths[k, n]]
        return {
            "report": self._tokens.text(ids),
            "tokens": int(result.lengths[k, n]),
            "finish": FINISH[bool(result.finished[k, n])],
            "logp": float(result.logps[k, n].sum()),
        }
