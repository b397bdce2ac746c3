"""Rows of JSON lines and CSV files, found once and read one at a time.

What is held of a row is its id and where in the file it begins. A compressed file is read from its
start up to the row, so rows in order cost one pass.
"""

from __future__ import annotations

import csv
import gzip
import itertools
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

from chexjax.data.study import UnusableStudy, quoted
from chexjax.data.text import UTF_16, decode

JSON_LINES = (".jsonl", ".ndjson")
SEPARATORS = {".csv": ",", ".tsv": "\t"}
_WORKBOOKS = (".xlsx", ".xls")

csv.field_size_limit(1 << 24)  # the library's is 128 KiB, and a report may be longer


class Table(Protocol):
    """Rows with named columns."""

    @property
    def columns(self) -> Sequence[str]:
        """Names of the columns."""
        ...

    @property
    def ids(self) -> Sequence[str]:
        """Of each row, what stands in the first of the columns that may hold an id; else empty."""
        ...

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        """One row.

        Raises:
          UnusableStudy: it cannot be read.
        """
        ...

    def files(self) -> list[Path]:
        """The files that it is read from."""
        ...


class _File:
    """A file whose rows begin at known places; it may be compressed by gzip."""

    def __init__(self, path: Path) -> None:
        self._path, self._file = path, open_bytes(path)
        self._starts: list[int] = []
        self.ids: list[str] = []

    def files(self) -> list[Path]:
        """The file."""
        return [self._path]


class JsonLines(_File):
    """A file with a JSON object a line; its columns are all keys of all lines."""

    def __init__(self, path: Path, ids: Sequence[str]) -> None:
        """Reads the file once.

        Args:
          path: The file.
          ids: Names that the column of ids may have.

        Raises:
          ValueError: it is UTF-16, or damaged.
        """
        super().__init__(path)
        columns: dict[str, None] = {}
        for start, line in lines(self._path, self._file):
            if line.strip():
                cells = _object(line) or {}
                self._starts.append(start)
                self.ids.append(_id(cells, ids))
                columns |= dict.fromkeys(cells)
        self.columns = list(columns)

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        """The object of a line."""
        self._file.seek(self._starts[index])
        return _parsed(self._file.readline())

    def column(self, name: str) -> Iterator[Any]:
        """The cells of one column in one pass, None where a line has none.

        Raises:
          UnusableStudy: a line cannot be read.
        """
        self._file.seek(0)
        for _, line in lines(self._path, self._file):
            if line.strip():
                yield _parsed(line).get(name)


class Csv(_File):
    """A file of comma- or tab-separated values whose first row names the columns."""

    def __init__(self, path: Path, ids: Sequence[str]) -> None:
        """Reads the file once.

        Args:
          path: The file.
          ids: Names that the column of ids may have.

        Raises:
          ValueError: it is UTF-16 or damaged, or a name stands over two columns.
        """
        super().__init__(path)
        self._separator = SEPARATORS.get(_suffix(path), ",")
        records = self._records()
        self.columns = [name.strip() for name in next(records, (0, []))[1]]
        if twice := [name for name in self.columns if name and self.columns.count(name) > 1]:
            raise ValueError(
                f"{path}: two columns are called {quoted(twice[0])}; rename one of them"
            )
        for start, fields in records:
            self._starts.append(start)
            self.ids.append(_id(dict(zip(self.columns, fields, strict=False)), ids))

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """Where a row begins, which may go on over several lines, and its fields."""
        position = 0

        def texts() -> Iterator[str]:
            nonlocal position
            for start, line in lines(self._path, self._file):
                position = start + len(line)
                yield decode(line)

        begin = 0
        try:
            for fields in csv.reader(texts(), delimiter=self._separator):
                if fields:
                    yield begin, fields
                begin = position
        except (csv.Error, UnusableStudy) as error:
            raise ValueError(f"{self._path}, byte {begin}: {error}") from error

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        """The fields of a row by column."""
        self._file.seek(self._starts[index])
        fields = next(csv.reader(map(decode, self._file), delimiter=self._separator))
        return dict(zip(self.columns, self._whole(fields), strict=True))

    def column(self, name: str) -> Iterator[Any]:
        """The cells of one column in one pass.

        Raises:
          UnusableStudy: a row has too few fields, or too many.
        """
        self._file.seek(0)
        place = self.columns.index(name)
        for _, fields in itertools.islice(self._records(), 1, None):
            yield self._whole(fields)[place]

    def _whole(self, fields: list[str]) -> list[str]:
        if len(fields) != len(self.columns):
            raise UnusableStudy(
                f"its row has not as many fields as the table columns: {len(fields)} of "
                f"{len(self.columns)}"
            )
        return fields


def is_table(path: Path) -> bool:
    """Whether a file's name is that of a table, compressed or not."""
    return _suffix(path) in (*JSON_LINES, *SEPARATORS)


def read_table(path: Path, ids: Sequence[str], field: str = "source.path") -> JsonLines | Csv:
    """The table of a file, by the ending of its name.

    Args:
      path: The file.
      ids: Names that the column of ids may have.
      field: What a message calls the path.

    Raises:
      ValueError: it is of another kind, or cannot be read.
    """
    if not is_table(path):
        known = ", ".join((*JSON_LINES, *SEPARATORS))
        remedy = "; save the workbook's sheet as CSV" if _suffix(path) in _WORKBOOKS else ""
        raise ValueError(f"{field}={path}: no table; its name must end in {known}, or .gz{remedy}")
    return JsonLines(path, ids) if _suffix(path) in JSON_LINES else Csv(path, ids)


def _suffix(path: Path) -> str:
    return Path(path.name.lower().removesuffix(".gz")).suffix


def open_bytes(path: Path) -> BinaryIO:
    """A file that may be compressed by gzip."""
    return cast(BinaryIO, gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb"))


def lines(path: Path, file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Each line of a file and where it begins.

    Raises:
      ValueError: it is UTF-16, or damaged.
    """
    start = 0
    try:
        for line in file:
            if not start and line.startswith(UTF_16):
                raise ValueError(f"{path} is UTF-16: save it as UTF-8")
            yield start, line
            start += len(line)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        cells = json.loads(decode(line))
    except (ValueError, RecursionError):  # the latter of thousands of brackets
        return None
    return cells if isinstance(cells, dict) else None


def _parsed(line: bytes) -> dict[str, Any]:
    cells = _object(line)
    if cells is None:
        raise UnusableStudy("its line is no JSON object")
    return cells


def _id(cells: Mapping[str, Any], names: Sequence[str]) -> str:
    found = next((cells[name] for name in names if name in cells), None)
    return "" if found is None else str(found).strip()
