"""Some columns of a large CSV file, read once from its start to its end."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from chexjax.data.sources.tables import lines, open_bytes
from chexjax.data.study import UnusableStudy
from chexjax.data.text import decode


def find(folder: Path, pattern: str) -> Path | None:
    """The file of a name such as `mimic-cxr-*-split`, as CSV or compressed; of several, the last.

    Args:
      folder: Where it lies.
      pattern: The name without its ending, `*` for what may vary.
    """
    found = [file for end in (".csv", ".csv.gz") for file in folder.glob(pattern + end)]
    return max(found, key=lambda file: file.name.removesuffix(".gz"), default=None)


def column_names(file: Path) -> list[str]:
    """Names of all columns.

    Raises:
      ValueError: the file cannot be read.
    """
    with _rows(file) as rows:
        return [name.strip() for name in next(rows, [])]


def read_columns(file: Path, *names: str) -> Iterator[tuple[int, Sequence[str] | None]]:
    """(number of the line, cells of the named columns) of each row; None for a row without them.

    Raises:
      ValueError: the file cannot be read, or a column is missing.
    """
    with _rows(file) as rows:
        header = [name.strip() for name in next(rows, [])]
        if lacking := [name for name in names if name not in header]:
            raise ValueError(
                f"{file}: it has no column {lacking[0]}; there are {', '.join(header)}"
            )
        places = [header.index(name) for name in names]
        for row in rows:
            if len(row) == len(header):
                yield rows.line_num, [row[place] for place in places]
            elif row:
                yield rows.line_num, None


@contextlib.contextmanager
def _rows(file: Path) -> Iterator[Any]:
    try:
        with open_bytes(file) as data:
            yield csv.reader(decode(line) for _, line in lines(file, data))
    except (OSError, csv.Error, UnusableStudy) as error:
        raise ValueError(f"{file} cannot be read: {error}") from error
