"""`readings`: what a study with readers came to, from their CSVs and its key."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags
from rich.console import Console

from chexjax.config import ConfigError
from chexjax.config.command import read_flags
from chexjax.evaluate import reader_report, reader_results
from chexjax.evaluate.reader_study import KEY, KIND, ReaderKey

_FORM = "chexjax readings --study=WORKDIR/reader --answers=FOLDER --to=FOLDER"


def readings(argv: Sequence[str], console: Console) -> None:
    """Runs the command: every `*.csv` in the folder of answers is one that the page saved.

    Args:
      argv: What stands behind `readings` on the command line.
      console: Where to print.

    Raises:
      ConfigError: a flag, the key or a file of answers cannot be used.
    """
    own = flags.FlagValues()
    for name in ("study", "answers", "to"):
        flags.DEFINE_string(name, None, "Folder.", flag_values=own)
    if rest := read_flags(own, argv, _FORM):
        raise ConfigError(f"{rest[0]} is no flag: write {_FORM}")
    given = {name: own[name].value for name in ("study", "answers", "to")}
    if lacking := [name for name, value in given.items() if not value]:
        raise ConfigError(f"--{lacking[0]} is missing: write {_FORM}")
    study, answers, folder = (Path(str(value)) for value in given.values())
    key, files = _key(study / KEY), sorted(answers.glob("*.csv"))
    if not files:
        raise ConfigError(f"--answers={answers} has no .csv in it: give the folder of the readers'")
    try:
        results = reader_results.analyse(ReaderKey.of(key), files)
    except ValueError as error:
        raise ConfigError(f"--answers: {error}") from error
    folder.mkdir(parents=True, exist_ok=True)
    reader_report.write(results, folder)
    reader_report.show(results, console)
    console.print(f"readings: {folder / 'results.html'}")


def _key(file: Path) -> dict[str, Any]:
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"--study: {file} cannot be read ({error}); give the folder that `chexjax reader` wrote"
        ) from error
    if not isinstance(values, dict) or values.get("kind") != KIND:
        raise ConfigError(f"--study: {file} is no key of a {KIND}; give the folder of one")
    return values
