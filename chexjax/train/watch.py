"""What is seen of a run from outside: boards, a profile of some steps, a dump where it hangs."""

from __future__ import annotations

import contextlib
import dataclasses
import faulthandler
import math
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import jax

from chexjax.distributed import is_first
from chexjax.preemption import EXIT_CODE
from chexjax.trackers import JsonlTracker
from chexjax.train.boards import TensorBoard, Tracker, Trackers, Wandb

_DONE_BY = 3
"""Whoever begins this step of an attempt has seen its first one done: metrics come a step late."""

_SECONDS_BEHIND = 5.0
"""The first process ends so much later than the others, which its end would abort."""

_SECONDS_FOR_PYTHON = 60.0
"""So much later the process is ended by C, where no Python runs any more."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class WatchConfig:
    """How training is watched.

    Attributes:
      wandb: Project on Weights & Biases that metrics go to as well; empty for none.
      profile: First and last step whose profile is taken, for `xprof` or Perfetto; none by default.
      hang_minutes: A step that takes longer has the stacks of all threads written to stderr; 0 for
        never. The first step of an attempt is compiled in it.
      on_hang: Whether the process then goes on waiting, or ends: with the code of a preemption, by
        which launchers start it again, where this attempt has seen steps done; with 1 where it has
        seen none, since it would hang again.
    """

    wandb: str = ""
    profile: tuple[int, ...] = ()
    hang_minutes: float = 60.0
    on_hang: Literal["wait", "end"] = "wait"

    def __post_init__(self) -> None:
        """Checks the steps of a profile and the time."""
        steps = self.profile
        if steps and (len(steps) != 2 or not 1 <= steps[0] <= steps[1]):
            raise ValueError(f"profile={self.profile} must be a first and a last step, from 1 on")
        if self.hang_minutes < 0:
            raise ValueError(f"hang_minutes={self.hang_minutes} must be 0, for never, or more")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Watch:
    """The same for one stage of a run.

    Attributes:
      config: What is asked for.
      board: Folder of TensorBoard's event file.
      traces: Folder of profiles.
      name: Of the stage's run among others.
      peak: Operations a second that each device could do; None where that is not known.
    """

    config: WatchConfig
    board: Path
    traces: Path
    name: str
    peak: float | None = None

    def tracker(self, file: Path) -> Tracker:
        """Where metrics go: JSON lines always, and the boards.

        Raises:
          ConfigError: a board is asked for that is not installed.
        """
        trackers: list[Tracker] = [JsonlTracker(file), TensorBoard(self.board)]
        if self.config.wandb:
            trackers.append(Wandb(self.config.wandb, self.name, self.board))
        return Trackers(trackers)

    @contextlib.contextmanager
    def steps(self) -> Iterator[Steps]:
        """While steps are taken."""
        steps = Steps(self.config, self.traces)  # of several processes the first takes a profile
        try:
            yield steps
        finally:
            steps.end()


class Steps:
    """Steps that are watched one by one."""

    def __init__(self, config: WatchConfig, traces: Path) -> None:
        """See `Watch`."""
        self._config, self._traces = config, traces
        self._first, self._last = (is_first() and config.profile) or (0, -1)
        self._tracing = False
        self._begun = 0
        self._deadline = _Deadline() if config.on_hang == "end" and config.hang_minutes else None

    @contextlib.contextmanager
    def step(self, number: int) -> Iterator[None]:
        """Around the dispatch of a step, whose metrics are then waited for one step later."""
        self._expect_progress()
        if self._first <= number <= self._last and not self._tracing:
            jax.profiler.start_trace(str(self._traces))
            self._tracing = True
        with jax.profiler.StepTraceAnnotation("train", step_num=number):
            yield

    def taken(self, number: int, state: Any) -> None:
        """Behind a step; ends the profile behind its last one, when the devices have done it."""
        if self._tracing and number >= self._last:
            jax.block_until_ready(state)
            self.end()

    def end(self) -> None:
        """Nothing is watched any more."""
        if self._tracing:
            jax.profiler.stop_trace()
            self._tracing = False
        faulthandler.cancel_dump_traceback_later()
        if self._deadline is not None:
            self._deadline.cancel()

    def _expect_progress(self) -> None:
        self._begun += 1
        seconds = 60 * self._config.hang_minutes
        if self._deadline is not None:
            self._deadline.set(seconds, EXIT_CODE if self._begun >= _DONE_BY else 1)
            seconds += _SECONDS_FOR_PYTHON
        if seconds and sys.__stderr__ is not None:
            ends = self._deadline is not None
            faulthandler.dump_traceback_later(seconds, exit=ends, file=sys.__stderr__)


class _Deadline:
    """Ends the process, with the stacks of all threads, if it is not set anew in time."""

    def __init__(self) -> None:
        """Not set yet."""
        self._at, self._code = math.inf, 1
        self._cancelled = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def set(self, seconds: float, code: int) -> None:
        """So many seconds from now on, and the code that the process ends with."""
        self._at, self._code = time.monotonic() + seconds, code

    def cancel(self) -> None:
        """It is not to be met any more."""
        self._cancelled.set()

    def _watch(self) -> None:
        while not self._cancelled.wait(min(max(self._at - time.monotonic(), 0.0), 1.0)):
            if time.monotonic() >= self._at:
                self._end()

    def _end(self) -> None:
        if sys.__stderr__ is not None:
            print(f"a step takes too long; ends with code {self._code}", file=sys.__stderr__)
            faulthandler.dump_traceback(file=sys.__stderr__, all_threads=True)
        if is_first() and jax.process_count() > 1:
            time.sleep(_SECONDS_BEHIND)
        os._exit(self._code)
