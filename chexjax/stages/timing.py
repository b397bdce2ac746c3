"""What benchmarks have in common: their flags, the run, and how its numbers are shown."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags
from rich.table import Table

from chexjax.artefacts import write_atomic
from chexjax.config import ConfigError
from chexjax.config.command import read_flags
from chexjax.perf.bench import MATMUL_FLOPS, Step, Timing, alternate, matmul_step

_MATMUL = "matmul"


def read(
    own: flags.FlagValues, argv: Sequence[str], form: str, *, peers: Sequence[str], rounds: int
) -> dict[str, Any]:
    """Values of a benchmark's own flags, and of those that all have.

    Args:
      own: Its own flags.
      argv: What stands behind its name.
      form: What a right command looks like.
      peers: That it can alternate with.
      rounds: Steps that are timed by default.

    Raises:
      ConfigError: a flag cannot be used.
    """
    flags.DEFINE_multi_enum("against", [], peers, "Peers to alternate with.", flag_values=own)
    flags.DEFINE_integer("rounds", rounds, "Steps to time.", lower_bound=2, flag_values=own)
    flags.DEFINE_string("json", None, "File for the numbers.", flag_values=own)
    if rest := read_flags(own, argv, form):
        raise ConfigError(f"{rest[0]} is no flag: write {form}")
    return {name: own[name].value for name in own}


def busy() -> str:
    """What else the machine does, for a caption: peers that wait in loops suffer most from it."""
    return f"load average before: {os.getloadavg()[0]:.1f}"


def timed(peers: Mapping[str, Callable[[], Step]], rounds: int) -> tuple[dict[str, Timing], float]:
    """Times peers in turn, and the most operations a second that matmuls reach among them.

    Raises:
      ConfigError: a peer failed.
    """
    try:
        timings = alternate({**peers, _MATMUL: matmul_step}, rounds)
    except RuntimeError as error:
        raise ConfigError(
            f"bench: {error}; a peer may lack its library: CHEXJAX_EXTRAS=bench"
        ) from error
    return timings, MATMUL_FLOPS / min(timings.pop(_MATMUL).seconds)


def write(file: str | None, numbers: Mapping[str, Any]) -> None:
    """Writes the numbers as JSON where a file is given."""
    if file:
        write_atomic(Path(file), json.dumps(numbers, indent=1) + "\n")


def table(
    title: str,
    caption: str,
    lines: Mapping[str, tuple[str, str]],
    rows: Mapping[str, Mapping[str, Any]],
) -> Table:
    """A column for each peer.

    Args:
      title: Above it.
      caption: Below it.
      lines: For each heading the field of a row and its form.
      rows: Fields of each peer.
    """
    made = Table(title=title, caption=caption)
    made.add_column("", no_wrap=True)
    for name in rows:
        made.add_column(name, justify="right")
    for heading, (field, form) in lines.items():
        made.add_row(heading, *(form.format(row[field]) for row in rows.values()))
    return made
