"""Data sets on disk of Hugging Face `datasets`, read and written as files, as documented.

`save_to_disk` makes a folder with `state.json`, which names Arrow files; of a set of splits, one
such folder a split beside a `dataset_dict.json`. Reading them takes pyarrow (extra `arrow`), not
`datasets`, and so does writing them. Files are mapped, not loaded.
"""

from __future__ import annotations

import bisect
import hashlib
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

_STATE, _SPLITS, _INFO = "state.json", "dataset_dict.json", "dataset_info.json"
_AT_A_TIME = 1000  # rows in memory while a data set is written


def is_dataset(folder: Path) -> bool:
    """Whether a folder was written by `save_to_disk`."""
    return (folder / _STATE).is_file() or (folder / _SPLITS).is_file()


class Arrow:
    """The rows of a data set, or of all splits of one, whose names become a column `split`."""

    def __init__(self, folder: Path, ids: Sequence[str]) -> None:
        """Maps the files.

        Args:
          folder: What `save_to_disk` wrote.
          ids: Names that the column of ids may have.

        Raises:
          ValueError: pyarrow is not installed, a file is missing or damaged, or splits differ in
            their columns.
        """
        self._files: list[Path] = []
        self._tables: list[Any] = []
        self._splits: list[str] = []
        for split, part in _parts(folder):
            for file in _data_files(part):
                self._files.append(file)
                self._tables.append(_map(file))
                self._splits.append(split)
        names = {tuple(table.column_names) for table in self._tables}
        if len(names) > 1:
            raise ValueError(f"{folder}: its files differ in their columns: {sorted(names)}")
        self._split_is_folder = any(self._splits) and "split" not in next(iter(names), ())
        self.columns = [*next(iter(names), ()), *(["split"] if self._split_is_folder else [])]
        self._ends = list(itertools.accumulate(table.num_rows for table in self._tables))
        self.ids = self._ids(ids)

    def _ids(self, names: Sequence[str]) -> list[str]:
        name = next((name for name in names if name in self.columns), None)
        if name is None:
            return [""] * (self._ends[-1] if self._ends else 0)
        values = itertools.chain.from_iterable(t.column(name).to_pylist() for t in self._tables)
        return ["" if value is None else str(value).strip() for value in values]

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        """One row as Python values; an image is a dict of its bytes or its path."""
        place = bisect.bisect_right(self._ends, index)
        table = self._tables[place]
        row = index - (self._ends[place] - table.num_rows)
        cells = {name: table.column(name)[row].as_py() for name in table.column_names}
        return cells | {"split": self._splits[place]} if self._split_is_folder else cells

    def files(self) -> list[Path]:
        """The Arrow files."""
        return list(self._files)


def _parts(folder: Path) -> list[tuple[str, Path]]:
    """(split, its folder); a data set without splits is one part of no name."""
    if not (folder / _SPLITS).is_file():
        return [("", folder)]
    return [(str(split), folder / split) for split in _read(folder / _SPLITS, "splits")]


def _data_files(folder: Path) -> list[Path]:
    if _read(folder / _STATE, "_indices_files", needed=False):
        raise ValueError(
            f"{folder} is a selection of the rows of another data set: call flatten_indices() on "
            "it before save_to_disk"
        )
    return [folder / entry["filename"] for entry in _read(folder / _STATE, "_data_files")]


def _read(file: Path, key: str, *, needed: bool = True) -> Any:
    try:
        values = json.loads(file.read_text("utf-8"))
        return values[key] if needed else values.get(key)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file} does not say {key!r}: {error}") from error


def write_dataset(folder: Path, split: str, rows: Iterable[Mapping[str, Any]]) -> int:
    """Adds a split to a data set on disk, which `datasets.load_from_disk` reads.

    Args:
      folder: Of the data set; made where it is not there.
      split: Its name.
      rows: All with the columns of the first; numbers, texts, truth values and lists of them.

    Returns:
      How many rows were written; without any, there is no split.

    Raises:
      ValueError: pyarrow is not installed.
    """
    pyarrow = _pyarrow(folder)
    source = iter(rows)
    parts = iter(lambda: list(itertools.islice(source, _AT_A_TIME)), [])
    first = next(parts, [])
    if not first:
        return 0
    schema = pyarrow.Table.from_pylist(first).schema
    (folder / split).mkdir(parents=True, exist_ok=True)
    name, count = "data-00000-of-00001.arrow", 0
    with pyarrow.ipc.new_stream(str(folder / split / name), schema) as stream:
        for part in itertools.chain([first], parts):
            stream.write_table(pyarrow.Table.from_pylist(part, schema=schema))
            count += len(part)
    _describe(folder, split, name, schema)
    return count


def _describe(folder: Path, split: str, name: str, schema: Any) -> None:
    """The files beside the rows; `datasets` takes the features from the rows' own schema."""
    known = folder / _SPLITS
    splits = [*(_read(known, "splits") if known.is_file() else []), split]
    known.write_text(json.dumps({"splits": list(dict.fromkeys(splits))}))
    state: dict[str, Any] = {
        "_data_files": [{"filename": name}],
        "_fingerprint": hashlib.sha256(str(schema).encode()).hexdigest()[:16],
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": split,
    }
    (folder / split / _STATE).write_text(json.dumps(state, indent=2))
    (folder / split / _INFO).write_text("{}")


def _pyarrow(path: Path) -> Any:
    try:
        import pyarrow
    except ImportError as error:
        raise ValueError(f"{path}: it takes pyarrow; install chexjax[arrow]") from error
    return pyarrow


def _map(file: Path) -> Any:
    pyarrow = _pyarrow(file)
    try:
        return pyarrow.ipc.open_stream(pyarrow.memory_map(str(file))).read_all()
    except (OSError, pyarrow.ArrowInvalid) as error:
        raise ValueError(f"{file} is no Arrow file of a data set: {error}") from error
