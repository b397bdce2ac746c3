"""What benchmarks have in common: their flags, the run, and how what they find is shown."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags
from rich.console import Console
from rich.table import Table

from chexjax.artefacts import write_atomic
from chexjax.config import ConfigError
from chexjax.config.command import read_flags
from chexjax.perf.bench import (
    MATMUL_FLOPS,
    OURS,
    PeerError,
    Step,
    Timing,
    alternate,
    matmul_step,
)
from chexjax.perf.installed import absent

SIZES = ("S", "M", "L")
"""Of the work of every benchmark."""

_MATMUL = "matmul"
_MIB = 2**20

Lines = Mapping[str, tuple[str, str]]
"""For each heading the field of a row and its form."""

TIME: Lines = {
    "s": ("seconds", "{:.2f}"),
    "middle half": ("spread", "{:.0%}"),
    f"time, {OURS} = 1": ("times_ours", "{:.2f}"),
}
USE: Lines = {
    "useful GFLOP / s": ("useful_gflops_per_second", "{:.0f}"),
    "share of matmul peak": ("useful_share", "{:.0%}"),
}
COST: Lines = {
    "compile s": ("compile_seconds", "{:.1f}"),
    "first s": ("first_step_seconds", "{:.1f}"),
    "peak MiB": ("peak_mib", "{:,.0f}"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """What a benchmark has found.

    Attributes:
      title: What was done.
      caption: What else a reader has to know.
      lines: What is shown of each row.
      rows: Fields of each peer that did its work.
      numbers: What is no peer's.
      failed: Why others did not.
    """

    title: str
    caption: str
    lines: Lines
    rows: Mapping[str, Mapping[str, Any]]
    numbers: Mapping[str, Any]
    failed: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """All of it but how it is shown."""
        said = {"title": self.title, "caption": self.caption}
        return {**said, **self.numbers, "peers": self.rows, "failed": self.failed}

    def show(self, console: Console) -> None:
        """A table with a column for each peer."""
        table = Table(title=self.title, caption=self.caption)
        table.add_column("", no_wrap=True)
        for name in self.rows:
            table.add_column(name, justify="right")
        for line in self._cells():
            table.add_row(*line)
        console.print(table)
        for words in self.failed.values():
            console.print(words, style="bold", markup=False)

    def markdown(self) -> str:
        """The same as text."""
        head = [["", *self.rows], ["---", *["---:"] * len(self.rows)]]
        table = "\n".join(f"| {' | '.join(line)} |" for line in [*head, *self._cells()])
        failures = [f"**{words}**" for words in self.failed.values()]
        return "\n\n".join([f"{self.title}.", table, f"{self.caption}.", *failures])

    def _cells(self) -> list[list[str]]:
        return [
            [heading, *(form.format(row[field]) for row in self.rows.values())]
            for heading, (field, form) in self.lines.items()
        ]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Times:
    """What peers took in turn.

    Attributes:
      timings: Of those that did their work, ours among them.
      failed: Why others did not.
      matmul: The most operations a second that matmuls reached among them.
      load: What else the machine did before: peers that wait in loops suffer most from it.
    """

    timings: Mapping[str, Timing]
    failed: Mapping[str, str]
    matmul: float
    load: float

    def row(self, name: str) -> dict[str, Any]:
        """Fields that all benchmarks have, of `TIME` and `COST`."""
        timing = self.timings[name]
        return {
            "seconds": timing.median,
            "spread": timing.spread,
            "all_seconds": list(timing.seconds),
            "times_ours": timing.median / self.timings[OURS].median,
            "compile_seconds": timing.compiling,
            "first_step_seconds": timing.first,
            "peak_mib": timing.peak / _MIB,
        }

    def use(self, name: str, flops: float) -> dict[str, float]:
        """Fields of `USE`, where a step cannot do without so many operations."""
        rate = flops / self.timings[name].median
        return {"useful_gflops_per_second": rate / 1e9, "useful_share": rate / self.matmul}

    def measured(
        self,
        work: str,
        rows: Mapping[str, Mapping[str, Any]],
        lines: Lines,
        *,
        title: str,
        caption: str = "",
        **numbers: float,
    ) -> Measured:
        """With what else was found.

        Args:
          work: Its name in the numbers.
          rows: Fields of each peer.
          lines: What is shown of them.
          title: What was done.
          caption: What a reader has to know of the work.
          numbers: What is no peer's.
        """
        seen = (
            f"matmul peak, measured in turn: {self.matmul / 1e9:.0f} GFLOP/s",
            f"load average before: {self.load:.1f}",
        )
        peak = {"matmul_gflops_per_second": self.matmul / 1e9, "load_average": self.load}
        return Measured(
            title=title,
            caption="; ".join(filter(None, (caption, *seen))),
            lines=lines,
            rows=rows,
            numbers={"work": work, **numbers, **peak},
            failed=self.failed,
        )


def take_turns(peers: Mapping[str, Callable[[], Step]], rounds: int) -> Times:
    """Times peers and, among them, matmuls.

    Raises:
      ConfigError: ours failed.
    """
    load = os.getloadavg()[0]
    try:
        timings, failed = alternate({**peers, _MATMUL: matmul_step}, rounds, needed=(OURS, _MATMUL))
    except PeerError as error:
        raise ConfigError(f"bench: {error}") from error
    most = MATMUL_FLOPS / min(timings.pop(_MATMUL).seconds)
    return Times(timings=timings, failed=failed, matmul=most, load=load)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bench:
    """A benchmark as a command.

    Attributes:
      name: Behind `bench`.
      measure: Does it, given the values of its flags.
      peers: That ours can alternate with.
      size: Of its work by default.
      rounds: Steps that are timed by default.
      define: Defines its own flags.
      own: What those look like.
    """

    name: str
    measure: Callable[[Mapping[str, Any]], Measured]
    peers: Sequence[str]
    size: str = "S"
    rounds: int = 5
    define: Callable[[flags.FlagValues], None] = lambda _: None
    own: str = ""

    @property
    def form(self) -> str:
        """What a right command looks like."""
        against = " ".join(f"[--against={name}]" for name in self.peers)
        parts = (f"--size={self.size}", self.own, against, f"[--rounds={self.rounds}]")
        return " ".join(filter(None, ("chexjax bench", self.name, *parts, "[--json=FILE]")))

    def read(self, argv: Sequence[str]) -> dict[str, Any]:
        """Values of its flags.

        Raises:
          ConfigError: a flag cannot be used, or a peer is not installed.
        """
        own = flags.FlagValues()
        define_size(own, self.size)
        flags.DEFINE_multi_enum("against", [], self.peers, "Peers.", flag_values=own)
        flags.DEFINE_integer("rounds", self.rounds, "Steps.", lower_bound=2, flag_values=own)
        flags.DEFINE_string("json", None, "File for the numbers.", flag_values=own)
        self.define(own)
        given = values(own, argv, self.form)
        for name, how in absent(given["against"]).items():
            raise ConfigError(f"--against={name} is not installed: {how}")
        return given

    def run(self, argv: Sequence[str], console: Console) -> None:
        """Measures, shows and writes.

        Raises:
          ConfigError: a flag cannot be used, a peer is not installed, or ours failed.
          SystemExit: another one failed.
        """
        given = self.read(argv)
        found = self.measure(given)
        found.show(console)
        if given["json"]:
            write(given["json"], found.to_json())
        if found.failed:
            raise SystemExit(1)


def define_size(own: flags.FlagValues, default: str) -> None:
    """The flag that every benchmark has."""
    flags.DEFINE_enum("size", default, list(SIZES), "Of the work.", flag_values=own)


def values(own: flags.FlagValues, argv: Sequence[str], form: str) -> dict[str, Any]:
    """Values of flags in `argv`, which is to look like `form`.

    Raises:
      ConfigError: one cannot be used.
    """
    if rest := read_flags(own, argv, form):
        raise ConfigError(f"{rest[0]} is no flag: write {form}")
    return {name: own[name].value for name in own}


def write(file: str, content: Mapping[str, Any]) -> None:
    """Writes JSON; what stood in the file stays until all of it is there."""
    write_atomic(Path(file), json.dumps(content, indent=1) + "\n")
