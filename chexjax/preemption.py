"""The notice that a machine is about to be taken away: SIGTERM, heeded at the end of a step."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

import jax
from jax.experimental import multihost_utils

EXIT_CODE = 75
"""Of a run that was asked to stop and has saved all it had: `EX_TEMPFAIL` of sysexits.h."""


class Preempted(Exception):  # noqa: N818  (nothing is wrong)
    """A run stopped because it was asked to, and goes on where it stopped when run again."""


class Preemption:
    """Notices SIGTERM while it is entered; otherwise the signal ends the process as ever.

    Where several processes take steps together it is enough to tell one of them: JAX's coordinator
    agrees on a step that none of them has begun.
    """

    def __init__(self, *, together: bool = False) -> None:
        """Nothing has been noticed."""
        self._together, self._noticed = together, False
        self._before: Any = None

    def __enter__(self) -> Preemption:
        # Signals reach the main thread alone; in a job of several processes JAX itself listens.
        main = threading.current_thread() is threading.main_thread()
        self._listens = jax.process_count() == 1 and main
        if self._listens:
            self._before = signal.signal(signal.SIGTERM, self._notice)
        return self

    def __exit__(self, *error: object) -> None:
        if self._listens:
            signal.signal(signal.SIGTERM, self._before)

    def _notice(self, _: int, __: FrameType | None) -> None:
        self._noticed = True

    def reached(self, step: int) -> bool:
        """Whether to stop behind this step; all processes ask at every step and hear the same."""
        if self._together:
            return bool(multihost_utils.reached_preemption_sync_point(step))
        return self._noticed
