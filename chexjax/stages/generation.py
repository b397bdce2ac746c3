"""Reports of a policy, unit by unit: what `sample` and `evaluate` have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from chexjax.data.examples import Example, image_slots, lengths_of, pictures_of
from chexjax.data.tokens import Tokens
from chexjax.engine import Completion, Engine, EngineConfig, Images, Request, Sampler
from chexjax.models import LanguageModel
from chexjax.perf import flops
from chexjax.rng import row_keys
from chexjax.stages.context import Context

Row = dict[str, Any]

_LANES = 8
"""Prompts that an accelerator reads together: enough rows for a matmul to be fast."""

_CPU_SLOTS = 32
"""Rows that a CPU decodes together: from there on a step takes as long as it has rows, so it is
better to fill a row that has ended than to have one for each report.
"""

_ROOM = 128
"""Prompts whose lengths lie between two multiples of it are decoded together."""


class Writer:
    """Writes reports about examples in fixed units, through one engine."""

    def __init__(
        self,
        context: Context,
        stage: str,
        model: LanguageModel,
        tokens: Tokens,
        examples: Sequence[Example],
        studies: Sequence[Any],
        *,
        sampler: Sampler,
        draws: int,
        limit: int,
        unit: int,
    ) -> None:
        """Puts the engine around the policy.

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
          unit: Studies of one unit of work.
        """
        self._context, self._stage, self._tokens = context, stage, tokens
        self._examples, self._draws, self._limit, self._unit = examples, draws, limit, unit
        self._sampler = sampler
        self._pictures = pictures_of(examples, studies, tokens)
        self._slots = image_slots(self._pictures)
        self._prefix = int(lengths_of(examples)[:, 0].max())
        platform = context.mesh.devices.flat[0].platform
        self._engine = Engine(model, batching(unit, draws, platform))

    @property
    def units(self) -> int:
        """Units of work."""
        return -(-len(self._examples) // self._unit)

    def flops(self, rows: Sequence[Row]) -> float:
        """Operations that reports of studies took, each study's prompt read once."""
        return sum(self._study_flops(row["candidates"]) for row in rows)

    def _study_flops(self, candidates: Sequence[Row]) -> float:
        work = flops.Work(
            images=self._slots,
            prefixes=1,
            prefix=self._prefix,
            responses=len(candidates),
            response=max(one["tokens"] for one in candidates),
            rows=sum(one["tokens"] for one in candidates),
        )
        return flops.forward(self._context.family, work)

    def write(self, unit: int) -> list[tuple[Example, list[Row]]]:
        """The reports of one unit: for each example `draws` rows of text, tokens and finish."""
        return [(example, [self._row(one) for one in drawn]) for example, drawn in self.draw(unit)]

    def draw(self, unit: int) -> list[tuple[Example, list[Completion]]]:
        """The examples of one unit, and the completions that were drawn for each."""
        first = unit * self._unit
        examples = self._examples[first : first + self._unit]
        seeds = self._seeds(examples)
        requests = [
            self._request(example, row) for example, row in zip(examples, seeds, strict=True)
        ]
        drawn = dict(self._engine.run(requests))
        return [(example, drawn[k]) for k, example in enumerate(examples)]

    def _seeds(self, examples: Sequence[Example]) -> list[list[int]]:
        """A number for each draw of each example, of the words of its random key."""
        ids = [example.id for example in examples]
        keys = row_keys(self._context.config.seed, self._stage, ids, self._draws)
        words = jax.device_get(jax.random.key_data(keys)).astype(object)
        seeds: list[list[int]] = ((words[..., 0] << 32) | words[..., 1]).tolist()
        return seeds

    def _request(self, example: Example, seeds: list[int]) -> Request:
        return Request(
            prefix=example.prompt,
            rows=[()] * self._draws,
            limit=self._limit,
            sampler=self._sampler,
            seeds=seeds,
            end=(self._tokens.end,),
            images=self._shown(example),
        )

    def _shown(self, example: Example) -> Images | None:
        if self._pictures is None:
            return None
        shown = self._pictures([example], np.asarray([example.prompt[:-1]]))
        return Images(pixels=shown["images"][0], placeholder=shown["placeholder"][0])

    def _row(self, written: Completion) -> Row:
        return {
            "report": self._tokens.text(written.tokens),
            "tokens": len(written.tokens),
            "finish": written.finish,
            "logp": float(np.sum(written.logps)),
        }


def batching(unit: int, draws: int, platform: str) -> EngineConfig:
    """How an engine batches the reports of so many studies, `draws` of each."""
    slots, lanes = unit * draws, min(_LANES, unit)
    if platform == "cpu":
        slots, lanes = min(slots, _CPU_SLOTS), 1  # a prompt alone keeps it busy, and pads no other
    return EngineConfig(slots=slots, lanes=lanes, bucket=32, room=_ROOM)
