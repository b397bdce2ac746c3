"""From a command line to stages that run, in order."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from chexjax.config import freeze, render
from chexjax.config.command import parse
from chexjax.stages.bench import bench
from chexjax.stages.chain import COMMANDS
from chexjax.stages.config import RunConfig
from chexjax.stages.context import Context
from chexjax.stages.doctor import doctor
from chexjax.stages.dry_run import check, dry_run
from chexjax.stages.export import export
from chexjax.stages.sft import SFT
from chexjax.stages.start import require_start
from chexjax.trackers import StageClock

_TOOLS = {"bench": bench, "doctor": doctor, "export": export}
"""Commands that need no config."""


def execute(argv: Sequence[str]) -> None:
    """Runs one command.

    Raises:
      ConfigError: the command line or the config cannot be used.
      ArtefactError: the workdir or something in it cannot be used.
    """
    if argv and argv[0] in _TOOLS:
        _TOOLS[argv[0]](argv[1:], Console())
        return
    command = parse(argv, sorted([*COMMANDS, *_TOOLS]), RunConfig)
    context = Context(
        freeze(RunConfig, command.config), command.workdir, StageClock(command.workdir)
    )
    console = Console()
    console.print(render(context.config), highlight=False, markup=False)
    check(context)
    if command.dry_run:
        dry_run(context, console)
        return
    stages = COMMANDS[command.stage]
    if SFT in stages:
        require_start(context.config)
    for stage in stages:
        if len(stages) == 1 or stage.needed(context.config):
            context.run(stage)
    if command.stage == "run":
        console.print(context.clock.table())
        console.print(f"report: {command.workdir / 'report' / 'report.html'}")
