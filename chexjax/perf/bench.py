"""Times the same work on several peers, in alternation, each in a process of its own.

Machines drift: only ratios of runs that alternate count. A process of its own gives each peer its
own peak memory, and keeps thread pools apart.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import multiprocessing
import resource
import signal
import statistics
import sys
import textwrap
import time
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

# JAX is imported where it is called: a peer that does not need it is not to pay for its memory.

Step = Callable[[int], Any]
"""Does the work once and waits for its end; the number says which batch."""

OURS = "chexjax"
"""Our own name among peers."""


class PeerError(RuntimeError):
    """A peer did not do its work; the message names it and says why."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Timing:
    """What one peer took.

    Attributes:
      first: Seconds until its first step was done, compiling included.
      seconds: Of each step behind it.
      compiling: Seconds that compilers took in its process.
      peak: Most memory that its process held, in bytes.
    """

    first: float
    seconds: Sequence[float]
    compiling: float
    peak: int

    @property
    def median(self) -> float:
        """Seconds of a step."""
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """Width of the middle half of the steps, as a share of the median."""
        low, _, high = statistics.quantiles(self.seconds, n=4)
        return (high - low) / self.median


_SECONDS_TO_END = 10
"""That a peer has for it when all is measured."""

_WORDS = 400
"""Most characters of an error that are passed on; all of it stands in the peer's own output."""

_SIDE, _PRODUCTS = 2048, 2
MATMUL_FLOPS = 2 * _SIDE**3 * _PRODUCTS
"""Operations of a step of `matmul_step`."""


def matmul_step() -> Step:
    """A peer that multiplies float32 matrices and nothing else: the most that a machine can do."""
    import jax
    import jax.numpy as jnp

    @jax.jit
    def multiply(x: jax.Array) -> jax.Array:
        y = x
        for _ in range(_PRODUCTS):
            y = y @ x
        return y

    x = jnp.full((_SIDE, _SIDE), 1 / _SIDE, jnp.float32)  # whose powers are all the same
    return lambda _: multiply(x).block_until_ready()


def alternate(
    peers: Mapping[str, Callable[[], Step]], rounds: int, *, needed: Collection[str] = ()
) -> tuple[dict[str, Timing], dict[str, str]]:
    """Times all peers, one step of each in turn.

    Args:
      peers: What makes each one's step; called in a process of its own.
      rounds: Steps of each that count, at least 2; one more comes before them.
      needed: Peers without whom the others are not worth their time.

    Returns:
      What each peer took, and why those failed that are not among them.

    Raises:
      PeerError: one of `needed` failed.
    """
    failed: dict[str, str] = {}
    steps = (functools.partial(_Peer.step, number=number) for number in range(rounds + 1))
    turns: Sequence[Callable[[_Peer], None]] = (_Peer.start, *steps, _Peer.finish)
    with contextlib.ExitStack() as stack:
        running = {name: stack.enter_context(_Peer(name, make)) for name, make in peers.items()}
        # They start one after the other, since compilers would share the cores.
        for turn in turns:
            for name, peer in list(running.items()):
                try:
                    turn(peer)
                except PeerError as error:
                    if name in needed:
                        raise
                    failed[name] = str(error)
                    running.pop(name).kill()
        return {name: peer.timing() for name, peer in running.items()}, failed


class _Peer:
    """A process that does a step whenever it is told to."""

    def __init__(self, name: str, make: Callable[[], Step]) -> None:
        context = multiprocessing.get_context("spawn")
        self._name = name
        self._pipe, self._theirs = context.Pipe()
        # No daemon, which could not start workers of its own.
        self._process = context.Process(target=_serve, args=(self._theirs, make))
        self._seconds: list[float] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._process.join(_SECONDS_TO_END)  # and ends its own workers
        self.kill()

    def start(self) -> None:
        """Makes its step."""
        self._process.start()
        self._theirs.close()
        self._first = self._answer()

    def step(self, number: int) -> None:
        """Does a step; the first one compiles and is not counted."""
        seconds = self._answer(number)
        if number:
            self._seconds.append(seconds)
        else:
            self._first += seconds

    def finish(self) -> None:
        """Has it sum up, and end."""
        self._compiling, self._peak = self._answer(None), int(self._answer())

    def timing(self) -> Timing:
        """All that was measured."""
        return Timing(
            first=self._first, seconds=self._seconds, compiling=self._compiling, peak=self._peak
        )

    def kill(self) -> None:
        """Ends it at once."""
        if self._process.pid is not None:
            self._process.kill()
            self._process.join()

    def _answer(self, *told: int | None) -> float:
        try:
            for message in told:
                self._pipe.send(message)
            answer = self._pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            raise PeerError(f"{self._name} {_ended(self._process.exitcode)}") from None
        if isinstance(answer, str):
            raise PeerError(f"{self._name} failed: {answer}")
        return float(answer)


def _ended(code: int | None) -> str:
    """How a process ended that said nothing."""
    if code == -signal.SIGKILL:
        return "was killed, most likely because memory ran out"
    return f"ended with exit code {code}; its own words stand above"


def _serve(pipe: Connection, make: Callable[[], Step]) -> None:
    """Answers with the seconds of making a step and of each step; compiling and peak come last.

    What goes wrong is answered with its words.
    """
    try:
        for answer in _answers(pipe, make):
            pipe.send(answer)
    except Exception as error:
        traceback.print_exc()
        pipe.send(textwrap.shorten(f"{type(error).__name__}: {error}", _WORDS))


def _answers(pipe: Connection, make: Callable[[], Step]) -> Iterator[float]:
    _compiling()  # counts from here on
    started = time.perf_counter()
    step = make()
    yield time.perf_counter() - started
    while (number := pipe.recv()) is not None:
        started = time.perf_counter()
        step(number)
        yield time.perf_counter() - started
    yield _compiling()
    yield _peak()


def _peak() -> int:
    """Most bytes that this process held; Linux counts in `ru_maxrss` what its parent held too."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    for line in lines:
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _compiling() -> float:
    """Seconds that XLA and torch's compiler took in this process."""
    seconds = 0.0
    if "jax" in sys.modules:  # there from the start if the step's maker stands beside it
        from chexjax.trackers import compile_seconds

        seconds += compile_seconds()
    if dynamo := sys.modules.get("torch._dynamo.utils"):  # there if the step is torch's
        seconds += dynamo.calculate_time_spent()["total_wall_time"]
    return seconds
