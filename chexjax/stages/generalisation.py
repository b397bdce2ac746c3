"""`generalisation`: train on A, test on B, of several finished runs as one table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from absl import flags
from rich.console import Console

from chexjax import artefacts
from chexjax.config import ConfigError
from chexjax.config.command import read_flags
from chexjax.evaluate.results import read_results
from chexjax.evaluate.studies import analyses, transfers
from chexjax.evaluate.studies.generalisation import Generalisation
from chexjax.stages.evaluate import EVALUATE

_FORM = "chexjax generalisation --runs=WORKDIR,WORKDIR,... --to=FOLDER"


def generalisation(argv: Sequence[str], console: Console) -> None:
    """Runs the command: every run has tried its policies on another source.

    Args:
      argv: What stands behind `generalisation` on the command line.
      console: Where to print.

    Raises:
      ConfigError: a flag cannot be used, or a run has not been evaluated elsewhere.
      ArtefactError: a run has no report, or it is damaged.
    """
    own = flags.FlagValues()
    flags.DEFINE_list("runs", None, "Workdirs.", flag_values=own)
    flags.DEFINE_string("to", None, "Folder.", flag_values=own)
    if rest := read_flags(own, argv, _FORM):
        raise ConfigError(f"{rest[0]} is no flag: write {_FORM}")
    for name in ("runs", "to"):
        if not own[name].value:
            raise ConfigError(f"--{name} is missing: write {_FORM}")
    workdirs, folder = [Path(one) for one in own.runs], Path(own.to)
    try:
        found = transfers.transfers(_named(workdirs))
    except ValueError as error:
        raise ConfigError(f"--runs: {error}") from error
    folder.mkdir(parents=True, exist_ok=True)
    transfers.write(found, folder)
    transfers.show(found, console)
    console.print(f"generalisation: {folder / transfers.PAGE}")


def _named(workdirs: Sequence[Path]) -> dict[str, Generalisation]:
    """What each run has found, by the name of its folder."""
    names = [workdir.resolve().name for workdir in workdirs]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"two runs are called {twice[0]!r}; rename the workdir of one")
    return dict(zip(names, map(_read, workdirs), strict=True))


def _read(workdir: Path) -> Generalisation:
    report = artefacts.load(workdir / EVALUATE.folder, EVALUATE.kind)
    values = json.loads((report.path / analyses.FILE).read_text("utf-8"))
    if not values["elsewhere"]:
        raise ValueError(
            f"{workdir} has not been evaluated on another source; set config.evaluate.elsewhere"
        )
    return read_results(Generalisation, values["elsewhere"], where=analyses.FILE)
