"""`bench all`: every benchmark against every peer that is installed, on one page.

The page is written anew behind each benchmark, as JSON and as markdown, so that what was measured
is kept whatever happens to the rest.
"""

from __future__ import annotations

import dataclasses
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags
from rich.console import Console
from rich.table import Table

from chexjax.artefacts import write_atomic
from chexjax.perf import installed, machine
from chexjax.perf.bench import OURS
from chexjax.stages.bench.align import ALIGN
from chexjax.stages.bench.data import DATA
from chexjax.stages.bench.judge import JUDGE
from chexjax.stages.bench.sample import SAMPLE
from chexjax.stages.bench.timing import Bench, Measured, define_size, values, write

NAME = "all"
FORM = f"chexjax bench {NAME} [--size=S] [--rounds=5] [--json=FILE] [--markdown=FILE]"

BENCHES = (ALIGN, JUDGE, SAMPLE, DATA)

_PAGE: Mapping[str, tuple[Bench, Sequence[str]]] = {
    "align": (ALIGN, ()),
    "judge": (JUDGE, ("--work=prefix",)),
    "judge, as GREEN": (JUDGE, ("--work=green",)),
    "sample": (SAMPLE, ()),
    "data": (DATA, ()),
}
"""What stands on the page: a benchmark, and what it is told."""

_RATIOS = (
    f"`time, {OURS} = 1` is the only line to compare: the median of a peer's steps over that of "
    f"{OURS}'s, above 1 where the peer is slower. In each table they did the same work in the same "
    "minutes, taking turns, so whatever slowed the machine slowed both; seconds of two tables, "
    "calls or machines say little. A ratio is no surer than `middle half`, the width of the "
    "middle half of a peer's times as a share of their median, is narrow."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """A benchmark on the page.

    Attributes:
      command: That does it alone.
      found: What it has found; None where it failed.
      error: Why.
    """

    command: str
    found: Measured | None = None
    error: str = ""

    @property
    def failed(self) -> bool:
        """Whether anything of it did."""
        return self.found is None or bool(self.found.failed)

    def to_json(self) -> dict[str, Any]:
        """Its command, and its numbers or its error."""
        said = {"error": self.error} if self.found is None else self.found.to_json()
        return {"command": self.command, **said}

    def markdown(self) -> str:
        """The same to read."""
        said = f"**Failed: {self.error}**" if self.found is None else self.found.markdown()
        return f"`{self.command}`\n\n{said}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Page:
    """What is known so far.

    Attributes:
      machine: What it was measured on.
      absent: Peers that are not installed, and how to install them.
      entries: Benchmarks that have ended, by their names.
    """

    machine: Mapping[str, str]
    absent: Mapping[str, str]
    entries: dict[str, Entry] = dataclasses.field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        benches = {name: entry.to_json() for name, entry in self.entries.items()}
        return {"machine": self.machine, "absent": self.absent, "benches": benches}

    def markdown(self) -> str:
        """The same to read."""
        lines = "\n".join(f"| {what} | {found} |" for what, found in self.machine.items())
        parts = [f"# {OURS} on this machine", _RATIOS, f"| | |\n|---|---|\n{lines}"]
        parts += [f"## {name}\n\n{entry.markdown()}" for name, entry in self.entries.items()]
        if self.absent:
            named = "\n".join(f"- {name}: {how}" for name, how in self.absent.items())
            parts.append(f"## Peers that are not installed\n\n{named}")
        return "\n\n".join(parts) + "\n"


def run(argv: Sequence[str], console: Console) -> None:
    """Measures all, shows each as soon as it is there, and writes the page.

    Raises:
      ConfigError: a flag cannot be used.
      SystemExit: something failed; the page says what.
    """
    given = _read(argv)
    page = _begun()
    _keep(page, given)  # a file that cannot be written is not to be found out at the end
    table = Table("what", "found", title="This machine")
    for line in page.machine.items():
        table.add_row(*line)
    console.print(table)
    for name, bench, told in _asked(given, page.absent):
        console.print(f"chexjax bench {bench.name} {' '.join(told)}", markup=False)
        page.entries[name] = entry = _entry(bench, told)
        if entry.found:
            entry.found.show(console)
        else:
            console.print(f"failed: {entry.error}", style="bold", markup=False)
        _keep(page, given)
    for name, how in page.absent.items():
        console.print(f"not installed: {name}: {how}", markup=False)
    console.print(_RATIOS, markup=False)
    if any(entry.failed for entry in page.entries.values()):
        raise SystemExit(1)


def _read(argv: Sequence[str]) -> dict[str, Any]:
    own = flags.FlagValues()
    define_size(own, "S")
    flags.DEFINE_integer("rounds", None, "Steps of each.", lower_bound=2, flag_values=own)
    flags.DEFINE_string("json", None, "File for the numbers.", flag_values=own)
    flags.DEFINE_string("markdown", None, "File for the page.", flag_values=own)
    return values(own, argv, FORM)


def _begun() -> Page:
    """The page before anything is measured."""
    peers = list(dict.fromkeys(peer for bench in BENCHES for peer in bench.peers))
    return Page(machine=machine.describe(installed.versions(peers)), absent=installed.absent(peers))


def _asked(
    given: Mapping[str, Any], absent: Mapping[str, str]
) -> Iterator[tuple[str, Bench, list[str]]]:
    """The benchmarks, and all that each is told."""
    for name, (bench, own) in _PAGE.items():
        told = [f"--size={given['size']}", *own]
        told += [f"--against={peer}" for peer in bench.peers if peer not in absent]
        if given["rounds"]:
            told.append(f"--rounds={given['rounds']}")
        yield name, bench, told


def _entry(bench: Bench, told: Sequence[str]) -> Entry:
    command = " ".join(("chexjax bench", bench.name, *told))
    try:
        return Entry(command=command, found=bench.measure(bench.read(told)))
    except Exception as error:  # whatever it is, the others go on
        traceback.print_exc()
        return Entry(command=command, error=f"{type(error).__name__}: {error}")


def _keep(page: Page, given: Mapping[str, Any]) -> None:
    if given["json"]:
        write(given["json"], page.to_json())
    if given["markdown"]:
        write_atomic(Path(given["markdown"]), page.markdown())
