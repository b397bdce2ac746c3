"""What is asked of the engine, and what it gives back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from chexjax.engine.sampling import Sampler

Finish = Literal["stop", "length", "cancelled"]
"""Why a row ended: an end token or its own `stop`, its limit, or nobody wanted it any more."""

Stop = Callable[[Sequence[int]], int | None]
"""Given the tokens of a row so far, how many of them are kept if it is to end; None to go on."""


class Full(RuntimeError):
    """The queue has no room; try again when something has finished."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Images:
    """Pictures in a prompt.

    Attributes:
      pixels: `u8[I, S, S, C]`; a black one is an empty slot.
      placeholder: Which ids of the prefix visual tokens stand for, `bool[P]`.
    """

    pixels: np.ndarray
    placeholder: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """Texts to continue that begin alike: what they share is computed and stored once.

    Attributes:
      prefix: Ids that all rows share. They may begin with the engine's preamble.
      rows: Ids of each of N rows behind the prefix; empty ones draw N times from one prompt.
      limit: Most tokens that are written to a row.
      sampler: How tokens are drawn.
      seeds: For each row a number below 2^64 that its random bits depend on; unused when greedy.
      end: Ids that end a row; they are kept.
      stop: Ends a row as well, looked at whenever tokens come back from the device.
      images: Pictures that the prefix shows.
    """

    prefix: Sequence[int]
    rows: Sequence[Sequence[int]] = ((),)
    limit: int
    sampler: Sampler = Sampler(temperature=0.0)
    seeds: Sequence[int] = ()
    end: Sequence[int] = ()
    stop: Stop | None = None
    images: Images | None = None

    def __post_init__(self) -> None:
        """Checks what can be without a model.

        Raises:
          ValueError: nothing is to be continued or written, or seeds are missing.
        """
        if not self.rows:
            raise ValueError("rows=(): a request continues at least one row")
        if not self.prefix and not all(self.rows):
            raise ValueError("a row without tokens has nothing to continue; give it a first one")
        if self.limit < 1:
            raise ValueError(f"limit={self.limit} must be at least 1 token")
        if self.sampler.temperature and len(self.seeds) != len(self.rows):
            raise ValueError(f"{len(self.rows)} rows are drawn, with {len(self.seeds)} seeds")


@dataclasses.dataclass(frozen=True)
class Written:
    """What a step has added to a row.

    Attributes:
      ticket: The request's.
      row: Its number in the request.
      tokens: The new ones.
      logps: Their log-probabilities under the untempered model.
      finish: Why the row has ended; None if it goes on.
    """

    ticket: int
    row: int
    tokens: tuple[int, ...]
    logps: tuple[float, ...]
    finish: Finish | None


@dataclasses.dataclass(frozen=True)
class Completion:
    """All that was written to a row.

    Attributes:
      tokens: Up to and with the end token.
      logps: Their log-probabilities under the untempered model.
      finish: Why it ended.
    """

    tokens: tuple[int, ...]
    logps: tuple[float, ...]
    finish: Finish
