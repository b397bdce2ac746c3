"""Sources of studies by name."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from chexjax.config import local
from chexjax.data.image_files import ImageRules
from chexjax.data.phantom.source import PhantomConfig, PhantomSource
from chexjax.data.sources.chexpert_plus import ChexpertPlusConfig, ChexpertPlusSource
from chexjax.data.sources.mimic import MimicConfig, MimicSource
from chexjax.data.sources.openi import OpenIConfig, OpenISource
from chexjax.data.sources.tabular import TableConfig, TableSource
from chexjax.data.study import Study
from chexjax.data.text import TextRules
from chexjax.data.views import ViewRules


class Source(Protocol):
    """A sequence of studies that can be read in any order.

    What it holds in memory are names: studies are read when they are asked for, in whichever
    process asks.
    """

    def __len__(self) -> int:
        """Number of studies."""
        ...

    def id(self, index: int) -> str:
        """Name of a study, known without reading it."""
        ...

    def __getitem__(self, index: int) -> Study:
        """One study; always the same for the same index.

        Raises:
          UnusableStudy: what is there cannot be used.
        """
        ...

    def fingerprint(self) -> str:
        """Digest of what it reads, wherever that lies; empty where the config says it all."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class SourceConfig:
    """Where studies come from.

    Attributes:
      name: Name of a source in `SOURCES`.
      path: Folder or file of the source. What it holds, not where it lies, decides the content of
        the studies.
      phantom: Fields of the phantom source.
      openi: Fields of the Open-I source.
      mimic_cxr: Fields of the MIMIC-CXR source.
      chexpert_plus: Fields of the CheXpert Plus source.
      table: Fields of the source that reads tables and folders.
      text: What is done to the text of real reports; phantoms' stay as they are.
      views: Which images are used.
      image: What becomes of image files.
      unit: Studies ingested in one unit of work; as many are in memory, with their images.
    """

    name: str = "phantom"
    path: str = local("")
    phantom: PhantomConfig = PhantomConfig()
    openi: OpenIConfig = OpenIConfig()
    mimic_cxr: MimicConfig = MimicConfig()
    chexpert_plus: ChexpertPlusConfig = ChexpertPlusConfig()
    table: TableConfig = TableConfig()
    text: TextRules = TextRules()
    views: ViewRules = ViewRules()
    image: ImageRules = ImageRules()
    unit: int = 256


def _place(config: SourceConfig) -> Path:
    """Where a source lies.

    Raises:
      ValueError: no path is given, or there is nothing.
    """
    if not config.path:
        raise ValueError(f"source.path is empty: say where the source {config.name!r} lies")
    if not Path(config.path).exists():
        raise ValueError(f"source.path={config.path}: there is no such file or folder")
    return Path(config.path)


SOURCES: dict[str, Callable[[SourceConfig], Source]] = {
    "phantom": lambda config: PhantomSource(config.phantom),
    "openi": lambda config: OpenISource(_place(config), config.openi, config.text, config.views),
    "mimic_cxr": lambda config: MimicSource(
        _place(config), config.mimic_cxr, config.text, config.views
    ),
    "chexpert_plus": lambda config: ChexpertPlusSource(
        _place(config), config.chexpert_plus, config.text, config.views
    ),
    "table": lambda config: TableSource(_place(config), config.table, config.text, config.views),
}
"""All sources by the name that configs use."""


def open_source(config: SourceConfig) -> Source:
    """The source that a config names.

    Raises:
      ValueError: no such source (names the nearest one), or there is nothing at its path that it
        could read.
    """
    if config.name not in SOURCES:
        near = difflib.get_close_matches(config.name, SOURCES, n=1, cutoff=0.0)[0]
        raise ValueError(
            f"no source {config.name!r}; did you mean {near!r}? All: {sorted(SOURCES)}"
        )
    return SOURCES[config.name](config)
