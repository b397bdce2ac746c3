"""Metrics of a training run, read one step late so that devices never wait for the host."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Any

import jax

from chexjax.config import ConfigError, nearest
from chexjax.train.boards import Tracker
from chexjax.train.meter import Meter

PATIENCE = 20
"""Skipped steps in a row after which a run is given up."""


class NonFiniteRun(RuntimeError):
    """Step after step had a loss or gradient that is not finite."""


class MetricLog:
    """Averages step metrics between log lines and keeps the progress note."""

    def __init__(
        self,
        tracker: Tracker | None,
        *,
        start: int,
        every: int,
        patience: int = PATIENCE,
        rows: Callable[[int], Sequence[str]] = lambda _: (),
        meter: Meter | None = None,
        clock: Mapping[str, Any] | None = None,
        ranked_by: str = "",
    ) -> None:
        """Goes on after step `start`; what an earlier attempt logged beyond it is dropped.

        Args:
          tracker: Where lines go; None for one of several processes that all see the same.
          start: The last step that was taken before.
          every: Steps between lines.
          patience: Skipped steps in a row after which the run is given up.
          rows: Ids of the rows of a step.
          meter: Tells how fast it is; not asked of the first step of an attempt, in which programs
            are compiled.
          clock: What `clock` said behind that step.
          ranked_by: The metric that `score` tells; empty for none.
        """
        clock = clock or {"steps": [], "in_a_row": 0, "ranked": []}
        # A line of the last step itself may be the end of a run that is about to end again.
        if tracker is not None:
            tracker.truncate(start - bool(clock["steps"]))
        self._tracker, self._every = tracker, every
        self._patience, self._rows, self._meter = patience, rows, meter
        self._pending: tuple[int, dict[str, jax.Array]] | None = None
        self._steps: list[dict[str, float]] = [*clock["steps"]]
        self._in_a_row = int(clock["in_a_row"])
        self._ranked_by, self._ranked = ranked_by, [float(one) for one in clock["ranked"]]
        self._since: float | None = None
        self._timed: list[int] = []
        self._note = ""

    def push(self, step: int, metrics: dict[str, jax.Array]) -> str:
        """Takes the metrics of a step just dispatched and returns a note on the one before.

        Raises:
          NonFiniteRun: `patience` steps in a row were skipped.
        """
        late, self._pending = self._pending, (step, metrics)
        if late is not None:
            self._read(*late)
        return self._note

    def score(self) -> float | None:
        """The mean of the ranking metric since this was asked before, skipped steps left out.

        None where there is no such step.

        Raises:
          NonFiniteRun: `patience` steps in a row were skipped.
        """
        self._settle()
        ranked, self._ranked = self._ranked, []
        return sum(ranked) / len(ranked) if ranked else None

    def clock(self) -> dict[str, Any]:
        """What the line under way has of it already, for a run that goes on from here, as JSON.

        Raises:
          NonFiniteRun: `patience` steps in a row were skipped.
        """
        self._settle()
        productive = 0.0
        if self._meter is not None and self._since is not None:
            productive = self._meter.productive + perf_counter() - self._since
        return {
            "steps": self._steps,
            "in_a_row": self._in_a_row,
            "ranked": self._ranked,
            "productive": productive,
        }

    def finish(self, step: int) -> None:
        """Writes the line under way behind the last step, however few steps it is of."""
        self._settle()
        if self._steps:
            self._write(step)

    def close(self) -> None:
        """Nothing more will be logged."""
        if self._tracker is not None:
            self._tracker.close()

    def _settle(self) -> None:
        """Reads the last step that was pushed."""
        last, self._pending = self._pending, None
        if last is not None:
            self._read(*last)

    def _read(self, step: int, metrics: dict[str, jax.Array]) -> None:
        values = {name: float(value) for name, value in jax.device_get(metrics).items()}
        self._in_a_row = 0 if _is_finite(values) else self._in_a_row + 1
        if self._in_a_row:
            self._complain(step, values)
        elif self._ranked_by:
            self._ranked.append(self._of_rank(values))
        self._steps.append(values)
        if self._since is not None:
            self._timed.append(step)
        else:
            self._since = perf_counter()
            if self._meter is not None:
                self._meter.waited = 0.0
        self._note = f"loss {values['loss']:.3f}"
        if step % self._every == 0:
            self._write(step)

    def _of_rank(self, values: Mapping[str, float]) -> float:
        if self._ranked_by not in values:
            raise ConfigError(
                f"keep_best: there is no metric {self._ranked_by!r} in this training's log"
                f"{nearest(self._ranked_by, list(values))}"
            )
        return values[self._ranked_by]

    def _complain(self, step: int, values: Mapping[str, float]) -> None:
        """Names the rows of a step that was skipped; gives up where that is too many in a row."""
        what = f"step {step}: loss {values['loss']}, gradient norm {values['grad_norm']}"
        message = f"{what}; its rows are {', '.join(self._rows(step)) or 'not known'}"
        if self._in_a_row >= self._patience:
            raise NonFiniteRun(
                f"{message}; {self._in_a_row} in a row were not finite: look at these rows, lower "
                "the learning rate, and run again"
            )
        if self._tracker is not None:
            print(f"skipped {message}", flush=True)

    def _write(self, step: int) -> None:
        """Logs means over the steps that were not skipped, and how many were so far."""
        now, taken = perf_counter(), [values for values in self._steps if _is_finite(values)]
        line = {name: sum(v[name] for v in taken) / len(taken) for name in (taken or [{}])[0]}
        line["skipped"] = self._steps[-1]["skipped"]
        if self._meter is not None and self._since is not None and self._timed:
            line |= self._meter.rates(self._timed, now - self._since)
        if self._tracker is not None:
            self._tracker.log(step, line)
        self._steps, self._since, self._timed = [], now, []


def _is_finite(values: dict[str, float]) -> bool:
    return math.isfinite(values["loss"]) and math.isfinite(values["grad_norm"])
