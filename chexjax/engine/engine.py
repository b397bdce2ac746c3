"""Continuous batching: requests come and go while others are being written."""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Iterator, Sequence

import jax

from chexjax.engine.config import EngineConfig
from chexjax.engine.drafting import Counts, Drafts, Likely
from chexjax.engine.job import Job
from chexjax.engine.pools import Pools
from chexjax.engine.request import Completion, Full, Request, Written
from chexjax.engine.shapes import Shape
from chexjax.mesh import batch_ways
from chexjax.models import LanguageModel


@dataclasses.dataclass(frozen=True)
class _Reading:
    """Jobs whose prompts are being read, and the chunks that are left."""

    jobs: list[Job]
    chunks: Iterator[int]


class Engine:
    """Writes continuations of prompts, many at a time. One thread owns it.

    What a request gets does not depend on what runs beside it: it goes through programs whose
    shapes depend on itself alone, and no row of them reads another's.
    """

    def __init__(
        self,
        model: LanguageModel,
        config: EngineConfig = EngineConfig(),  # noqa: B008 (frozen)
        preamble: Sequence[int] = (),
        likely: Likely | None = None,
    ) -> None:
        """Lays the model out for serving, and reads the preamble.

        Args:
          model: Writes.
          config: How requests are batched.
          preamble: Ids that many requests begin with; those that do share its memory.
          likely: Text that many answers repeat, to draft from.
        """
        mesh = jax.sharding.get_abstract_mesh()
        config = config.on(1 if mesh.empty else batch_ways(mesh))
        self._spec, self._config = model.decoder.spec, config
        self._pools, self._likely = Pools(model, config), likely
        self._tickets = itertools.count()
        self._waiting: collections.deque[Job] = collections.deque()
        self._reading: dict[Shape, _Reading] = {}
        self._unwanted: set[int] = set()
        self.begin(preamble)

    def begin(self, preamble: Sequence[int]) -> None:
        """Reads a preamble in place of the one before.

        Raises:
          ValueError: requests are under way.
        """
        if not self.idle:
            raise ValueError("requests are under way; begin anew when the engine is idle")
        self._preamble = list(preamble)
        self._pools.begin(self._preamble)
        self._drafts = self._drafting(self._likely) if self._config.draft else None

    def submit(self, request: Request) -> int:
        """Queues a request.

        Returns:
          Its ticket, by which `step` reports it.

        Raises:
          Full: too many are waiting.
          ValueError: the model's context or the memory is too small for it.
        """
        if len(self._waiting) >= self._config.depth:
            raise Full(f"{len(self._waiting)} requests wait, as many as may; try again later")
        job = self._job(request)
        self._pools.groups(job.shape)
        self._waiting.append(job)
        return job.ticket

    def cancel(self, ticket: int) -> None:
        """Gives a request up; the next steps report its open rows as cancelled."""
        self._unwanted.add(ticket)

    @property
    def idle(self) -> bool:
        """Whether nothing is left to do."""
        return not (self._waiting or self._reading or any(pool.jobs for pool in self._pools))

    def step(self) -> list[Written]:
        """Reads waiting prompts, writes a few tokens to every row, and reports what is new."""
        written = self._drop()
        for _ in range(self._config.chunks):
            self._admit()
            if not self._reading:
                break
            for shape, reading in list(self._reading.items()):
                if next(reading.chunks, None) is None:
                    del self._reading[shape]
        for pool in self._pools:
            if pool.jobs:
                written += pool.write(self._config.steps, self._drafts)
        return written

    def run(self, requests: Sequence[Request]) -> Iterator[tuple[int, list[Completion]]]:
        """Writes many requests; each comes with its number as soon as all its rows have ended.

        Raises:
          ValueError: a request that can never run; names its number, before any is written.
        """
        left = collections.deque(enumerate(requests))
        running: dict[int, tuple[int, list[Completion | None]]] = {}
        said: dict[tuple[int, int], list[Written]] = collections.defaultdict(list)
        while left or running:
            while left and len(self._waiting) < self._config.depth:
                number, request = left.popleft()
                running[self.submit(request)] = number, [None] * len(request.rows)
            for new in self.step():
                said[new.ticket, new.row].append(new)
                if new.finish is None:
                    continue
                number, rows = running[new.ticket]
                rows[new.row] = _completed(said.pop((new.ticket, new.row)))
                if all(rows):
                    del running[new.ticket]
                    yield number, [row for row in rows if row]

    def _job(self, request: Request) -> Job:
        prefix, rows = list(request.prefix), [list(row) for row in request.rows]
        if not all(rows):
            last = prefix.pop()
            rows = [[last, *row] for row in rows]
        prompt = len(prefix) + max(map(len, rows))
        if prompt + request.limit > self._spec.context:
            raise ValueError(
                f"a prompt of {prompt} tokens and limit={request.limit} go beyond the model's "
                f"context of {self._spec.context}; shorten one of them"
            )
        most = self._spec.vocabulary
        if beyond := [k for k in itertools.chain(prefix, *rows) if not 0 <= k < most]:
            raise ValueError(
                f"token {beyond[0]} is none of the model's {most}; use the tokenizer that belongs "
                "to the model, and nothing of it that the model was not given"
            )
        length = len(self._preamble)
        shared = length > 0 and prefix[:length] == self._preamble
        return Job(
            ticket=next(self._tickets),
            request=request,
            preamble=shared,
            prefix=prefix[length:] if shared else prefix,
            rows=rows,
            chunk=self._config.chunk,
            least=self._config.bucket,
            room=self._config.room,
            spare=self._config.draft,
        )

    def _drop(self) -> list[Written]:
        """Lets go of what nobody wants; of what is being read when that is over."""
        written = []
        for job in [job for job in self._waiting if job.ticket in self._unwanted]:
            self._waiting.remove(job)
            written += job.give_up()
        for pool in self._pools:
            for slot, job in list(pool.jobs.items()):
                if job.ticket in self._unwanted:
                    pool.release(slot)
                    written += job.give_up()
        self._unwanted &= {job.ticket for r in self._reading.values() for job in r.jobs}
        return written

    def _admit(self) -> None:
        """Starts to read what waits and has a place, in the order in which it came."""
        full = set(self._reading)
        for job in list(self._waiting):
            if job.shape in full:
                continue
            full.add(job.shape)
            pool = self._pools.of(job.shape, busy=self._reading)
            if pool is None:
                return  # memory is being freed for this one: nobody overtakes it
            kin = [other for other in self._waiting if _alike(other, job)]
            jobs = dict(zip(pool.free().values(), kin, strict=False))
            for one in jobs.values():
                self._waiting.remove(one)
            if jobs:
                self._reading[job.shape] = _Reading(list(jobs.values()), pool.read(jobs))

    def _drafting(self, likely: Likely | None) -> Drafts:
        """The preamble may say what answers look like, too."""
        ids, fixed = (likely.ids, likely.fixed) if likely else ((), ())
        known = Likely(ids=[*self._preamble, *ids], fixed=[*[False] * len(self._preamble), *fixed])
        return Drafts(self._config.draft, self._config.trust, known)

    @property
    def drafted(self) -> Counts:
        """What drafting has been worth so far."""
        return self._drafts.counts if self._drafts else Counts()


def _alike(one: Job, other: Job) -> bool:
    """Whether two jobs can be read together."""
    return one.shape == other.shape and one.plan == other.plan


def _completed(parts: list[Written]) -> Completion:
    finish = parts[-1].finish
    assert finish is not None  # of a row that has ended
    return Completion(
        tuple(token for part in parts for token in part.tokens),
        tuple(logp for part in parts for logp in part.logps),
        finish,
    )
