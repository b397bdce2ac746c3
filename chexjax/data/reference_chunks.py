"""Scores that CheXalign's code has not gathered yet: a data set for each candidate and some rows.

Their folders are called `BASE-green-K-chunk_FIRST_END`: the rows of candidates from FIRST to before
END, with the scores of the K-th candidate beside them.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from chexjax.data.arrow import Arrow, is_dataset
from chexjax.data.study import UnusableStudy

_NAME = re.compile(r"(?P<base>.+)-(?P<candidate>\d+)-chunk_(?P<first>\d+)_\d+")


def is_chunked(folder: Path) -> bool:
    """Whether such folders lie in it."""
    return folder.is_dir() and next(_named(folder), None) is not None


def _named(folder: Path) -> Iterator[tuple[Path, re.Match[str]]]:
    for part in folder.iterdir():
        if (name := _NAME.fullmatch(part.name)) and is_dataset(part):
            yield part, name


class Chunks:
    """Rows of candidates with what scores there are of them."""

    def __init__(self, folder: Path) -> None:
        """Maps the files.

        Raises:
          ValueError: chunks of several data sets or judges lie there, or one cannot be read.
        """
        named = list(_named(folder))
        if len(bases := sorted({name["base"] for _, name in named})) > 1:
            raise ValueError(
                f"{folder} holds chunks of {', '.join(bases)}; give a folder with those of one"
            )
        parts = sorted((int(n["candidate"]), int(n["first"]), part) for part, n in named)
        self._chunks: dict[int, list[tuple[int, Arrow]]] = {}
        for candidate, first, part in parts:
            self._chunks.setdefault(candidate, []).append((first, Arrow(part, ())))
        ends = [first + len(table.ids) for first, table in self._all()]
        self.ids = [""] * max(ends)
        self.columns = list(dict.fromkeys(n for _, table in self._all() for n in table.columns))

    def _all(self) -> Iterator[tuple[int, Arrow]]:
        for chunks in self._chunks.values():
            yield from chunks

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        """One row, with the scores of all candidates whose chunk is there.

        Raises:
          UnusableStudy: no chunk has it, or they do not have the same candidates in it.
        """
        row: dict[str, Any] = {}
        for chunks in self._chunks.values():
            for name, value in _cells(chunks, index).items():
                if row.setdefault(name, value) != value:
                    raise UnusableStudy(f"its chunks differ in a column: {name}")
        if not row:
            raise UnusableStudy("it is in no chunk")
        return row

    def files(self) -> list[Path]:
        """The Arrow files, candidate by candidate."""
        return [file for _, table in self._all() for file in table.files()]


def _cells(chunks: list[tuple[int, Arrow]], index: int) -> Mapping[str, Any]:
    """The row of one candidate's chunks, empty where they have none."""
    place = bisect.bisect_right(chunks, index, key=lambda chunk: chunk[0]) - 1
    if place < 0:
        return {}
    first, table = chunks[place]
    return table[index - first] if index - first < len(table.ids) else {}
