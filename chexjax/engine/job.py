"""A request on its way through the engine."""

from __future__ import annotations

import dataclasses

from chexjax.engine.request import Finish, Request, Written
from chexjax.engine.shapes import Plan, Shape, bucket, pieces


@dataclasses.dataclass(kw_only=True)
class Job:
    """A request on its way.

    Attributes:
      ticket: Its number.
      request: What is asked.
      preamble: Whether it begins with the engine's preamble.
      prefix: Ids that its rows share, behind the preamble.
      rows: Ids of each row, at least one.
      chunk: Tokens of a prompt that are read at once.
      least: Its lengths are rounded up to a multiple of it.
      room: Memory of its prompt is, too.
      spare: Columns that a step may write behind the last token.
      tokens: What has been written to each row.
      logps: With these log-probabilities.
      open: Rows that go on.
      plan: How its prompt is read.
      shape: Of the pool that it stands in.
    """

    ticket: int
    request: Request
    preamble: bool
    prefix: list[int]
    rows: list[list[int]]
    chunk: int
    least: int
    room: int
    spare: int

    def __post_init__(self) -> None:
        """Nothing is written yet."""
        count = len(self.rows)
        self.tokens: list[list[int]] = [[] for _ in range(count)]
        self.logps: list[list[float]] = [[] for _ in range(count)]
        self.open = set(range(count))
        self.plan = self._planned()
        longest = max(map(len, self.rows)) - 1 + self.request.limit + self.spare
        self.shape = Shape(
            rows=4 ** (((count - 1).bit_length() + 1) // 2),  # few programs for all numbers
            prefix=bucket(sum(self.plan.prefix), self.room),
            own=bucket(max(longest, sum(self.plan.rows)), self.least),
            preamble=self.preamble,
        )

    def _planned(self) -> Plan:
        images, length = self.request.images, len(self.prefix)
        return Plan(
            prefix=pieces(length, self.chunk, self.least)
            if images is None
            else (bucket(length, self.least),),
            rows=pieces(max(map(len, self.rows)) - 1, self.chunk, self.least),
            images=None if images is None else images.pixels.shape,
        )

    def add(self, row: int, tokens: list[int], logps: list[float]) -> Written:
        """Adds to an open row what belongs to it, and says so; the rest is thrown away."""
        request, said = self.request, self.tokens[row]
        before = len(said)
        finish: Finish | None = None
        for token, logp in zip(tokens[: request.limit - before], logps, strict=False):
            said.append(token)
            self.logps[row].append(logp)
            if token in request.end:
                finish = "stop"
                break
        kept = None if request.stop is None else request.stop(said)
        if kept is not None:
            kept = max(kept, before)  # what has been handed out stays
            del said[kept:], self.logps[row][kept:]
            finish = "stop"
        if finish is None and len(said) == request.limit:
            finish = "length"
        if finish is not None:
            self.open.discard(row)
        return Written(
            self.ticket, row, tuple(said[before:]), tuple(self.logps[row][before:]), finish
        )

    def give_up(self) -> list[Written]:
        """Closes what is open, and says so."""
        rows, self.open = sorted(self.open), set()
        return [Written(self.ticket, row, (), (), "cancelled") for row in rows]
