"""Rows of a table of any kind: which column holds what, and the images that a row names."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from chexjax.config import nearest
from chexjax.data.arrow import Arrow, is_dataset, is_snapshot
from chexjax.data.fingerprint import fingerprint
from chexjax.data.sources.beside import Beside
from chexjax.data.sources.tables import Table, is_table, read_table
from chexjax.data.study import UnusableStudy, quoted
from chexjax.data.views import UNKNOWN, Picture, view_name

_MANIFESTS = ("manifest", "metadata", "studies", "reports", "data")


class Columns(Protocol):
    """What a config says of a table's columns beside the name of each; see `TableConfig`."""

    @property
    def id(self) -> str:
        """Column of the ids; empty for a usual one."""
        ...

    @property
    def image_folder(self) -> str:
        """What paths of images are relative to; empty for the table's folder."""
        ...


class TableRows:
    """The rows of a table in their order, by what its columns hold."""

    def __init__(
        self,
        path: Path,
        config: Columns,
        usual: Mapping[str, Sequence[str]],
        *,
        path_field: str,
        field: str,
    ) -> None:
        """Finds the table, its rows and its columns.

        Args:
          path: The table, or a folder with one.
          config: Has a field for each of `usual`.
          usual: What a column holds -> the names that are tried for it where the config has none.
          path_field: What a message calls the path.
          field: What a message calls the config.

        Raises:
          ValueError: there is no table, it cannot be read, or it lacks a column.
        """
        self.table, folder = _open(path, (config.id,) if config.id else usual["id"], path_field)
        self._folder = Path(config.image_folder or folder)
        self._path, self._path_field, self._field = path, path_field, field
        self.columns = self._named(config, usual)

    def _named(self, config: Columns, usual: Mapping[str, Sequence[str]]) -> dict[str, str]:
        """What a column holds -> its name, empty where there is none."""
        found, there = {}, self.table.columns
        for kind, names in usual.items():
            named = getattr(config, kind)
            if named and named not in there:
                raise ValueError(
                    f"{self._field}.{kind}={named}: no such column in {self._path}"
                    f"{nearest(named, there)}"
                )
            found[kind] = named or next((name for name in names if name in there), "")
        return found

    def require(self, kinds: Sequence[str], lack: str) -> None:
        """Raises ValueError, saying what is lacking, where none of some columns is there."""
        if not any(self.columns[kind] for kind in kinds):
            fields = " or ".join(f"{self._field}.{kind}" for kind in kinds)
            raise ValueError(
                f"{self._path_field}={self._path}: {lack}; name the column as {fields}; there are "
                f"{', '.join(map(quoted, self.table.columns))}"
            )

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.table.ids)

    def id(self, index: int) -> str:
        """What the row says, or its number."""
        return self.table.ids[index] or f"row-{index:06d}"

    def fingerprint(self, *, images: bool, beside: Sequence[Path] = ()) -> str:
        """Of the table and others beside it whole, and where asked for of its images by size."""
        sizes: dict[str, int] = {}
        column = self.columns["image"]
        # Pictures within the table are hashed with it, and would all be read for nothing here.
        within = isinstance(self.table, Arrow) and bool(column) and self.table.embeds(column)
        if images and column and not within:
            for index in range(len(self)):
                sizes |= self._sizes(index)
        return fingerprint([*self.table.files(), *beside], sizes.items())

    def _sizes(self, index: int) -> dict[str, int]:
        """Of the files that a row names, -1 for one that is not there."""
        try:
            named = self._contents(self.table[index])
        except UnusableStudy:
            return {}
        files = {name: content for name, content in named if isinstance(content, Path)}
        return {n: f.stat().st_size if os.path.isfile(f) else -1 for n, f in files.items()}

    def string(self, cells: Mapping[str, Any], kind: str) -> str:
        """A cell as text; empty where there is no such column."""
        return text_of(cells.get(self.columns[kind])) if self.columns[kind] else ""

    def pictures(self, cells: Mapping[str, Any]) -> list[Picture]:
        """The images that a row names, with their views.

        Raises:
          UnusableStudy: it does not name as many views as images.
        """
        if not self.columns["image"]:
            return []
        named = self._contents(cells)
        column = self.columns.get("view")
        views = _listed(cells.get(column)) if column else []
        if views and len(views) != len(named):
            raise UnusableStudy(f"images and views differ in number: {len(named)} and {len(views)}")
        views = [view_name(str(view)) for view in views] or [UNKNOWN] * len(named)
        # Of a name that is too long for the file system `Path.is_file` makes an error.
        return [
            Picture(name, view, None if isinstance(c, Path) and not os.path.isfile(c) else c)
            for (name, c), view in zip(named, views, strict=True)
        ]

    def _contents(self, cells: Mapping[str, Any]) -> list[tuple[str, Path | bytes]]:
        """(name, file or bytes) of each image that a row names."""
        found: list[tuple[str, Path | bytes]] = []
        for place, image in enumerate(_listed(cells.get(self.columns["image"]))):
            if isinstance(image, Mapping):  # an image feature of `datasets`
                image = image.get("bytes") or image.get("path") or ""
            if isinstance(image, bytes):
                found.append((str(place), image))
            elif image:
                found.append((str(image), self._folder / str(image)))
        return found


def _open(path: Path, ids: Sequence[str], field: str) -> tuple[Table, Path]:
    """The table at a path, and what the paths in it are relative to."""
    if path.is_file() and not is_snapshot(path):
        return read_table(path, ids, field), path.parent
    if path.is_file():
        return Arrow(path, ids), path.parent
    if is_dataset(path):
        return Arrow(path, ids), path
    tables = sorted(file for file in path.iterdir() if file.is_file() and is_table(file))
    known = [file for file in tables if file.name.split(".")[0] in _MANIFESTS]
    if len(chosen := known or tables) > 1:
        names = ", ".join(file.name for file in chosen)
        raise ValueError(f"{field}={path}: several tables ({names}); give the path of one")
    if not chosen and is_snapshot(path):
        return Arrow(path, ids), path
    return (read_table(chosen[0], ids, field) if chosen else Beside(path)), path


def _listed(value: Any) -> list[Any]:
    """A cell's values: a list's, or those between `;` and `|`."""
    if isinstance(value, str):
        return [part.strip() for part in re.split(r"[;|]", value) if part.strip()]
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return list(value)
    return [] if value is None or value != value else [value]  # not a number: pandas' empty cell


def text_of(value: Any) -> str:
    """A cell as text; of a list, sentences."""
    if isinstance(value, list | tuple):
        parts = [str(part).strip() for part in value if str(part).strip()]
        return " ".join(part if part.endswith(".") else f"{part}." for part in parts)
    if isinstance(value, float):  # pandas' whole numbers and its empty cells
        return "" if math.isnan(value) else str(int(value) if value.is_integer() else value)
    return "" if value is None else str(value).strip()
