"""`bench`: one of the benchmarks, or all of them on one page."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from chexjax.config import ConfigError, nearest
from chexjax.stages.bench import every


def bench(argv: Sequence[str], console: Console) -> None:
    """Runs the command.

    Raises:
      ConfigError: there is no such benchmark, size or peer, a peer is not installed, or ours
        failed.
      SystemExit: something else failed.
    """
    what, *rest = argv or ["nothing"]
    commands = {one.name: (one.run, one.form) for one in every.BENCHES}
    commands[every.NAME] = (every.run, every.FORM)
    if what not in commands:
        forms = " or ".join(form for _, form in commands.values())
        raise ConfigError(f"found {what} to bench{nearest(what, commands)}: write {forms}")
    run, _ = commands[what]
    run(rest, console)
