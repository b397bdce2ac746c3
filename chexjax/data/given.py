"""Rows that were made elsewhere: JSON lines or data sets on disk, and the study that each is about.

Rows of CheXalign's code have no id: the study is the one that the folders of its images name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from chexjax.artefacts.files import sha256
from chexjax.data.arrow import Arrow, is_dataset
from chexjax.data.fingerprint import fingerprint
from chexjax.data.reference_chunks import Chunks, is_chunked
from chexjax.data.reference_folders import STUDY, study_of
from chexjax.data.sources.tables import JsonLines, Table
from chexjax.data.study import UnusableStudy
from chexjax.rows import Reject

Row = dict[str, Any]


class UnusableRow(ValueError):
    """A row that cannot be used; its message is the reason kept in `rejects.jsonl`."""


def open_given(file: Path) -> Table:
    """The rows of JSON lines, of a data set on disk, or of a folder of chunks of several.

    Raises:
      ValueError: there is none of these, or it cannot be read.
    """
    if file.is_file():
        return JsonLines(file, ())
    if is_dataset(file):
        return Arrow(file, ())
    if is_chunked(file):
        return Chunks(file)
    raise ValueError(f"there is no file {file}, and no data set on disk of that name")


def readable(table: Table) -> Iterator[Mapping[str, Any]]:
    """The rows that can be read, in order."""
    for number in range(len(table.ids)):
        try:
            yield table[number]
        except UnusableStudy:
            continue


def digest(file: Path) -> str:
    """Of what a file or a data set on disk holds, wherever it lies."""
    return fingerprint(open_given(file).files()) if file.is_dir() else sha256(file)


def count_rows(file: Path) -> int:
    """Rows of a file, usable or not."""
    return len(open_given(file).ids)


def sort_out(
    file: Path, studies: Mapping[str, int], use: Callable[[Mapping[str, Any], str], Row]
) -> tuple[list[tuple[str, Row]], list[Reject]]:
    """What is made of each row, and what cannot be used of the file.

    Args:
      file: See `open_given`.
      studies: All that a row can be about.
      use: Makes a row of the one that is there and the id of its study; it may raise `UnusableRow`.

    Returns:
      Rows with a name for each, its study's id and the number of the row, since a study can have
      many; and rejects under such names, the file's in place of a study that is not known.
    """
    found, rejects, table = [], [], open_given(file)
    for number in range(len(table.ids)):
        name = f"{file.name}:{number + 1}"
        try:
            row = table[number]
            study = _id(row, studies)
            name = f"{study or file.name}:{number + 1}"
            if study is None:
                raise UnusableRow("it has no id, and its images' paths name no study to train on")
            if not isinstance(study, str) or study not in studies:
                raise UnusableRow("its id is of no study to train on")
            found.append((name, use(row, study)))
        except (UnusableRow, UnusableStudy) as error:
            rejects.append(Reject(name, str(error)))
    return found, rejects


def _id(row: Mapping[str, Any], studies: Mapping[str, int]) -> Any:
    """What the row says, or else what its images' folders do."""
    return next((row[name] for name in ("id", STUDY) if name in row), study_of(row, studies))
