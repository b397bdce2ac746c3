"""A pool: rows of one shape that are decoded side by side, and the memory that they stand in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import jax
import numpy as np

from chexjax.engine.drafting import Drafts
from chexjax.engine.job import Job
from chexjax.engine.programs import Place, Programs, Rows, Steps
from chexjax.engine.request import Written
from chexjax.engine.sampling import Draws
from chexjax.engine.shapes import Shape
from chexjax.models import KV, Memory, Prefix

Slot = tuple[int, int]
"""Lane and group."""


class Pool:
    """Memory `[L, G]` and `[L, G, N]`, and what stands in it; see `engine.programs`."""

    def __init__(
        self,
        programs: Programs,
        preamble: Memory | None,
        shape: Shape,
        memory: tuple[KV | None, KV],
        lanes: int,
        groups: int,
    ) -> None:
        """Takes empty memory of prefixes, or None where there is none, and of rows."""
        self._programs, self.preamble, self.shape = programs, preamble, shape
        self._prefixes, self._own = memory
        self.jobs: dict[Slot, Job] = {}
        self._slots = [(lane, group) for group in range(groups) for lane in range(lanes)]
        batch = (lanes, groups, shape.rows)
        self._prefix = np.zeros(batch[:2], np.int32)
        self._length, self._last, self._written = (np.zeros(batch, np.int32) for _ in range(3))
        self._temperature, self._top_p = np.zeros(batch, np.float32), np.ones(batch, np.float32)
        self._top_k, self._keys = np.zeros(batch, np.int32), np.zeros((*batch, 2), np.uint32)
        self._text = np.zeros((*batch, shape.prefix + shape.own), np.int32)

    def free(self) -> dict[int, Slot]:
        """A free slot (lane, group) of each lane that has one."""
        free: dict[int, Slot] = {}
        for slot in self._slots:
            if slot not in self.jobs:
                free.setdefault(slot[0], slot)
        return free

    def read(self, jobs: Mapping[Slot, Job]) -> Iterator[int]:
        """Reads the prompts of jobs of one plan into free slots of different lanes.

        It yields the size of each chunk behind it. With the last the jobs are the pool's.
        """
        plan, at = next(iter(jobs.values())).plan, 0
        for size in plan.prefix:
            self._read_prefix(jobs, at, size)
            at += size
            yield size
        for slot, job in jobs.items():
            self._prefix[slot] = len(job.prefix)
        at = 0
        for size in plan.rows:
            self._read_rows(jobs, at, size)
            at += size
            yield size
        for slot, job in jobs.items():
            self._settle(slot, job)

    def write(self, steps: int, drafts: Drafts | None) -> list[Written]:
        """Writes tokens to all rows and says which; jobs without an open row leave."""
        made = jax.device_get(self.run(steps, drafts))
        written = [
            self._take(job, row, (*slot, row), made, drafts)
            for slot, job in self.jobs.items()
            for row in sorted(job.open)
        ]
        for slot, job in list(self.jobs.items()):
            if not job.open:
                self.release(slot)
        return written

    def run(self, steps: int, drafts: Drafts | None) -> Steps:
        """Lets the devices write to all rows; what they wrote is still theirs alone."""
        draws = Draws(self._temperature, self._top_k, self._top_p, self._keys)  # type: ignore[arg-type]
        rows = Rows(self._prefix, self._length, self._last, self._written, draws)  # type: ignore[arg-type]
        texts = drafts and drafts.texts(self._text, self._count())
        made: Steps
        self._own, made = self._programs.write(
            self.preamble,
            self._prefixes,
            self._own,
            rows,
            texts,
            steps=steps,
            draft=drafts.size if drafts else 0,
            trust=drafts.trust if drafts else 1.0,
        )
        return made

    def _take(
        self, job: Job, row: int, at: tuple[int, int, int], made: Steps, drafts: Drafts | None
    ) -> Written:
        """Adds what steps have written to a row of a job."""
        where = (slice(None), *at)
        count = np.asarray(made.count[where])
        kept = np.arange(made.tokens.shape[-1]) < count[:, None]
        tokens = np.asarray(made.tokens[where][kept])
        new = job.add(row, tokens.tolist(), made.logps[where][kept].tolist())
        self._length[at] += len(tokens)
        self._written[at] += len(tokens)
        self._last[at] = tokens[-1]
        if drafts is not None and made.margins is not None:
            drafts.note(count, np.asarray(made.margins[where][kept]))
            self._remember(at, tokens)
            if new.finish is not None:
                drafts.learn(job.tokens[row])
        return new

    def _count(self) -> np.ndarray:
        """Tokens of each row that are known, the last one included, which is not stored yet."""
        known: np.ndarray = self._prefix[..., None] + self._length + 1
        return known

    def _remember(self, at: tuple[int, int, int], tokens: Sequence[int] | np.ndarray) -> None:
        """Puts the tokens that a row ends with where drafts are looked up."""
        end = int(self._count()[at])
        kept = tokens[: max(0, self._text.shape[-1] - end + len(tokens))]
        self._text[at][end - len(tokens) :][: len(kept)] = kept

    def release(self, slot: Slot) -> None:
        """Frees a slot."""
        del self.jobs[slot]
        self._temperature[slot] = 0  # or all would draw because it did

    def _settle(self, slot: Slot, job: Job) -> None:
        """Gives a slot to a job whose prompt has been read."""
        self.jobs[slot] = job
        sampler, count = job.request.sampler, len(job.rows)
        self._length[slot][:count] = [len(row) - 1 for row in job.rows]
        self._last[slot][:count] = [row[-1] for row in job.rows]
        self._written[slot] = 0
        self._temperature[slot][:count] = sampler.temperature
        self._top_k[slot], self._top_p[slot] = sampler.top_k, sampler.top_p
        seeds = np.asarray(job.request.seeds or [0] * count, np.uint64)
        words = np.stack([seeds >> np.uint64(32), seeds & np.uint64(2**32 - 1)], -1)
        self._keys[slot][:count] = words
        for row, ids in enumerate(job.rows):
            self._remember((*slot, row), [*job.prefix, *ids])

    def _read_prefix(self, jobs: Mapping[Slot, Job], at: int, size: int) -> None:
        tokens = np.zeros((len(self._prefix), size), np.int32)
        for (lane, _), job in jobs.items():
            ids = job.prefix[at : at + size]
            tokens[lane, : len(ids)] = ids
        self._prefixes = self._programs.read_prefix(
            self.preamble, self._prefixes, self._place(jobs, at), self._shown(jobs, tokens)
        )

    def _shown(self, jobs: Mapping[Slot, Job], tokens: np.ndarray) -> Prefix:
        """A chunk of prefixes, with the images that stand in them."""
        valid = np.ones(tokens.shape, bool)
        pictures = {lane: job.request.images for (lane, _), job in jobs.items()}
        some = next(iter(pictures.values()))
        if some is None:
            return Prefix(tokens, valid)  # type: ignore[arg-type]
        images = np.zeros((len(tokens), *some.pixels.shape), np.uint8)
        placeholder = np.zeros(tokens.shape, bool)
        for lane, one in pictures.items():
            assert one is not None  # jobs of one plan all have images, or none has
            images[lane] = one.pixels
            placeholder[lane, : len(one.placeholder)] = one.placeholder
        return Prefix(tokens, valid, images, placeholder)  # type: ignore[arg-type]

    def _read_rows(self, jobs: Mapping[Slot, Job], at: int, size: int) -> None:
        tokens = np.zeros((len(self._prefix), self.shape.rows, size), np.int32)
        for (lane, _), job in jobs.items():
            for row, ids in enumerate(job.rows):
                piece = ids[:-1][at : at + size]
                tokens[lane, row, : len(piece)] = piece
        prefixes = None if self._prefixes is None else (self._prefixes, self._prefix)
        place = self._place(jobs, at)
        self._own = self._programs.read_rows(self.preamble, prefixes, self._own, place, tokens)

    def _place(self, jobs: Mapping[Slot, Job], at: int) -> Place:
        lanes = len(self._prefix)
        group, active = np.zeros(lanes, np.int32), np.zeros(lanes, bool)
        for lane, number in jobs:
            group[lane], active[lane] = number, True
        return Place(group, active, np.full(lanes, at, np.int32))  # type: ignore[arg-type]
