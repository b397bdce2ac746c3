"""`plan` of the stages that write and score: what fits, and what the whole recipe comes to."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

from rich.console import Console
from rich.table import Table

from chexjax.config import ConfigError
from chexjax.engine import EngineConfig
from chexjax.families import PolicyFamily, TextFamily, preset
from chexjax.judges.trained import told
from chexjax.mesh import batch_ways
from chexjax.ops.attention import Backend
from chexjax.perf.planning.bulk import Program
from chexjax.perf.planning.recipe import Counts, StagePlan, chip_hours, recipe
from chexjax.perf.planning.scoring import most_rows
from chexjax.perf.planning.serving import Served, most_slots
from chexjax.perf.planning.step import PlannedStep
from chexjax.perf.planning.topology import Topology
from chexjax.stages.config import RunConfig
from chexjax.stages.generation import batching

_GIB = 2**30


@dataclasses.dataclass(frozen=True, kw_only=True)
class BulkPlan:
    """Bulk work of one config on one machine.

    Attributes:
      config: The run's.
      family: The policy's.
      place: The machine.
      attention: What computes the policy's.
      images: Of each study.
      prompt: Tokens of text before a report.
      response: Tokens of a report.
    """

    config: RunConfig
    family: PolicyFamily
    place: Topology
    attention: Backend
    images: int
    prompt: int
    response: int

    @property
    def counts(self) -> Counts:
        """The paper's, with the lengths that were asked for and the config's numbers."""
        config = self.config
        return Counts(
            studies=config.sample.studies or Counts().studies,
            candidates=config.sample.candidates,
            images=self.images,
            prompt=self.prompt,
            response=self.response,
            limit=max(config.sample.max_new_tokens, self.response),
            batch=config.align.batch_size,
        )

    @functools.cached_property
    def sample(self) -> Served:
        """The policy's engine, with as many slots as fit."""
        platform = self.place.mesh.devices.flat[0].platform
        batched = batching(self.config.sample.unit, self.counts.candidates, platform)
        # A lane of each way: the more prompts wait to be read together, the later each is written.
        one = dataclasses.replace(batched, lanes=batch_ways(self.place.mesh))
        asked = self.counts.sampled(self.family)
        return most_slots(self.family, asked, self.place, one, attention=self.attention)

    @functools.cached_property
    def judge(self) -> Served:
        """GREEN's engine, with as many slots as fit."""
        return most_slots(self.judge_family, self.counts.judged(), self.place, self._judging)

    @functools.cached_property
    def reference(self) -> Program:
        """The scoring of as many pairs as fit."""
        shape = self.counts.pair(self.family, 1)
        return most_rows(self.family, shape, self.place, attention=self.attention)

    @property
    def judge_family(self) -> TextFamily:
        """The preset of `judge.green.local`, or its folder's.

        Raises:
          ConfigError: there is no such preset, or its matrices are to be int8.
        """
        local = self.config.judge.green.local
        if local.int8:
            raise ConfigError(
                "config.judge.green.local.int8=True: judges are planned in bfloat16; set it False"
            )
        try:
            return preset(local.preset or told(local.path)[0], TextFamily)
        except ValueError as error:
            raise ConfigError(f"config.judge.green.local: {error}") from error

    @property
    def _judging(self) -> EngineConfig:
        return self.config.judge.green.local.engine.on(batch_ways(self.place.mesh))

    def show(self, stage: str, console: Console) -> None:
        """Compiles what a stage of sample, judge and reference runs, and prints a table of it.

        Raises:
          ConfigError: it does not fit.
        """
        if stage == "reference":
            console.print(self._table(stage, self.family, [self.reference], self._scored()))
            return
        family = self.family if stage == "sample" else self.judge_family
        found = self.sample if stage == "sample" else self.judge
        console.print(self._table(stage, family, found.programs, self._written(found)))

    def show_recipe(self, align: PlannedStep, rows: int, console: Console) -> None:
        """Prints the chip-hours of all stages; `align` is a step of so many pairs."""
        moved = align.compiled.traffic.total
        step = Program(name="align", step=align, moved=moved, runs=1 / rows)
        stages = recipe(
            self.counts,
            sample=(self.sample, self.place),
            judge=(self.judge, self.place),
            reference=(self.reference, self.place),
            align=(step, self.place),
        )
        console.print(self._hours(stages))

    def _written(self, found: Served) -> Mapping[str, str]:
        rate = found.tokens(self.place)
        each = found.asked.rows * found.asked.written / self.place.mesh.size
        return {
            "slots over all devices": f"{found.slots:,}",
            "parameters, keys and values": f"{found.resident / _GIB:.2f} GiB",
            "tokens/s of each device": f"at most {rate:,.0f}, "
            f"as compiled {found.tokens(self.place, compiled=True):,.0f}",
            "requests/s at most": f"{rate / each:,.2f}",
        }

    def _scored(self) -> Mapping[str, str]:
        score = self.reference
        rows = round(1 / score.runs)
        seconds = score.seconds(self.place)
        each = rows / seconds / self.place.mesh.size
        return {"rows over all devices": f"{rows:,}", "rows/s of each device": f"{each:,.1f}"}

    def _table(
        self,
        stage: str,
        family: TextFamily,
        programs: Sequence[Program],
        totals: Mapping[str, str],
    ) -> Table:
        title = f"{stage} with {family.name} on {self.place.name}"
        table = Table("a run", *(one.name for one in programs), title=title, title_justify="left")
        for label, cell in self._cells():
            table.add_row(label, *(cell(one) for one in programs))
        table.caption = "; ".join(f"{name}: {value}" for name, value in totals.items())
        return table

    def _cells(self) -> Sequence[tuple[str, Callable[[Program], str]]]:
        """What is told of each program."""
        place = self.place
        return (
            ("peak", lambda one: f"{one.peak / _GIB:.2f} GiB"),
            ("memory", lambda _: f"{place.memory / _GIB:.2f} GiB"),
            ("operations", lambda one: f"{one.step.executed:.3g}"),
            ("to be read and written", lambda one: f"{one.moved / _GIB:.2f} GiB"),
            ("as compiled", lambda one: f"{one.step.compiled.traffic.total / _GIB:.2f} GiB"),
            ("sent by each device", lambda one: f"{_sent(one) / 2**20:,.1f} MiB"),
            ("takes at least", lambda one: f"{1000 * one.seconds(place):.2f} ms"),
            ("bound by", lambda one: one.limit(place)),
            ("takes as compiled", lambda one: f"{1000 * one.compiled(place):.2f} ms"),
        )

    def _hours(self, stages: Sequence[StagePlan]) -> Table:
        least, made = chip_hours(stages), chip_hours(stages, compiled=True)
        total = sum(least.values())
        title = f"{self.counts.studies:,} studies on {self.place.name}, chip-hours"
        columns = ("stage", "at least", "share", "as compiled")
        table = Table(*columns, title=title, title_justify="left")
        for name, each in least.items():
            table.add_row(name, f"{each:,.1f}", f"{each / total:.0%}", f"{made[name]:,.1f}")
        table.add_section()
        table.add_row("all", f"{total:,.1f}", "", f"{sum(made.values()):,.1f}")
        return table


def _sent(one: Program) -> float:
    return sum(each.moved for each in one.step.compiled.collectives)
