"""Metrics of a training run, read one step late so that devices never wait for the host."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter

import jax

from chexjax.trackers import JsonlTracker

PATIENCE = 20
"""Skipped steps in a row after which a run is given up."""


class NonFiniteRun(RuntimeError):
    """Step after step had a loss or gradient that is not finite."""


class MetricLog:
    """Averages step metrics between log lines and keeps the progress note."""

    def __init__(
        self,
        tracker: JsonlTracker,
        *,
        start: int,
        every: int,
        patience: int = PATIENCE,
        rows: Callable[[int], Sequence[str]] = lambda _: (),
    ) -> None:
        """Goes on after step `start`; what an earlier attempt logged beyond it is dropped.

        Args:
          tracker: Where lines go.
          start: The last step that was taken before.
          every: Steps between lines.
          patience: Skipped steps in a row after which the run is given up.
          rows: Ids of the rows of a step.
        """
        tracker.truncate(start)
        self._tracker, self._every = tracker, every
        self._patience, self._rows = patience, rows
        self._pending: tuple[int, dict[str, jax.Array]] | None = None
        self._steps: list[dict[str, float]] = []
        self._in_a_row = 0
        self._since = perf_counter()
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

    def flush(self) -> None:
        """Reads the last step and writes the line under way, however few steps it is of."""
        if self._pending is not None:
            last, self._pending = self._pending, None
            self._read(*last)
            if self._steps:
                self._write(last[0])

    def _read(self, step: int, metrics: dict[str, jax.Array]) -> None:
        values = {name: float(value) for name, value in jax.device_get(metrics).items()}
        self._in_a_row = 0 if _is_finite(values) else self._in_a_row + 1
        if self._in_a_row:
            self._complain(step, values)
        self._steps.append(values)
        self._note = f"loss {values['loss']:.3f}"
        if step % self._every == 0:
            self._write(step)

    def _complain(self, step: int, values: Mapping[str, float]) -> None:
        """Names the rows of a step that was skipped; gives up where that is too many in a row."""
        what = f"step {step}: loss {values['loss']}, gradient norm {values['grad_norm']}"
        message = f"{what}; its rows are {', '.join(self._rows(step)) or 'not known'}"
        if self._in_a_row >= self._patience:
            raise NonFiniteRun(
                f"{message}; {self._in_a_row} in a row were not finite: look at these rows, lower "
                "the learning rate, and run again"
            )
        print(f"skipped {message}", flush=True)

    def _write(self, step: int) -> None:
        """Logs means over the steps that were not skipped, and how many were so far."""
        now, taken = perf_counter(), [values for values in self._steps if _is_finite(values)]
        line = {name: sum(v[name] for v in taken) / len(taken) for name in (taken or [{}])[0]}
        line["skipped"] = self._steps[-1]["skipped"]
        line["perf/step_ms"] = 1000 * (now - self._since) / len(self._steps)
        self._tracker.log(step, line)
        self._steps, self._since = [], now


def _is_finite(values: dict[str, float]) -> bool:
    return math.isfinite(values["loss"]) and math.isfinite(values["grad_norm"])
