"""`plan`: what a training step would need of a machine that is not here, and how long it takes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from absl import flags
from flax import nnx
from rich.console import Console
from rich.table import Table

from chexjax.config import ConfigError, freeze
from chexjax.config.command import parse, read_flags, split_overrides
from chexjax.mesh import AXES, batch_ways, check_batch, parameter_names
from chexjax.models import VLM
from chexjax.ops.attention import Backend, backend_for
from chexjax.perf import plan as planning
from chexjax.perf.chips import CHIPS
from chexjax.perf.plan import PlannedStep, StepShape, Times
from chexjax.perf.topology import Topology, topology
from chexjax.stages.align import make_objective
from chexjax.stages.config import RunConfig
from chexjax.stages.context import Context
from chexjax.stages.fitting import StepCost
from chexjax.trackers import StageClock
from chexjax.train import SFT, Load, Objective, TrainConfig
from chexjax.train.step import split_params

_FORM = (
    "chexjax plan --config=FILE.py --topology=v5e:4x4 [--stage=align] [--images=1] [--prompt=128] "
    "[--response=256] [--config.a.b=value ...]"
)
_GIB = 2**30


def plan(argv: Sequence[str], console: Console) -> None:
    """Runs the command.

    Args:
      argv: What stands behind `plan` on the command line.
      console: Where to print.

    Raises:
      ConfigError: a flag, the config or the machine cannot be used, or the step does not fit it.
    """
    overrides, rest = split_overrides(argv)
    own = flags.FlagValues()
    flags.DEFINE_string("config", None, "Config file.", flag_values=own)
    flags.DEFINE_string("topology", None, "What to compile for.", flag_values=own)
    flags.DEFINE_enum("stage", "align", ("sft", "align"), "Which training.", flag_values=own)
    flags.DEFINE_integer("images", 1, "Of each study.", lower_bound=1, flag_values=own)
    flags.DEFINE_integer("prompt", 128, "Tokens of text before it.", lower_bound=1, flag_values=own)
    flags.DEFINE_integer("response", 256, "Tokens of a report.", lower_bound=1, flag_values=own)
    if unknown := read_flags(own, rest, _FORM):
        raise ConfigError(f"{unknown[0]} is no flag: write {_FORM}")
    for name in ("config", "topology"):
        if not own[name].value:
            raise ConfigError(f"--{name} is missing: write {_FORM}")
    command = parse(
        ["plan", f"--config={own['config'].value}", "--workdir=.", *overrides], ["plan"], RunConfig
    )
    if "JAX_PLATFORMS" not in os.environ:  # a CUDA plugin that looks for GPUs in vain gives up
        jax.config.update("jax_platforms", "cpu")
    given = {name: own[name].value for name in own}
    _Plan(freeze(RunConfig, command.config), given).show(console)


class _Plan:
    """One step of one config on one machine."""

    def __init__(self, config: RunConfig, given: Mapping[str, Any]) -> None:
        context = Context(config, Path(), StageClock(Path(), keep=False))
        self.stage, self.family = str(given["stage"]), context.family
        self.train: TrainConfig = getattr(config, self.stage)
        self.objective: Objective = SFT()
        if self.stage == "align":
            self.objective = make_objective(config, single=False)
        self.place = topology(str(given["topology"]), config.mesh)
        images = int(given["images"])
        self.shape = StepShape(
            rows=self.train.batch_size,
            images=images,
            prefix=self.family.visual_tokens(images) + int(given["prompt"]),
            responses=(1 if self.stage == "sft" else 2) + self.objective.scored_only,
            response=int(given["response"]),
        )
        self.attention = _attention(config, self.place)
        self._check()

    def _check(self) -> None:
        rows, length = self.train.batch_size // self.train.accumulate, self.shape
        try:
            check_batch(rows, self.place.mesh, f"{self.stage}.batch_size / accumulate")
        except ValueError as error:
            raise ConfigError(f"config.{error}") from error
        if (total := length.prefix + length.response) > self.family.decoder.context:
            raise ConfigError(
                f"--images={length.images}, --prompt and --response={length.response} make {total} "
                f"tokens, but {self.family.name} has {self.family.decoder.context} positions"
            )

    def show(self, console: Console) -> None:
        """Compiles the step and prints what it comes to."""
        options = {"dtype": jnp.bfloat16, "attention": self.attention}
        train = (self.family, self.objective, self.train, self.shape, self.place)
        found = planning.plan_step(*train, **options)
        chip = CHIPS[self.place.name.partition(":")[0]]
        times = planning.times(found, self.place, chip)
        console.print(self._memory(found))
        console.print(self._talk(found))
        console.print(self._time(found, times, chip.flops))

    def _memory(self, found: PlannedStep) -> Table:
        mesh, compiled = self.place.mesh, found.compiled
        title = f"{self.stage} of {self.family.name} on {self.place.name}"
        table = Table("each device", "how much", title=title, title_justify="left")
        table.add_row(" x ".join(AXES), " x ".join(str(mesh.shape[axis]) for axis in AXES))
        table.add_row("rows of a batch", f"{self.shape.rows / batch_ways(mesh):g}")
        table.add_row("tokens of a prompt, a report", f"{self.shape.prefix}, {self.shape.response}")
        table.add_section()
        for part in ("arguments", "temporaries", "peak", "memory"):
            table.add_row(part, f"{getattr(compiled, part) / _GIB:.2f} GiB")
        table.add_row("fits", "yes" if compiled.fits else "no")
        table.add_row("compiled in", f"{compiled.seconds:.1f} s")
        return table

    def _talk(self, found: PlannedStep) -> Table:
        columns = ("collective", "along", "over", "asynchronous", "times", "MiB sent by each")
        table = Table(*columns, title="What devices tell each other", title_justify="left")
        for one in found.compiled.collectives:
            table.add_row(
                one.kind,
                ", ".join(one.axes),
                planning.wire(one, self.place),
                "yes" if one.asynchronous else "no",
                f"{one.times:,}",
                f"{one.moved / 2**20:,.1f}",
            )
        return table

    def _time(self, found: PlannedStep, times: Times, peak: float) -> Table:
        useful, devices = self._useful(), self.place.mesh.size
        table = Table("a step, by counting", "", title="Time", title_justify="left")
        table.add_row("useful operations", f"{useful:.3g}")
        table.add_row("executed / useful", f"{found.executed / useful:.2f}")
        table.add_section()
        table.add_row("compute at the peak", f"{1000 * times.compute:.1f} ms")
        for name, seconds in times.wires.items():
            table.add_row(f"{name} at their peak", f"{1000 * seconds:.1f} ms")
        for name, seconds in (("all at once", times.bound), ("what is not hidden", times.exposed)):
            mfu, rows = useful / seconds / devices / peak, self.shape.rows / seconds
            table.add_row(name, f"{1000 * seconds:.1f} ms, MFU {mfu:.0%}, {rows:,.1f} rows/s")
        table.add_row("bound by", times.limit)
        table.caption = "Never measured on a chip: these are bounds, and a step takes longer."
        return table

    def _useful(self) -> float:
        model = nnx.merge(*VLM.abstract(self.family))
        _, trainable, _ = split_params(model, self.train.freeze)
        shape = self.shape
        cost = StepCost(
            family=self.family,
            trained=parameter_names(trainable),
            objective=self.objective,
            responses=shape.responses,
        )
        tokens = (shape.rows * shape.prefix, shape.rows * shape.responses * shape.response)
        return cost.useful(Load(shape.rows, *tokens), shape.images)


def _attention(config: RunConfig, place: Topology) -> Backend:
    """What a run takes there; of GPUs XLA's where it is left open, since no cuDNN is here."""
    platform = place.mesh.devices.flat[0].platform
    asked = config.policy.attention
    if asked == "auto" and platform == "gpu":
        return "xla"
    try:
        return backend_for(asked, platform)
    except ValueError as error:
        raise ConfigError(f"config.policy.{error}") from error
