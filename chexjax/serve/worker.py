"""The one thread that owns the engine, and how everybody else talks to it."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, suppress
from typing import Protocol

from chexjax.engine import Full, Request, Written

_log = logging.getLogger(__name__)

Tell = Callable[[int, Written | Exception], None]
"""Gets the place of a request among those it was submitted with, and what became of it next: what
was written, or why there will be nothing more. It is called in the worker's thread."""


class Writes(Protocol):
    """As much of an engine as is used here."""

    @property
    def idle(self) -> bool:
        """Whether nothing is left to do."""
        ...

    def submit(self, request: Request) -> int:
        """Queues a request and returns its ticket."""
        ...

    def cancel(self, ticket: int) -> None:
        """Gives a request up."""
        ...

    def step(self) -> list[Written]:
        """Does a little, and says what is new."""
        ...


class Stopped(RuntimeError):
    """The engine's thread takes no more work: it was closed, or it failed."""


@dataclasses.dataclass
class _Call:
    """A request on its way: to whom its rows belong, how many are open, and where it stands."""

    request: Request
    tell: Callable[[Written | Exception], None]
    open: int
    ticket: int | None = None
    started: bool = False


class Worker:
    """Runs an engine in a thread of its own. Its methods may be called from any other."""

    def __init__(self, engine: Callable[[], AbstractContextManager[Writes]], depth: int) -> None:
        """Starts nothing yet.

        Args:
          engine: Makes the engine in the thread that then owns it, in the context that it needs.
          depth: Requests that may wait.
        """
        self._engine, self._depth = engine, depth
        self._orders: queue.SimpleQueue[Callable[[Writes], None] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._calls: dict[int, _Call] = {}
        self._tickets: dict[int, int] = {}
        self._closed: Stopped | None = None
        self._failed = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._ready: Future[None] = Future()

    def start(self) -> None:
        """Starts the thread and waits for its engine; raises what the making of it does."""
        self._thread.start()
        self._ready.result()

    def close(self, timeout: float = 10.0) -> None:
        """Ends the thread after its current step; open requests are told that it has stopped."""
        self._orders.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout)

    def submit(self, requests: Sequence[Request], tell: Tell) -> list[int]:
        """Queues requests, all of them or none.

        Returns:
          A number for each, for `cancel`.

        Raises:
          Full: too many wait.
          Stopped: the thread has ended.
        """
        with self._lock:
            if self._closed is not None:
                raise self._closed
            waiting = self._waiting()
            if waiting + len(requests) > self._depth:
                raise Full(f"{waiting} of at most {self._depth} requests wait; try again later")
            numbers = [next(self._numbers) for _ in requests]
            for place, (number, request) in enumerate(zip(numbers, requests, strict=True)):
                told = functools.partial(tell, place)
                self._calls[number] = _Call(request, told, len(request.rows))
        for number in numbers:
            self._orders.put(functools.partial(self._submit, number))
        return numbers

    def cancel(self, number: int) -> None:
        """Gives a request up; it may have ended."""
        self._orders.put(functools.partial(self._cancel, number))

    @property
    def healthy(self) -> bool:
        """Whether the engine has not failed."""
        return not self._failed

    @property
    def waiting(self) -> int:
        """Requests of which nothing is written yet."""
        with self._lock:
            return self._waiting()

    @property
    def running(self) -> int:
        """Rows that are being written."""
        with self._lock:
            return sum(call.open for call in self._calls.values() if call.started)

    def _waiting(self) -> int:
        return sum(not call.started for call in self._calls.values())

    def _run(self) -> None:
        end: Stopped = Stopped("the server is stopping")
        try:
            with self._engine() as engine:
                self._ready.set_result(None)
                while self._obey(engine):
                    self._hand_out(engine, engine.step())
        except BaseException as error:
            if not self._ready.done():
                self._ready.set_exception(error)
                return
            self._failed = True
            end = Stopped("the engine has failed")
            _log.exception("the engine has failed; nothing is written any more")
        self._end(end)

    def _end(self, reason: Stopped) -> None:
        with self._lock:
            self._closed = reason
            calls = list(self._calls.values())
            self._calls.clear()
        for call in calls:
            _told(call, reason)

    def _obey(self, engine: Writes) -> bool:
        """Does what was asked since the last step; waits where there is nothing else to do."""
        wait = engine.idle
        with suppress(queue.Empty):
            while (order := self._orders.get(block=wait)) is not None:
                order(engine)
                wait = False
            return False
        return True

    def _submit(self, number: int, engine: Writes) -> None:
        call = self._calls.get(number)
        if call is None:
            return
        try:
            call.ticket = engine.submit(call.request)
        except (Full, ValueError) as error:
            self._forget(number)
            _told(call, error)
        else:
            self._tickets[call.ticket] = number

    def _cancel(self, number: int, engine: Writes) -> None:
        call = self._calls.get(number)
        if call is not None and call.ticket is not None:
            engine.cancel(call.ticket)

    def _hand_out(self, engine: Writes, written: Sequence[Written]) -> None:
        for new in written:
            number = self._tickets[new.ticket]
            call = self._calls[number]
            with self._lock:
                call.started = True
                call.open -= new.finish is not None
            if not _told(call, new):
                engine.cancel(new.ticket)
            if not call.open:
                self._forget(number)

    def _forget(self, number: int) -> None:
        with self._lock:
            call = self._calls.pop(number)
        if call.ticket is not None:
            del self._tickets[call.ticket]


def _told(call: _Call, news: Written | Exception) -> bool:
    """Whether there was somebody to tell: a client's loop may be gone."""
    try:
        call.tell(news)
    except RuntimeError:
        return False
    return True
