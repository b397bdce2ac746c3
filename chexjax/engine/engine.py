"""Continuous batching: requests come and go while others are being written."""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from chexjax.config import local
from chexjax.engine.drafting import Counts, Drafts, Likely
from chexjax.engine.job import Job
from chexjax.engine.pool import Pool
from chexjax.engine.programs import Programs, make_room
from chexjax.engine.request import Completion, Full, Request, Written
from chexjax.engine.shapes import Shape
from chexjax.models import KV, LanguageModel, Memory


@dataclasses.dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """How requests are batched.

    Attributes:
      slots: Rows that are decoded together, in each shape.
      lanes: Prompts that are read together; a multiple of what the mesh splits rows into.
      steps: Tokens of a row between two looks of the host.
      chunk: Tokens of a prompt that are read at once.
      bucket: Lengths are rounded up to a multiple of it, at least: the larger, the fewer programs
        are compiled, and the more is computed for nothing.
      chunks: Chunks that are read before rows are written to again; few for an even flow of tokens,
        many for the most of them.
      memory: Bytes for keys and values; None for what requests need, and a little more.
      depth: Requests that may wait.
      kv: Keys and values in the model's compute dtype, or as int8.
      draft: Tokens that are drafted for each step, and kept where the model would have written
        them; 0 for none. What pays depends on how repetitive texts are, and on how many rows it
        takes to keep the machine busy.
      trust: A drafted token that is known to stand in every answer is written unless the model
        gives it less than this probability; 1 for none that it would not have written.
    """

    slots: int = local(32)
    lanes: int = local(1)
    steps: int = local(8)
    chunk: int = local(256)
    bucket: int = local(16)
    chunks: int = local(64)
    memory: int | None = local(None)
    depth: int = local(1024)
    kv: Literal["compute", "int8"] = "compute"
    draft: int = 0
    trust: float = 1.0

    def __post_init__(self) -> None:
        """Checks ranges."""
        for name in ("slots", "lanes", "steps", "bucket", "chunks", "depth"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be 1 or more")
        if self.chunk < 1 or self.chunk % self.bucket:
            raise ValueError(f"chunk={self.chunk} must be a multiple of bucket={self.bucket}")
        if self.draft < 0:
            raise ValueError(f"draft={self.draft} must be 0 (off) or more")
        if not 0 < self.trust <= 1:
            raise ValueError(f"trust={self.trust} must be above 0 and at most 1")
        if self.kv not in ("compute", "int8"):
            raise ValueError(f"kv={self.kv!r} must be 'compute' or 'int8'")


_IDLE = 4
"""Pools that are kept for requests of their shape to come again, where memory has no limit."""


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

        Raises:
          ValueError: the mesh in context cannot be split by lanes.
        """
        mesh = jax.sharding.get_abstract_mesh()
        ways = 1 if mesh.empty else mesh.shape["data"] * mesh.shape["fsdp"]
        if config.lanes % ways:
            raise ValueError(
                f"lanes={config.lanes} must be a multiple of {ways}, which the mesh "
                "splits rows into"
            )
        self._spec, self._config = model.decoder.spec, config
        self._dtype = jnp.int8 if config.kv == "int8" else model.dtype
        self._programs = Programs(model.unrolled())
        self._likely = likely
        self._tickets = itertools.count()
        self._waiting: collections.deque[Job] = collections.deque()
        self._reading: dict[Shape, _Reading] = {}
        self._pools: dict[Shape, Pool] = {}
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
        self._stored = self._read(self._preamble) if preamble else None
        for shape, pool in self._pools.items():
            pool.preamble = self._stored if shape.preamble else None
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
        self._groups(job.shape)
        self._waiting.append(job)
        return job.ticket

    def cancel(self, ticket: int) -> None:
        """Gives a request up; the next steps report its open rows as cancelled."""
        self._unwanted.add(ticket)

    @property
    def idle(self) -> bool:
        """Whether nothing is left to do."""
        return not (self._waiting or self._reading or any(p.jobs for p in self._pools.values()))

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
        for pool in self._pools.values():
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
            spare=self._config.draft,
        )

    def _drop(self) -> list[Written]:
        """Lets go of what nobody wants; of what is being read when that is over."""
        written = []
        for job in [job for job in self._waiting if job.ticket in self._unwanted]:
            self._waiting.remove(job)
            written += job.give_up()
        for pool in self._pools.values():
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
            pool = self._pool(job.shape)
            if pool is None:
                return  # memory is being freed for this one: nobody overtakes it
            kin = [other for other in self._waiting if _alike(other, job)]
            jobs = dict(zip(pool.free().values(), kin, strict=False))
            for one in jobs.values():
                self._waiting.remove(one)
            if jobs:
                self._reading[job.shape] = _Reading(list(jobs.values()), pool.read(jobs))

    def _pool(self, shape: Shape) -> Pool | None:
        """The pool of a shape; None while others use the memory that it needs."""
        if shape not in self._pools:
            groups = self._groups(shape)
            if not self._free(groups * self._bytes(shape)):
                return None
            lanes = self._config.lanes
            prefix = self._room((lanes, groups), shape.prefix) if shape.prefix else None
            own = self._room((lanes, groups, shape.rows), shape.own)
            preamble = self._stored if shape.preamble else None
            self._pools[shape] = Pool(self._programs, preamble, shape, (prefix, own), lanes, groups)
        self._pools[shape] = self._pools.pop(shape)  # the last one used stands last
        return self._pools[shape]

    def _free(self, wanted: int) -> bool:
        """Makes room for so many bytes by letting go of pools that nobody uses, oldest first."""
        limit = self._config.memory
        idle = [
            shape
            for shape, pool in self._pools.items()
            if not pool.jobs and shape not in self._reading
        ]
        while idle and (len(idle) > _IDLE if limit is None else self._used() + wanted > limit):
            del self._pools[idle.pop(0)]
        return limit is None or self._used() + wanted <= limit

    def _used(self) -> int:
        pools = sum(self._groups(shape) * self._bytes(shape) for shape in self._pools)
        return pools + len(self._preamble) * self._token_bytes

    def _groups(self, shape: Shape) -> int:
        """Groups of a lane, by the whole memory and not by what is left of it.

        Raises:
          ValueError: there is no room for one.
        """
        lanes, limit = self._config.lanes, self._config.memory
        groups = max(1, self._config.slots // (lanes * shape.rows))
        if limit is None:
            return groups
        left = limit - len(self._preamble) * self._token_bytes
        if left < self._bytes(shape):
            raise ValueError(
                f"memory={limit} bytes hold no request of {shape.rows} rows of {shape.own} tokens "
                f"behind {shape.prefix}, which takes {self._bytes(shape)}; raise it, shorten the "
                "request, or store keys and values with kv='int8'"
            )
        return min(groups, left // self._bytes(shape))

    def _bytes(self, shape: Shape) -> int:
        """Of one group in every lane."""
        tokens = shape.prefix + shape.rows * shape.own
        return self._config.lanes * tokens * self._token_bytes

    @property
    def _token_bytes(self) -> int:
        """Of a token's keys and values in all layers, and of an int8 one's steps."""
        block, whole = self._spec.block, self._dtype == jnp.int8
        one = block.kv * jnp.dtype(self._dtype).itemsize + 4 * (block.kv // block.head) * whole
        return int(2 * self._spec.layers * one)

    def _drafting(self, likely: Likely | None) -> Drafts:
        """The preamble may say what answers look like, too."""
        ids, fixed = (likely.ids, likely.fixed) if likely else ((), ())
        known = Likely(ids=[*self._preamble, *ids], fixed=[*[False] * len(self._preamble), *fixed])
        return Drafts(self._config.draft, self._config.trust, known)

    @property
    def drafted(self) -> Counts:
        """What drafting has been worth so far."""
        return self._drafts.counts if self._drafts else Counts()

    def _read(self, preamble: list[int]) -> Memory:
        kv = self._room((), len(preamble))
        memory = Memory(kv, jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))
        for first in range(0, len(preamble), self._config.chunk):
            piece = preamble[first : first + self._config.chunk]
            memory = self._programs.read_preamble(memory, np.asarray(piece, np.int32))
        return memory

    def _room(self, batch: tuple[int, ...], room: int) -> KV:
        return make_room(self._spec.block, self._spec.layers, batch, room, self._dtype)


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
