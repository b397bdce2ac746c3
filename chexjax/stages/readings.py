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
from chexjax.evaluate import drafting_report, drafting_results, reader_report, reader_results
from chexjax.evaluate import drafting_study as drafting
from chexjax.evaluate import reader_study as reader

_FORM = "chexjax readings --study=WORKDIR/reader|drafting --answers=FOLDER --to=FOLDER"


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
    key, files = _key(study / reader.KEY), sorted(answers.glob("*.csv"))
    if not files:
        raise ConfigError(f"--answers={answers} has no .csv in it: give the folder of the readers'")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if key["kind"] == reader.KIND:
            compared = reader_results.analyse(reader.ReaderKey.of(key), files)
            reader_report.write(compared, folder)
            reader_report.show(compared, console)
        else:
            written = drafting_results.analyse(drafting.DraftingKey.of(key), files)
            drafting_report.write(written, folder)
            drafting_report.show(written, console)
    except ValueError as error:
        raise ConfigError(f"--answers: {error}") from error
    console.print(f"readings: {folder / 'results.html'}")


def _key(file: Path) -> dict[str, Any]:
    """What is in the key of either study."""
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"--study: {file} cannot be read ({error}); give the folder that `chexjax reader` or "
            "`chexjax drafting` wrote"
        ) from error
    kinds = (reader.KIND, drafting.KIND)
    if not isinstance(values, dict) or values.get("kind") not in kinds:
        raise ConfigError(f"--study: {file} is no key of a {' or '.join(kinds)}; give one's folder")
    return values
