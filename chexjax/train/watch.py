"""What is seen of a run from outside: boards, a profile of some steps, a dump where it hangs."""

from __future__ import annotations

import contextlib
import dataclasses
import faulthandler
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import jax

from chexjax.distributed import is_first
from chexjax.trackers import JsonlTracker
from chexjax.train.boards import TensorBoard, Tracker, Trackers, Wandb


@dataclasses.dataclass(frozen=True, kw_only=True)
class WatchConfig:
    """How training is watched.

    Attributes:
      wandb: Project on Weights & Biases that metrics go to as well; empty for none.
      profile: First and last step whose profile is taken, for `xprof` or Perfetto; none by default.
      hang_minutes: A step that takes longer has the stacks of all threads written to stderr; 0 for
        never. The first step of an attempt is compiled in it.
      on_hang: Whether the process then goes on waiting, or ends with code 1 and the others of its
        job with it.
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

    def _expect_progress(self) -> None:
        minutes, ends = self._config.hang_minutes, self._config.on_hang == "end"
        if minutes and sys.__stderr__ is not None:
            faulthandler.dump_traceback_later(60 * minutes, exit=ends, file=sys.__stderr__)
