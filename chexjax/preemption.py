"""The notice that a machine is about to be taken away: SIGTERM, heeded between steps and units.

Whoever works for long asks in between whether to stop. A run stopped like this ends with a code of
its own, and goes on when it is started again. A second notice ends the process at once.
"""

from __future__ import annotations

import contextlib
import functools
import signal
import threading
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

EXIT_CODE = 75
"""Of a run that was asked to stop and has saved all it had: `EX_TEMPFAIL` of sysexits.h."""

_asked = threading.Event()


class Preempted(Exception):  # noqa: N818  (nothing is wrong)
    """A run stopped because it was asked to, and goes on where it stopped when run again."""


@contextlib.contextmanager
def listening() -> Iterator[None]:
    """Heeds SIGTERM while it is entered, in the main thread; elsewhere it does nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)

    def note(*_: Any) -> None:
        _asked.set()
        signal.signal(signal.SIGTERM, before)

    signal.signal(signal.SIGTERM, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        _asked.clear()


def check(where: str) -> None:
    """Comes back unless this process has been asked to stop.

    Raises:
      Preempted: it has been; `where` says how far it is.
    """
    if _asked.is_set():
        raise Preempted(f"asked to stop: {where}")


class Agreement:
    """Whether processes that take steps together stop behind one: any of them may be asked.

    Each step's question goes over the devices behind the step itself, and is answered one step
    later, so that nobody waits for it and all stop behind the same step.
    """

    def __init__(self, mesh: Mesh, *, together: bool) -> None:
        """Takes the devices of all, and whether there is more than one process."""
        self._mesh, self._together = mesh, together
        self._answer: jax.Array | None = None

    def reached(self) -> bool:
        """Whether to stop; to be asked by all behind every step."""
        if not self._together:
            return _asked.is_set()
        late, self._answer = self._answer, self._ask()
        return late is not None and bool(late)

    def _ask(self) -> jax.Array:
        place = NamedSharding(self._mesh, PartitionSpec(self._mesh.axis_names))
        own = np.full(len(place.addressable_devices), _asked.is_set())
        answer: jax.Array = _any(self._mesh)(jax.make_array_from_process_local_data(place, own))
        return answer


@functools.cache
def _any(mesh: Mesh) -> Any:
    return jax.jit(lambda asked: asked.any(), out_shardings=NamedSharding(mesh, PartitionSpec()))
