"""From a command line to stages that run, in order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import jax
from rich.console import Console

from chexjax.artefacts import ALONE
from chexjax.artefacts.workdir import opened
from chexjax.config import ConfigError, freeze, render
from chexjax.config.command import Command, parse
from chexjax.distributed import in_job, is_first
from chexjax.stages.bench.command import bench
from chexjax.stages.chain import BEFORE_CONTROL, COMMANDS
from chexjax.stages.config import RunConfig
from chexjax.stages.context import Context
from chexjax.stages.datasets import datasets
from chexjax.stages.doctor import doctor
from chexjax.stages.dry_run import check, check_selection, dry_run, say_whole
from chexjax.stages.export import export
from chexjax.stages.generalisation import generalisation
from chexjax.stages.plans.plan import plan as plan_step
from chexjax.stages.readers.readings import readings
from chexjax.stages.serve import serve
from chexjax.stages.sft import SFT
from chexjax.stages.start import require_start
from chexjax.stages.sweeps.compare import plan, prepare, sweep
from chexjax.trackers import StageClock

_TOOLS = {
    "bench": bench,
    "datasets": datasets,
    "doctor": doctor,
    "export": export,
    "generalisation": generalisation,
    "plan": plan_step,
    "readings": readings,
    "serve": serve,
}
"""Commands that need no run."""

_OF_JOBS = ("doctor",)
"""Those that all processes of a job can do together."""

_SHORT = {"source": "source.name", "path": "source.path"}
_HOMES = {name: one.home for name, (one, *more) in COMMANDS.items() if one.home and not more}


def execute(argv: Sequence[str]) -> None:
    """Runs one command.

    Raises:
      ConfigError: the command line or the config cannot be used.
      ArtefactError: the workdir or something in it cannot be used.
    """
    if argv and argv[0] in _TOOLS:
        # Asking JAX would settle on devices too early where there is no job.
        if argv[0] not in _OF_JOBS and in_job() and jax.process_count() > 1:
            raise ConfigError(f"{argv[0]!r} is done by one process; run it outside of the job")
        _TOOLS[argv[0]](argv[1:], Console())
        return
    command = parse(argv, sorted([*COMMANDS, *_TOOLS]), RunConfig, short=_SHORT, homes=_HOMES)
    config = freeze(RunConfig, command.config)
    _check_share(config)
    with opened(command.workdir, config.share) as workdir:
        _run(command, config, workdir)


def _run(command: Command, config: RunConfig, workdir: Path) -> None:
    first = config.share.first and is_first()
    context = Context(config, workdir, StageClock(workdir, keep=first))
    console = Console(quiet=not is_first())
    stages = COMMANDS[command.stage]
    read = stages[0].fields if command.stage in _HOMES else None
    console.print(render(context.config, read), highlight=False, markup=False)
    if context.config.sweep.axes:
        _sweep(command, context, console)
        return
    check(context)
    if command.dry_run:
        dry_run(context, console)
        return
    if SFT in stages:
        require_start(context.config)
    say_whole(context, console)
    wanted = [stage for stage in stages if len(stages) == 1 or stage.needed(context.config)]
    if not wanted:
        name = command.stage
        raise ConfigError(f"config.{name} asks {name!r} to do nothing: see its fields")
    for stage in wanted:
        made = context.run(stage)
        if len(stages) == 1:
            stage.describe(made, console)
    if command.stage == "run":
        console.print(context.clock.table())
        console.print(f"report: {workdir / 'report' / 'report.html'}")


def _check_share(config: RunConfig) -> None:
    """Raises ConfigError where processes that are one job are told to share besides."""
    if config.share != ALONE and jax.process_count() > 1:
        raise ConfigError(
            f"config.share.of={config.share.of}: this is one of {jax.process_count()} processes "
            "of a job, which share the work by themselves; leave config.share out"
        )


def _sweep(command: Command, context: Context, console: Console) -> None:
    """`run` of a config with a sweep, which no other command takes."""
    if command.stage != "run":
        raise ConfigError(
            f"config.sweep has axes, which {command.stage!r} does not take; write `chexjax run`"
        )
    if context.share.of > 1:
        raise ConfigError(
            f"config.sweep: its runs are compared in one process, and this is one of "
            f"{context.share.of}; leave config.share out, or start one process alone"
        )
    check_selection(context.config)
    prepared = prepare(context)
    for one in prepared.inside.values():
        check(one)
    if command.dry_run:
        console.print(plan(context, prepared, BEFORE_CONTROL))
        name, first = next(iter(prepared.inside.items()))
        console.print(f"the first run, {name}:")
        dry_run(first, console)
        return
    for one in prepared.inside.values():
        require_start(one.config)
    sweep(context, prepared, BEFORE_CONTROL, console)
    console.print(context.clock.table())
