"""Files of rows as pyarrow (extra `arrow`) reads them: Arrow mapped, Parquet by row groups."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol


class Part(Protocol):
    """Some rows of a data set, all of one file."""

    @property
    def file(self) -> Path:
        """Where they are."""
        ...

    @property
    def columns(self) -> list[str]:
        """Names of their columns."""
        ...

    def __len__(self) -> int:
        """Number of rows."""
        ...

    def row(self, number: int) -> dict[str, Any]:
        """One of them as Python values."""
        ...

    def column(self, name: str) -> Any:
        """One column of all of them, a pyarrow `ChunkedArray`."""
        ...


class ArrowFile:
    """The rows of an Arrow file, which is mapped."""

    def __init__(self, file: Path) -> None:
        """Maps it.

        Raises:
          ValueError: pyarrow is not installed, or the file is missing or damaged.
        """
        pyarrow = pyarrow_for(file)
        try:
            self._table = pyarrow.ipc.open_stream(pyarrow.memory_map(str(file))).read_all()
        except (OSError, pyarrow.ArrowInvalid) as error:
            raise ValueError(f"{file} is no Arrow file of a data set: {error}") from error
        self.file, self.columns = file, list(self._table.column_names)

    def __len__(self) -> int:
        """Number of rows."""
        return int(self._table.num_rows)

    def row(self, number: int) -> dict[str, Any]:
        """One row."""
        return {name: self._table.column(name)[number].as_py() for name in self.columns}

    def column(self, name: str) -> Any:
        """One column."""
        return self._table.column(name)


class RowGroup:
    """A row group of a Parquet file, which has to be read whole: it is kept until another is."""

    _last: tuple[RowGroup, Any] | None = None

    def __init__(self, file: Path, opened: Any, number: int) -> None:
        """Reads nothing yet."""
        self.file, self._opened, self._number = file, opened, number
        self.columns = list(opened.schema_arrow.names)

    def __len__(self) -> int:
        """Number of rows."""
        return int(self._opened.metadata.row_group(self._number).num_rows)

    def row(self, number: int) -> dict[str, Any]:
        """One row."""
        if RowGroup._last is None or RowGroup._last[0] is not self:
            RowGroup._last = self, self._read(None)
        table = RowGroup._last[1]
        return {name: table.column(name)[number].as_py() for name in self.columns}

    def column(self, name: str) -> Any:
        """One column, read by itself."""
        return self._read([name]).column(name)

    def _read(self, columns: list[str] | None) -> Any:
        try:
            return self._opened.read_row_group(self._number, columns=columns)
        except OSError as error:
            raise ValueError(f"{self.file} is damaged: {error}") from error


def row_groups(file: Path) -> list[RowGroup]:
    """The row groups of a Parquet file.

    Raises:
      ValueError: pyarrow is not installed, or it is no such file.
    """
    pyarrow = pyarrow_for(file)
    import pyarrow.parquet as parquet

    try:
        opened = parquet.ParquetFile(file, memory_map=True)
    except (OSError, pyarrow.ArrowInvalid) as error:
        raise ValueError(f"{file} is no Parquet file: {error}") from error
    return [RowGroup(file, opened, number) for number in range(opened.num_row_groups)]


def holds_bytes(column: Any) -> bool:
    """Whether images in a column are all there, as bytes, and none is a path to a file.

    Args:
      column: A pyarrow `ChunkedArray` of bytes, of `{"bytes": ..., "path": ...}` as `datasets`
        writes images, or of lists of either.
    """
    from pyarrow import compute, types

    while types.is_list(column.type) or types.is_large_list(column.type):
        column = compute.list_flatten(column)
    if types.is_struct(column.type):
        if not all(column.type.get_field_index(name) >= 0 for name in ("bytes", "path")):
            return False
        content, path = (compute.struct_field(column, name) for name in ("bytes", "path"))
        named = compute.and_(compute.is_null(content), compute.is_valid(path))
        return not compute.any(named).as_py()
    return any(
        is_of(column.type) for is_of in (types.is_binary, types.is_large_binary, types.is_null)
    )


def pyarrow_for(path: Path) -> Any:
    """The library, with what a file of a data set takes.

    Raises:
      ValueError: it is not installed.
    """
    try:
        import pyarrow
    except ImportError as error:
        raise ValueError(f"{path}: it takes pyarrow; install chexjax[arrow]") from error
    return pyarrow
