"""Judges by the name that configs use, and the settings of those that have any."""

from __future__ import annotations

import dataclasses
import difflib
import functools
from collections.abc import Callable, Mapping
from typing import Protocol

from chexjax.judges.base import Judge
from chexjax.judges.graph import LEVELS
from chexjax.judges.green import GreenConfig
from chexjax.judges.length import PREFIX, LengthControlled
from chexjax.judges.oracle import PhantomOracle
from chexjax.judges.overlap import Bleu, RougeL
from chexjax.judges.radgraph import RadGraphConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class JudgeSettings:
    """Settings of the judges that have any.

    Attributes:
      green: How GREEN is asked, the judge "green".
      radgraph: RadGraph's model, for "radgraph_partial" and its kin.
    """

    green: GreenConfig = GreenConfig()
    radgraph: RadGraphConfig = RadGraphConfig()


class Settings(Protocol):
    """What every field of `JudgeSettings` offers; a wrong one is a ValueError from either."""

    def files(self) -> Mapping[str, str]:
        """Digests of what is in its files: content of the judge that no field holds."""
        ...


@dataclasses.dataclass(frozen=True)
class Kind:
    """How a judge is made.

    Attributes:
      build: Makes it of the settings that it reads, in their order. It refuses what cannot work,
        and leaves the loading of weights to the first pair that is judged.
      reads: Names of fields of `JudgeSettings`.
    """

    build: Callable[..., Judge]
    reads: tuple[str, ...] = ()


JUDGES: dict[str, Kind] = {
    "oracle": Kind(PhantomOracle),
    "rouge_l": Kind(RougeL),
    "bleu": Kind(Bleu),
    "green": Kind(GreenConfig.build, ("green",)),
    **{
        f"radgraph_{level}": Kind(
            functools.partial(RadGraphConfig.build, level=level), ("radgraph",)
        )
        for level in LEVELS
    },
}
"""All judges by the name that configs use."""


def uncontrolled(name: str) -> str:
    """The name of the judge without what controls it for length."""
    return name.removeprefix(PREFIX)


def build(name: str, settings: JudgeSettings | None = None) -> Judge:
    """The judge that a config names; `lc_` before a name controls the judge for length.

    Args:
      name: One of `JUDGES`.
      settings: Of the judges that have any; their defaults where it is left out.

    Raises:
      ValueError: no such judge; names the nearest one. Or its settings are wrong.
    """
    if name.startswith(PREFIX):
        return LengthControlled(build(uncontrolled(name), settings))
    kind, settings = _kind(name), settings or JudgeSettings()
    return kind.build(*(getattr(settings, field) for field in kind.reads))


def files(name: str, settings: JudgeSettings) -> dict[str, str]:
    """Digests of what is in the files of a judge, its weights above all, by `setting.file`.

    Raises:
      ValueError: no such judge, or a file cannot be read.
    """
    return {
        f"{field}.{file}": digest
        for field in _kind(uncontrolled(name)).reads
        for file, digest in getattr(settings, field).files().items()
    }


def _kind(name: str) -> Kind:
    if name not in JUDGES:
        near = difflib.get_close_matches(name, JUDGES, n=1, cutoff=0.0)[0]
        raise ValueError(f"no judge {name!r}; did you mean {near!r}? All: {sorted(JUDGES)}")
    return JUDGES[name]
