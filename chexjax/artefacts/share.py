"""A share of the work: several processes fill one folder, which the first one opens and seals."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

from chexjax import preemption
from chexjax.artefacts import staged

_SECONDS_BETWEEN_LOOKS = 0.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Share:
    """Which of several processes this is; all run the same command on the same workdir.

    Of what is made in work units process k of n makes the units k, k + n, k + 2 n, ... The rows of
    a unit depend on its number alone, so n may change from one attempt to the next. Processes need
    not know each other: all that they see of each other are the files in the workdir.

    Attributes:
      index: Of this process, from 0.
      of: How many there are.
    """

    index: int = 0
    of: int = 1

    def __post_init__(self) -> None:
        """Checks the range."""
        if not 0 <= self.index < self.of:
            raise ValueError(f"index={self.index} of={self.of}: index must be from 0 to of - 1")

    @property
    def first(self) -> bool:
        """Whether this process opens and seals folders."""
        return self.index == 0

    def units(self, count: int) -> range:
        """The units that this process makes, of `count`."""
        return range(self.index, count, self.of)

    def wait(self, done: Callable[[], bool], what: str, *, folder: Path | None = None) -> None:
        """Comes back as soon as something is `done` in a folder; says once what it waits for."""
        if done():
            return
        print(f"process {self.index} (of 0 to {self.of - 1}) is waiting for {what}", flush=True)
        while not done():
            preemption.check(f"waiting for {what}")
            time.sleep(_SECONDS_BETWEEN_LOOKS)
            if folder is not None:
                staged.fetch(folder, again=True)


ALONE = Share()
