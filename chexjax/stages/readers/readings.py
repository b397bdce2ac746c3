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
from chexjax.evaluate.readers import drafting_report, drafting_results
from chexjax.evaluate.readers import report as reader_report
from chexjax.evaluate.readers import results as reader_results
from chexjax.evaluate.readers.drafting import DraftingKey
from chexjax.evaluate.readers.key import KEY
from chexjax.evaluate.readers.study import ReaderKey

_FORM = "chexjax readings --study=WORKDIR/reader|drafting --answers=FOLDER --to=FOLDER"

_STUDIES: dict[str, tuple[Any, Any, Any]] = {
    ReaderKey.kind: (ReaderKey, reader_results, reader_report),
    DraftingKey.kind: (DraftingKey, drafting_results, drafting_report),
}
"""Kind of study -> its key, what works its answers out, and what shows the results."""


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
    values, files = _values(study / KEY), sorted(answers.glob("*.csv"))
    if not files:
        raise ConfigError(f"--answers={answers} has no .csv in it: give the folder of the readers'")
    of, results, report = _STUDIES[values["kind"]]
    key = of.of(values)
    try:
        found = results.analyse(key, files)
    except ValueError as error:
        raise ConfigError(f"--answers: {error}") from error
    folder.mkdir(parents=True, exist_ok=True)
    report.write(found, folder)
    report.show(found, console)
    console.print(f"readings: {folder / 'results.html'}")


def _values(file: Path) -> dict[str, Any]:
    """What is in the key of either study."""
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"--study: {file} cannot be read ({error}); give the folder that `chexjax reader` or "
            "`chexjax drafting` wrote"
        ) from error
    if not isinstance(values, dict) or values.get("kind") not in _STUDIES:
        kinds = " or ".join(_STUDIES)
        raise ConfigError(f"--study: {file} is no key of a {kinds}; give one's folder")
    return values
