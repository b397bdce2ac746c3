"""Metrics of a training run, read one step late so that devices never wait for the host."""

from __future__ import annotations

import math
from time import perf_counter

import jax

from chexjax.trackers import JsonlTracker

PATIENCE = 20
"""Skipped steps in a row after which a run is given up."""


class NonFiniteRun(RuntimeError):
    """Step after step had a loss or gradient that is not finite."""


class MetricLog:
    """Averages step metrics between log lines and keeps the progress note."""

    def __init__(self, tracker: JsonlTracker, *, start: int, every: int) -> None:
        """Goes on after step `start`; what an earlier attempt logged beyond it is dropped."""
        tracker.truncate(start)
        self._tracker, self._every = tracker, every
        self._pending: tuple[int, dict[str, jax.Array]] | None = None
        self._sums: dict[str, float] = {}
        self._count = 0
        self._in_a_row = 0
        self._skipped = 0.0
        self._since = perf_counter()
        self._note = ""

    def push(self, step: int, metrics: dict[str, jax.Array]) -> str:
        """Takes the metrics of a step just dispatched and returns a note on the one before.

        Raises:
          NonFiniteRun: `PATIENCE` steps in a row were skipped.
        """
        late, self._pending = self._pending, (step, metrics)
        if late is not None:
            self._read(*late)
        return self._note

    def flush(self) -> None:
        """Reads the last step."""
        if self._pending is not None:
            self._read(*self._pending)
            self._pending = None

    def _read(self, step: int, metrics: dict[str, jax.Array]) -> None:
        values = {name: float(value) for name, value in jax.device_get(metrics).items()}
        self._in_a_row = self._in_a_row + 1 if values["skipped"] > self._skipped else 0
        self._skipped = values["skipped"]
        if self._in_a_row >= PATIENCE:
            raise NonFiniteRun(
                f"the last {PATIENCE} steps up to {step} had a loss or gradient that is not "
                f"finite; lower the learning rate and run again"
            )
        if math.isfinite(values["loss"]):
            for name, value in values.items():
                self._sums[name] = self._sums.get(name, 0.0) + value
            self._count += 1
        self._note = f"loss {values['loss']:.3f}"
        if step % self._every == 0:
            self._write(step)

    def _write(self, step: int) -> None:
        now = perf_counter()
        means = {name: total / max(self._count, 1) for name, total in self._sums.items()}
        means["perf/step_ms"] = 1000 * (now - self._since) / max(self._count, 1)
        self._tracker.log(step, means)
        self._sums, self._count, self._since = {}, 0, now
