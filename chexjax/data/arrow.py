"""Data sets on disk of Hugging Face `datasets`, read and written as files, as documented.

`save_to_disk` makes a folder with `state.json`, which names Arrow files; of a set of splits, one
such folder a split beside a `dataset_dict.json`. A snapshot of a hub has Parquet files, whose names
or folders say the split. Reading them takes pyarrow (extra `arrow`), not `datasets`, and so does
writing data sets.
"""

from __future__ import annotations

import bisect
import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from chexjax.data.arrow_files import ArrowFile, Part, holds_bytes, pyarrow_for, row_groups
from chexjax.data.splits import split_in

_STATE, _SPLITS, _INFO = "state.json", "dataset_dict.json", "dataset_info.json"
_AT_A_TIME = 1000  # rows in memory while a data set is written


def is_dataset(folder: Path) -> bool:
    """Whether a folder was written by `save_to_disk`."""
    return (folder / _STATE).is_file() or (folder / _SPLITS).is_file()


def is_snapshot(path: Path) -> bool:
    """Whether it is a Parquet file, or a folder that has some, at any depth."""
    return bool(_parquet_files(path))


class Arrow:
    """The rows of a data set, or of all splits of one, whose names become a column `split`."""

    def __init__(self, folder: Path, ids: Sequence[str]) -> None:
        """Maps the files.

        Args:
          folder: What `save_to_disk` wrote, a snapshot of a hub, or one Parquet file.
          ids: Names that the column of ids may have.

        Raises:
          ValueError: pyarrow is not installed, a file is missing or damaged, or splits differ in
            their columns.
        """
        read = _saved if is_dataset(folder) else _snapshot
        found = list(read(folder))
        self._splits, self._parts = [split for split, _ in found], [part for _, part in found]
        names = {tuple(part.columns) for part in self._parts}
        if len(names) > 1:
            raise ValueError(f"{folder}: its files differ in their columns: {sorted(names)}")
        self._split_is_folder = any(self._splits) and "split" not in next(iter(names), ())
        self.columns = [*next(iter(names), ()), *(["split"] if self._split_is_folder else [])]
        self._ends = list(itertools.accumulate(len(part) for part in self._parts))
        self.ids = self._ids(ids)

    def _ids(self, names: Sequence[str]) -> list[str]:
        name = next((name for name in names if name in self.columns), None)
        if name is None:
            return [""] * (self._ends[-1] if self._ends else 0)
        values = itertools.chain.from_iterable(p.column(name).to_pylist() for p in self._parts)
        return ["" if value is None else str(value).strip() for value in values]

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        """One row as Python values; an image is a dict of its bytes or its path."""
        place = bisect.bisect_right(self._ends, index)
        part = self._parts[place]
        cells = part.row(index - (self._ends[place] - len(part)))
        return cells | {"split": self._splits[place]} if self._split_is_folder else cells

    def files(self) -> list[Path]:
        """The Arrow or Parquet files."""
        return list(dict.fromkeys(part.file for part in self._parts))

    def embeds(self, column: str) -> bool:
        """Whether the images of a column are in the files themselves, every one."""
        return all(holds_bytes(part.column(column)) for part in self._parts)


def _saved(folder: Path) -> Iterator[tuple[str, Part]]:
    """(split, rows) of each Arrow file; without splits, their name is empty."""
    splits: list[tuple[str, Path]] = [("", folder)]
    if (folder / _SPLITS).is_file():
        splits = [(str(split), folder / split) for split in _read(folder / _SPLITS, "splits")]
    for split, part in splits:
        yield from ((split, ArrowFile(file)) for file in _data_files(part))


def _snapshot(path: Path) -> Iterator[tuple[str, Part]]:
    """(split, rows) of each row group; of files that say none beside others that do, `train`."""
    files = _parquet_files(path)
    splits = [split_in(file.relative_to(path.parent if path.is_file() else path)) for file in files]
    unnamed = "train" if any(splits) else ""
    for split, file in zip(splits, files, strict=True):
        yield from ((split or unnamed, group) for group in row_groups(file))


def _parquet_files(path: Path) -> list[Path]:
    found = [path] if path.is_file() else sorted(path.rglob("*.parquet"))
    return [file for file in found if file.suffix == ".parquet" and file.is_file()]


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
    pyarrow = pyarrow_for(folder)
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
