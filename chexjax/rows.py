"""Rows of an artefact, and the resumable map that writes them.

Rows are cut into fixed work units. A unit is one program input and one commit: its rows become one
ArrayRecord shard, which appears under its final name whole or not at all. A map that is killed at
any moment, `kill -9` included, redoes the unit that it was in and nothing else, and ends with the
same bytes as one that ran through.
"""

from __future__ import annotations

import bisect
import dataclasses
import functools
import itertools
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, overload

from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter
from flax import serialization

from chexjax import preemption
from chexjax.artefacts import Artefact, ArtefactError, Draft
from chexjax.artefacts.files import commit, sha256, write_atomic
from chexjax.artefacts.manifest import explained, read_json
from chexjax.trackers import Progress

_OPEN_SHARDS = 128  # far below the usual limit of 1,024 open files


@dataclasses.dataclass(frozen=True)
class Reject:
    """A row that cannot be used: its id and why."""

    id: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Unit:
    """What became of one work unit: the rows to keep, and those that cannot be used."""

    rows: list[dict[str, Any]]
    rejects: list[Reject] = dataclasses.field(default_factory=list)


def encode(row: dict[str, Any]) -> bytes:
    """A row as bytes: a dict of str, int, float, bool, None, bytes, list, dict, numpy arrays.

    Dicts come back with their keys in sorted order.
    """
    return serialization.msgpack_serialize(row)


def decode(data: bytes) -> dict[str, Any]:
    """Inverse of `encode`."""
    row: dict[str, Any] = serialization.msgpack_restore(data)
    return row


class Rows(Sequence[dict[str, Any]]):
    """The rows of an artefact in order, read from its shards on demand, from any thread."""

    def __init__(self, shards: Sequence[Path]) -> None:
        """Opens `shards` for their lengths."""
        self._shards = list(shards)
        self._open = functools.lru_cache(maxsize=_OPEN_SHARDS)(_open)
        self._ends = list(itertools.accumulate(self._open(s).num_records() for s in self._shards))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        index %= len(self)
        shard = bisect.bisect_right(self._ends, index)
        first = self._ends[shard - 1] if shard else 0
        [data] = self._open(self._shards[shard]).read([index - first])
        return decode(data)


def _open(shard: Path) -> ArrayRecordReader:
    # Without readahead: rows are read in random order, and its buffer is 16 MiB a shard.
    return ArrayRecordReader(
        str(shard), options="readahead_buffer_size:0", file_reader_buffer_size=32768
    )


def map_units(
    draft: Draft,
    units: int,
    work: Callable[[int], Unit],
    *,
    describe: str,
    summarise: Callable[[Sequence[dict[str, Any]]], dict[str, Any]] | None = None,
    progress: bool = True,
) -> Artefact:
    """Fills a draft with the rows of `work(0) ... work(units - 1)` and finishes it.

    Where several processes share the draft, each makes its own units; the first finishes it when
    all are there, and the others wait for that. One that is killed keeps the others waiting until
    it is started again.

    Units that an earlier, killed attempt has committed are kept; a damaged one is done again, with
    a warning. Rejects end up in `rejects.jsonl`, in the order of units.

    Args:
      draft: The folder to fill.
      units: Number of units.
      work: Makes one unit; it must depend on nothing but the unit's number.
      describe: What is being done, for the progress line.
      summarise: Makes the manifest's statistics from all rows.
      progress: Whether to show progress.

    Raises:
      ArtefactError: if the draft was cut into another number of units.
    """
    own = draft.share.units(units)
    todo = [unit for unit in own if not _is_committed(draft, unit, units)]
    done = len(own) - len(todo)
    with Progress(len(own), describe, unit="units", done=done, quiet=not progress) as shown:
        for unit in todo:
            preemption.check(f"{describe}, before unit {unit}")
            _write(draft, unit, units, work(unit))
            shown.advance()
    if not draft.share.first:
        return draft.sealed()
    if draft.share.of > 1:
        _wait_for_others(draft, units)
        draft.drop_leftovers()
    return _finish(draft, units, summarise)


def _finish(
    draft: Draft,
    units: int,
    summarise: Callable[[Sequence[dict[str, Any]]], dict[str, Any]] | None,
) -> Artefact:
    """Seals a draft that has all of its units."""
    notes = [_read_note(draft, unit) or {} for unit in range(units)]
    rejects = [reject for note in notes for reject in note["rejects"]]
    if rejects:
        text = "".join(json.dumps(reject, ensure_ascii=False) + "\n" for reject in rejects)
        write_atomic(draft.path / "rejects.jsonl", text)
    rows = Rows([_shard(draft, unit) for unit in range(units)])
    return draft.finish(
        rows=len(rows), rejects=len(rejects), statistics=summarise(rows) if summarise else {}
    )


def _wait_for_others(draft: Draft, units: int) -> None:
    """Comes back when the other processes have committed their units."""
    missing = [unit for unit in range(units) if not _is_sound(draft, unit)]

    def done() -> bool:
        while missing and _is_sound(draft, missing[0]):  # one look a time, however many there are
            del missing[0]
        return not missing

    draft.share.wait(
        done,
        f"{len(missing)} units of other processes in {draft.path}; if one of them has stopped, "
        "start it again, or stop all and run the command in one process, which does what is left",
        folder=draft.path,
    )


def _shard(draft: Draft, unit: int) -> Path:
    return draft.path / f"rows-{unit:05d}.arrayrecord"


def _note(draft: Draft, unit: int) -> Path:
    return draft.scratch / f"unit-{unit:05d}.json"


def _read_note(draft: Draft, unit: int) -> dict[str, Any] | None:
    """What was noted of a unit: number of units, hash of the shard, rejects."""
    file = _note(draft, unit)
    return read_json(draft.path, file) if file.exists() else None


def _write(draft: Draft, unit: int, units: int, done: Unit) -> None:
    """Writes a unit: the shard aside, then the note with its hash, then the shard's real name."""
    shard = _shard(draft, unit)
    tmp = shard.with_name(shard.name + ".tmp")
    rejects = [dataclasses.asdict(reject) for reject in done.rejects]
    with explained(draft.path, "write"):
        _write_shard(tmp, [encode(row) for row in done.rows])
        note = {"units": units, "sha256": sha256(tmp), "rejects": rejects}
        write_atomic(_note(draft, unit), json.dumps(note))
        commit(tmp, shard)


def _write_shard(path: Path, records: Sequence[bytes]) -> None:
    try:
        writer = ArrayRecordWriter(str(path), "group_size:1")
        for record in records:
            writer.write(record)
        writer.close()
    except RuntimeError as error:  # what the writer makes of a full disk
        raise OSError(str(error)) from error


def _is_committed(draft: Draft, unit: int, units: int) -> bool:
    """Whether an earlier attempt has finished this unit and its shard is still sound."""
    note = _read_note(draft, unit)
    if note is not None and note["units"] != units:
        raise ArtefactError(
            f"{draft.path} was begun in {note['units']} work units, now there are {units}: delete "
            "the folder and run its stage again"
        )
    sound, shard = _is_sound(draft, unit), _shard(draft, unit)
    if not sound and shard.exists():
        print(f"warning: {shard} is damaged; its unit is done again", file=sys.stderr)
    return sound


def _is_sound(draft: Draft, unit: int) -> bool:
    """Whether a unit's shard is there, and is what its note says."""
    shard, note = _shard(draft, unit), _read_note(draft, unit)
    return note is not None and shard.exists() and sha256(shard) == note["sha256"]
