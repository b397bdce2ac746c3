"""A workdir in a bucket, worked on in a local folder: what is needed comes, what is done goes.

Object stores have no rename and no append, and most of what a run writes (ArrayRecord shards, logs,
SQLite, Orbax's checkpoints, safetensors) wants a file system. So a run works in a staging folder,
which is a copy of the bucket's workdir as far as it has been looked at:

- Before a folder of the workdir is first looked at, it is fetched. A finished artefact is what the
  bucket's manifest says, file by file. Of a draft the bucket's copy is taken, unless this staging
  folder was the last to write there: then it is ahead of the bucket.
- While a draft is filled, a thread uploads what is settled in it, every few seconds: a checkpoint's
  marker behind its other files, a log behind no checkpoint that it belongs to.
- When it is finished, its files are uploaded, and the manifest last. Then the draft's notes go.

Whoever reads the bucket thus sees whole artefacts or none, and whoever goes on from it finds what
had been uploaded, whatever was killed at which moment.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chexjax.artefacts.bucket import Bucket, Entry
from chexjax.artefacts.files import sha256, write_atomic
from chexjax.artefacts.manifest import DRAFT_NOTE, NAME, SCRATCH, ArtefactError

PROBE = "chexjax.txt"
"""The object by which it is known that a bucket can be written."""

BOOKS = ".bucket"
"""Folder beside the artefacts for what is known to lie in the bucket; it stays here."""

_WRITER = f"{SCRATCH}/writer"  # who wrote a draft in the bucket last
_LOOSE = "loose"  # the book of what lies in no artefact
_FETCHED = ("tensorboard",)  # of what lies in no artefact, beside files at the top
_MARKER = "_CHECKPOINT_METADATA"  # what Orbax writes last
_UNSETTLED = (".tmp", "-wal", "-shm", "-journal")
_SQLITE = ".sqlite"
_UNFINISHED = ".orbax-checkpoint-tmp"
_SECONDS_BETWEEN_ROUNDS = 5.0
_SECONDS_BETWEEN_LOOKS = 2.0

Stat = tuple[int, int]
"""Size and time of a file, by which a change is noticed."""


@dataclasses.dataclass
class _Book:
    """What is known of a folder's objects: who wrote them last, and from which files."""

    file: Path
    writer: str = ""
    sent: dict[str, Stat] = dataclasses.field(default_factory=dict)

    @staticmethod
    def open(file: Path) -> _Book:
        """The book as it was saved; an empty one where it was not."""
        try:
            said = json.loads(file.read_bytes())
            sent = {name: (size, time_ns) for name, (size, time_ns) in said["sent"].items()}
            return _Book(file, said["writer"], sent)
        except (OSError, ValueError, KeyError, TypeError):
            return _Book(file)

    def save(self) -> None:
        """Writes it down."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(self.file, json.dumps({"writer": self.writer, "sent": self.sent}))


class Mirror:
    """A bucket's workdir and its staging folder; folders go by their paths in the workdir."""

    def __init__(self, bucket: Bucket, root: Path) -> None:
        """Takes a bucket and the staging folder.

        Raises:
          ArtefactError: the bucket does not answer.
        """
        self._bucket, self.root = bucket, root
        self._lock = threading.RLock()
        self._books: dict[str, _Book] = {}
        self._looked: dict[str, float] = {}
        self._drafts: set[str] = set()
        self._me = uuid.uuid4().hex
        self._over = threading.Event()
        self._fetch_loose()
        self._thread = threading.Thread(target=self._rounds, daemon=True)
        self._thread.start()

    def fetch(self, folder: str, *, again: bool = False) -> None:
        """Brings a folder to where the bucket is, or further; once, or `again`, to join others.

        Raises:
          ArtefactError: the bucket does not answer.
        """
        now = time.monotonic()
        wait = _SECONDS_BETWEEN_LOOKS if again else float("inf")
        with self._lock:
            if now - self._looked.get(folder, -float("inf")) < wait:
                return
            self._looked[folder] = now
            book, there = self._book(folder), self._entries(folder)
            if NAME in there:
                self._fetch_finished(folder, book)
            elif again:
                self._fetch_files(folder, book, _whole(there) - self._files(folder).keys())
            elif self._is_behind(folder, book, there):
                shutil.rmtree(self.root / folder, ignore_errors=True)
                book.writer, book.sent = "", {}
                self._fetch_files(folder, book, _whole(there))
            book.save()

    def fetch_all(self) -> None:
        """Brings every folder of the workdir, for processes that have no mirror of their own."""
        ends = (f"/{NAME}", f"/{SCRATCH}/{DRAFT_NOTE}")
        for name in self._bucket.entries():
            for end in ends:
                if name.endswith(end):
                    self.fetch(name.removesuffix(end))

    def tend(self, folder: str) -> None:
        """Uploads what is settled in a draft from now on, from time to time."""
        with self._lock:
            self._drafts.add(folder)

    def push(self, folder: str) -> None:
        """Uploads what the bucket lacks of a folder; where it is finished, the manifest last.

        Raises:
          ArtefactError: the bucket does not answer. What it has is no artefact yet.
        """
        with self._lock:
            book, files = self._book(folder), self._files(folder)
            finished = NAME in files
            if finished and book.sent.get(NAME) == files[NAME]:
                return  # nothing can have changed
            if book.writer != self._me:
                self._bucket.put(f"{folder}/{_WRITER}", self._me.encode())
                book.writer = self._me
                book.save()
            self._send(folder, book, files)
            if finished:
                self._drafts.discard(folder)
                stale = self._entries(folder).keys() - files.keys()
                self._bucket.delete([f"{folder}/{name}" for name in sorted(stale)])
                book.writer, book.sent = "", {NAME: files[NAME]}
                book.save()

    def close(self) -> None:
        """Uploads what is left, as a last round.

        Raises:
          ArtefactError: the bucket does not answer.
        """
        self._over.set()
        self._thread.join()
        self._round()

    def _rounds(self) -> None:
        """Rounds until it is over; one that fails is said, and tried again."""
        said = ""
        while not self._over.wait(_SECONDS_BETWEEN_ROUNDS):
            try:
                self._round()
                said = ""
            except (ArtefactError, OSError, sqlite3.Error) as error:
                if str(error) != said:
                    said = str(error)
                    print(f"warning: {said}", file=sys.stderr, flush=True)

    def _round(self) -> None:
        with self._lock:
            drafts = sorted(self._drafts)
        for folder in drafts:
            self.push(folder)
        with self._lock:
            book = self._book(_LOOSE)
            self._send("", book, _settled(self.root, loose=True))

    def _send(self, folder: str, book: _Book, files: Mapping[str, Stat]) -> None:
        """Uploads what has changed, in an order that leaves no marker without what it marks."""
        gone = sorted(book.sent.keys() - files.keys(), key=_marks, reverse=True)
        if NAME not in files:  # else they go behind the manifest
            self._bucket.delete([_join(folder, name) for name in gone])
            for name in gone:
                del book.sent[name]
        changed = [name for name, stat in files.items() if book.sent.get(name) != stat]
        torn: set[str] = set()
        for name in sorted(changed, key=_turn):
            step = _step(name)
            if _marks(name) and step in torn:
                continue
            if self._put(_join(folder, name), self.root / folder / name):
                book.sent[name] = files[name]
            else:
                torn.add(step)
        if gone or changed:
            book.save()

    def _put(self, path: str, file: Path) -> bool:
        if file.suffix != _SQLITE:
            return self._bucket.put(path, file)
        with tempfile.TemporaryDirectory() as scratch:  # as it is between two transactions
            copy = Path(scratch) / file.name
            with sqlite3.connect(file) as source, sqlite3.connect(copy) as target:
                source.backup(target)
            return self._bucket.put(path, copy)

    def _fetch_finished(self, folder: str, book: _Book) -> None:
        """Makes a folder what the manifest in the bucket says."""
        home, text = self.root / folder, self._bucket.read(f"{folder}/{NAME}")
        own = home / NAME
        if text is None:
            return
        if home.exists() and (not own.exists() or own.read_bytes() != text):
            shutil.rmtree(home)  # of another attempt
        files: dict[str, Any] = json.loads(text)["files"]
        for name, said in files.items():
            file = home / name
            if (
                not file.is_file()
                or file.stat().st_size != said["bytes"]
                or sha256(file) != said["sha256"]
            ):
                self._bucket.fetch(f"{folder}/{name}", file)
        home.mkdir(parents=True, exist_ok=True)
        if not own.exists():
            write_atomic(own, text)
        book.writer, book.sent = "", {NAME: _stat(own)}

    def _fetch_files(self, folder: str, book: _Book, names: set[str]) -> None:
        """Brings objects of a draft, in the order in which they went up."""
        for name in sorted(names, key=_turn):
            file = self.root / folder / name
            if self._bucket.fetch(_join(folder, name), file):
                book.sent[name] = _stat(file)

    def _is_behind(self, folder: str, book: _Book, there: Mapping[str, Entry]) -> bool:
        """Whether the bucket's draft is to be taken, and not the one that is here."""
        if not there:
            return bool(book.sent)  # it has been there, and somebody has deleted it
        if not (self.root / folder).exists() or not book.writer or _WRITER not in there:
            return True
        return self._bucket.read(f"{folder}/{_WRITER}") != book.writer.encode()

    def _fetch_loose(self) -> None:
        """Brings what lies in no artefact, where it is newer than what is here."""
        found, _ = self._bucket.top()
        for folder in _FETCHED:
            found |= self._bucket.entries(folder)
        book = self._book(_LOOSE)
        found.pop(PROBE, None)
        for name, entry in found.items():
            file = self.root / name
            if not file.exists() or _stat(file)[1] < entry.written * 1e9:
                for log in ("-wal", "-shm"):  # of what is replaced
                    file.with_name(file.name + log).unlink(missing_ok=True)
                if self._bucket.fetch(name, file):
                    book.sent[name] = _stat(file)
        book.save()

    def _book(self, folder: str) -> _Book:
        if folder not in self._books:
            name = folder.replace("%", "%25").replace("/", "%2F")
            self._books[folder] = _Book.open(self.root / BOOKS / f"{name}.json")
        return self._books[folder]

    def _entries(self, folder: str) -> dict[str, Entry]:
        """Objects of a folder, by their paths in it."""
        found = self._bucket.entries(folder)
        return {name.removeprefix(f"{folder}/"): entry for name, entry in found.items()}

    def _files(self, folder: str) -> dict[str, Stat]:
        """What is settled in a folder here, by path.

        Markers are looked for first, so that all that belongs to one is as new as it.
        """
        home = self.root / folder
        marks = {name for name in _settled(home) if _marks(name)}
        found = _settled(home)
        finished = NAME in marks
        return {
            name: stat
            for name, stat in found.items()
            if (name in marks if _marks(name) else not (finished and _is_note(name)))
        }


def _settled(home: Path, *, loose: bool = False) -> dict[str, Stat]:
    """Files that nobody is in the middle of writing, by their paths in `home`.

    Args:
      home: The folder.
      loose: Without what lies in artefacts and in what is known of them.
    """
    found: dict[str, Stat] = {}
    for place, folders, files in os.walk(home):
        here = Path(place)
        if loose:
            folders[:] = [one for one in folders if one != BOOKS and not _is_artefact(here / one)]
        for file in files:
            name = (here / file).relative_to(home).as_posix()
            if _UNFINISHED not in name and not name.endswith(_UNSETTLED):
                with contextlib.suppress(FileNotFoundError):
                    found[name] = _stat(here / file)
    return found


def _is_artefact(folder: Path) -> bool:
    return (folder / NAME).exists() or (folder / SCRATCH).exists()


def _is_note(name: str) -> bool:
    return name.startswith(f"{SCRATCH}/")


def _stat(file: Path) -> Stat:
    """Of a file; of one of SQLite with the log beside it, where its last transactions are."""
    stats = [file.stat()]
    if file.suffix == _SQLITE:
        with contextlib.suppress(FileNotFoundError):
            stats.append(file.with_name(f"{file.name}-wal").stat())
    return sum(one.st_size for one in stats), max(one.st_mtime_ns for one in stats)


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _turn(name: str) -> tuple[bool, int, str]:
    """The order of uploads: what a draft is known by first, and what marks others last."""
    return name != f"{SCRATCH}/{DRAFT_NOTE}", _marks(name), name


def _marks(name: str) -> int:
    """0 for an ordinary file, 1 for what says that a checkpoint is whole, 2 for the manifest."""
    return 2 if name == NAME else int(bool(_step(name)) and name == f"{_step(name)}/{_MARKER}")


def _step(name: str) -> str:
    """The folder of the checkpoint that a file belongs to; empty for others."""
    parts = name.split("/")
    return "/".join(parts[:3]) if parts[0] == SCRATCH and len(parts) > 3 else ""


def _whole(there: Mapping[str, Entry]) -> set[str]:
    """All but checkpoints whose marker is missing: their upload was cut off."""
    marked = {_step(name) for name in there if _marks(name)}
    return {name for name in there if name != _WRITER and (_step(name) or None) in {None, *marked}}
