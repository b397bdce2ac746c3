"""Sources of studies by name."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable
from typing import Protocol

from chexjax.data.phantom import PhantomConfig, PhantomSource
from chexjax.data.study import Study


class Source(Protocol):
    """A sequence of studies that can be read in any order."""

    def __len__(self) -> int:
        """Number of studies."""
        ...

    def __getitem__(self, index: int) -> Study:
        """One study; always the same for the same index."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class SourceConfig:
    """Where studies come from.

    Attributes:
      name: Name of a source in `SOURCES`.
      phantom: Fields of the phantom source.
      unit: Studies ingested in one unit of work.
    """

    name: str = "phantom"
    phantom: PhantomConfig = PhantomConfig()
    unit: int = 256


SOURCES: dict[str, Callable[[SourceConfig], Source]] = {
    "phantom": lambda config: PhantomSource(config.phantom),
}
"""All sources by the name that configs use."""


def open_source(config: SourceConfig) -> Source:
    """The source that a config names.

    Raises:
      ValueError: no such source; names the nearest one.
    """
    if config.name not in SOURCES:
        near = difflib.get_close_matches(config.name, SOURCES, n=1, cutoff=0.0)[0]
        raise ValueError(
            f"no source {config.name!r}; did you mean {near!r}? All: {sorted(SOURCES)}"
        )
    return SOURCES[config.name](config)
