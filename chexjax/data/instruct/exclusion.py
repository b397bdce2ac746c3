"""Studies that must not be learnt from, since another source examines with them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from chexjax.data.sources.tables import is_table, read_table
from chexjax.data.sources.tabular import USUAL
from chexjax.data.splits import split_named
from chexjax.data.study import UnusableStudy, quoted
from chexjax.data.text import decode

EXCLUDED = "its study is excluded"
"""Why a triplet or a study is rejected, where it is for its id."""

_FIELD = "mixture.exclude"


def excluded_ids(files: Iterable[str]) -> frozenset[str]:
    """The ids that stand in some files, in the form of `plain_id`.

    A table (JSON lines, CSV) has them in a column with a usual name, such as `study_id`; where it
    has a column `split`, like MIMIC-CXR's, those of its training split are not excluded. Any other
    file has one id a line.

    Raises:
      ValueError: a file is not there, cannot be read, or names no study.
    """
    found: set[str] = set()
    for file in files:
        if not Path(file).is_file():
            raise ValueError(
                f"{_FIELD}={file}: there is no such file; give one with ids of studies"
            )
        ids = _of_table(Path(file)) if is_table(Path(file)) else _of_text(Path(file))
        named = {plain_id(name) for name in ids if name}
        if not named:
            raise ValueError(f"{_FIELD}={file}: it names no study to exclude; give one that does")
        found |= named
    return frozenset(found)


def plain_id(name: str) -> str:
    """An id as it is compared: MIMIC-CXR's studies are called `s50000000` and `50000000`."""
    return re.sub(r"^s(?=\d{8}$)", "", name.strip())


def _of_text(file: Path) -> list[str]:
    try:
        return decode(file.read_bytes()).split()
    except UnusableStudy as error:
        raise ValueError(f"{_FIELD}={file}: {error}") from error


def _of_table(file: Path) -> list[str]:
    table = read_table(file, USUAL["id"], _FIELD)
    if not set(USUAL["id"]) & set(table.columns):
        raise ValueError(
            f"{_FIELD}={file}: no column of ids; name it {USUAL['id'][1]}, there are "
            f"{', '.join(map(quoted, table.columns))}"
        )
    if "split" not in table.columns:
        return list(table.ids)
    try:
        splits = [split_named(str(split)) for split in table.column("split")]
    except UnusableStudy as error:
        raise ValueError(f"{_FIELD}={file}: a row has no split that is known: {error}") from error
    return [name for name, split in zip(table.ids, splits, strict=True) if split != "train"]
