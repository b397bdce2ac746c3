"""What a run tells about itself: progress, metrics a step, and where the time goes."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import math
import os
import resource
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import jax
import rich.progress
from rich.console import Console
from rich.table import Table

from chexjax.artefacts import ArtefactError
from chexjax.artefacts.files import write_atomic
from chexjax.config import ConfigError

_T = TypeVar("_T")
_SECONDS_BETWEEN_LINES = 5.0
_SECONDS_BETWEEN_SAVES = 5.0


def progress(
    iterable: Iterable[_T],
    total: int,
    label: str,
    *,
    unit: str = "it",
    done: int = 0,
    quiet: bool = False,
) -> Iterator[_T]:
    """Yields from `iterable` and shows how far it is, see `Progress`."""
    with Progress(total, label, unit=unit, done=done, quiet=quiet) as bar:
        for item in iterable:
            yield item
            bar.advance()


class Progress:
    """Shows on stderr how far a stage is and how long it will still take.

    A bar on a terminal; elsewhere plain lines such as `sample  128/512 units  25 %  0:41 left`, at
    most one in five seconds and one at the end. Use it as a context manager.
    """

    def __init__(
        self, total: int, label: str, *, unit: str = "it", done: int = 0, quiet: bool = False
    ) -> None:
        """Prepares to count to `total`; `done` were done by an earlier attempt."""
        self._total, self._label, self._unit = total, label, unit
        self._first = self._done = done
        self._note = ""
        self._quiet = quiet
        self._bar: rich.progress.Progress | None = None

    def __enter__(self) -> Progress:
        self._start = self._said = time.monotonic()
        if not self._quiet and sys.stderr.isatty():
            self._bar = _bar()
            self._bar.start()
            self._task = self._bar.add_task(
                self._label, total=self._total, completed=self._done, unit=self._unit, note=""
            )
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.stop()
        else:
            self._say()

    def advance(self, n: int = 1, note: str = "") -> None:
        """Counts `n` more; `note` (for example the loss) is shown behind."""
        self._done += n
        self._note = note or self._note
        if self._bar is not None:
            self._bar.update(self._task, advance=n, note=self._note)
        elif self._done < self._total and self._silence() >= _SECONDS_BETWEEN_LINES:
            self._say()

    def _silence(self) -> float:
        return time.monotonic() - self._said

    def _say(self) -> None:
        if self._quiet:
            return
        self._said = time.monotonic()
        elapsed, new = self._said - self._start, self._done - self._first
        share = self._done / self._total if self._total else 1.0
        parts = [self._label, f"{self._done}/{self._total} {self._unit}", f"{100 * share:.0f} %"]
        if self._done >= self._total:
            parts.append(f"took {clock(elapsed)}")
        elif new:
            parts.append(f"{clock(elapsed / new * (self._total - self._done))} left")
        print("  ".join([*parts, self._note] if self._note else parts), file=sys.stderr, flush=True)


def clock(seconds: float) -> str:
    """Seconds as `0:41` or `1:02:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _bar() -> rich.progress.Progress:
    return rich.progress.Progress(
        rich.progress.TextColumn("{task.description}"),
        rich.progress.BarColumn(),
        rich.progress.TextColumn("{task.completed:.0f}/{task.total:.0f} {task.fields[unit]}"),
        rich.progress.TimeRemainingColumn(elapsed_when_finished=True),
        rich.progress.TextColumn("{task.fields[note]}"),
        console=Console(stderr=True),
    )


class JsonlTracker:
    """Metrics as JSON lines, `{"step": 10, "loss": 2.5}`: the source of every plot."""

    def __init__(self, path: Path | str) -> None:
        """Opens the file, made if it is not there; a line torn by a kill is cut off."""
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.touch()
        data = self.path.read_bytes()
        if not data.endswith(b"\n"):
            os.truncate(self.path, data.rfind(b"\n") + 1)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Appends one line; non-finite values are stored as null."""
        numbers = {name: float(value) for name, value in metrics.items()}
        values = {k: v if math.isfinite(v) else None for k, v in numbers.items()}
        with open(self.path, "a") as file:
            file.write(json.dumps({"step": int(step), **values}) + "\n")

    def truncate(self, step: int) -> None:
        """Drops what was logged after `step`, so that a resumed run logs no step twice."""
        lines = self.path.read_text().splitlines(keepends=True)
        kept = [line for line in lines if json.loads(line)["step"] <= step]
        write_atomic(self.path, "".join(kept))

    def close(self) -> None:
        """Nothing more will be logged; every line is on disk already."""

    @staticmethod
    def read(path: Path | str) -> list[dict[str, float]]:
        """All complete lines; null reads as nan."""
        lines = Path(path).read_text().splitlines(keepends=True)
        rows = [json.loads(line) for line in lines if line.endswith("\n")]
        return [{k: math.nan if v is None else v for k, v in row.items()} for row in rows]


@dataclasses.dataclass
class Timing:
    """Where the time of one stage went, over all attempts at it.

    Attributes:
      wall: Seconds from entering to leaving.
      compile: Seconds that XLA took to compile (or to fetch from its cache).
      waits: Name -> seconds, for example `data_wait`.
      peak_rss: Highest memory of the process so far, MiB.
      finished: Whether the stage ran to its end.
    """

    wall: float = 0.0
    compile: float = 0.0
    waits: dict[str, float] = dataclasses.field(default_factory=dict)
    peak_rss: float = 0.0
    finished: bool = False


class StageTimer:
    """Times one attempt at a stage; made by `StageClock.stage`."""

    def __init__(self, owner: StageClock, name: str) -> None:
        """Starts timing; what earlier, unfinished attempts took is counted in."""
        before = owner.timings.get(name)
        self._before = before if before and not before.finished else Timing()
        self._waits = dict(self._before.waits)
        self._owner, self._name = owner, name
        self._start = self._saved = time.monotonic()
        self._compiled = compile_seconds()
        self._skipped = False

    def add(self, wait: str, seconds: float) -> None:
        """Counts `seconds` of waiting, for example for data."""
        self._waits[wait] = self._waits.get(wait, 0.0) + seconds
        if time.monotonic() - self._saved >= _SECONDS_BETWEEN_SAVES:
            self.save()

    def elapsed(self) -> float:
        """Seconds since the stage began, those of earlier attempts counted in."""
        return self._before.wall + time.monotonic() - self._start

    def skip(self) -> None:
        """Says that there was nothing to do: the record of the real work stays."""
        self._skipped = True

    def save(self, finished: bool = False) -> None:
        """Writes the record; in between too, as a killed stage leaves no other."""
        self._saved = time.monotonic()
        if self._skipped:
            return
        self._owner.timings[self._name] = Timing(
            wall=self._before.wall + self._saved - self._start,
            compile=self._before.compile + compile_seconds() - self._compiled,
            waits=dict(self._waits),
            peak_rss=max(self._before.peak_rss, _peak_rss()),
            finished=finished,
        )
        self._owner.save()


class StageClock:
    """Times the stages of a run; the records live in `timings.json` and survive restarts."""

    def __init__(self, workdir: Path | str, *, keep: bool = True) -> None:
        """Reads the records of earlier attempts in `workdir`; with `keep` it writes new ones."""
        self._path, self._keep = Path(workdir) / "timings.json", keep
        self.timings: dict[str, Timing] = {}
        # Timings are worth no failed run: a damaged file is started afresh.
        with contextlib.suppress(OSError, ValueError, TypeError):
            for name, values in json.loads(self._path.read_text()).items():
                self.timings[name] = Timing(**values)

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[StageTimer]:
        """Times the `with` block as the stage `name`."""
        timer = StageTimer(self, name)
        finished = False
        try:
            yield timer
            finished = True
        except (ArtefactError, ConfigError):
            timer.skip()  # a stage that refuses has done no work
            raise
        finally:
            timer.save(finished)

    def save(self) -> None:
        """Writes `timings.json`."""
        if not self._keep:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        values = {name: dataclasses.asdict(timing) for name, timing in self.timings.items()}
        write_atomic(self._path, json.dumps(values, indent=2) + "\n")

    def rows(self) -> list[dict[str, str]]:
        """The records by column, one stage a row, and a last row for all of them."""
        named = [*self.timings.items(), ("all", _total(self.timings.values()))]
        return [{"stage": name, **_cells(timing)} for name, timing in named]

    def table(self) -> Table:
        """The records as a table."""
        rows = self.rows()
        table = Table(title="Where the time went")
        for heading in rows[0]:
            table.add_column(heading, justify="left" if heading == "stage" else "right")
        for row in rows:
            table.add_row(*row.values(), end_section=len(rows) > 1 and row is rows[-2])
        return table


def _cells(timing: Timing) -> dict[str, str]:
    waited = timing.waits.get("data_wait", 0.0)
    share = waited / timing.wall if timing.wall else 0.0
    return {
        "wall s": f"{timing.wall:.1f}",
        "compile s": f"{timing.compile:.1f}",
        "data wait s": f"{waited:.2f} ({share:.1%})",
        "peak MiB": f"{timing.peak_rss:,.0f}",
    }


def _total(timings: Iterable[Timing]) -> Timing:
    timings = list(timings)
    return Timing(
        wall=sum(t.wall for t in timings),
        compile=sum(t.compile for t in timings),
        waits={"data_wait": sum(t.waits.get("data_wait", 0.0) for t in timings)},
        peak_rss=max((t.peak_rss for t in timings), default=0.0),
    )


def _peak_rss() -> float:
    """Highest resident memory of this process so far, MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def compile_seconds() -> float:
    """Seconds that XLA has compiled in this process, counted from the first call on."""
    return sum(_compilations())


@functools.cache
def _compilations() -> list[float]:
    """The list that JAX adds the duration of every compilation to."""
    durations: list[float] = []

    def listen(event: str, duration_secs: float, **_: str | int) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            durations.append(duration_secs)

    jax.monitoring.register_event_duration_secs_listener(listen)
    return durations
