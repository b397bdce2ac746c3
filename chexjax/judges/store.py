"""Answers of a judge on disk, each kept the moment it is there."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from chexjax.artefacts.files import sha256


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a judge wrote.

    Attributes:
      text: The answer.
      asked: Tokens of the question.
      written: Tokens of the answer.
    """

    text: str
    asked: int = 0
    written: int = 0


class Answers:
    """Answers by the key of their question, in an SQLite file that several processes may share.

    What was put there outlives `kill -9`, and an answer is put there once.
    """

    def __init__(self, file: Path | None = None) -> None:
        """Opens a file, which need not exist; without one, answers live as long as the object.

        Raises:
          ValueError: there is another kind of file, or it cannot be written.
        """
        try:
            if file is not None:
                file.parent.mkdir(parents=True, exist_ok=True)
            self._base = sqlite3.connect(file or ":memory:", timeout=60, isolation_level=None)
            self._base.execute("PRAGMA journal_mode=WAL")
            self._base.execute(
                "CREATE TABLE IF NOT EXISTS answers "
                "(key TEXT PRIMARY KEY, text TEXT, asked INTEGER, written INTEGER)"
            )
        except (OSError, sqlite3.Error) as error:
            raise ValueError(
                f"{file} cannot hold a judge's answers: {error}; move it away or name another file"
            ) from error

    def get(self, keys: Iterable[str]) -> dict[str, Answer]:
        """The answers that there are."""
        select = "SELECT text, asked, written FROM answers WHERE key = ?"
        found = {key: self._base.execute(select, (key,)).fetchone() for key in set(keys)}
        return {key: Answer(*row) for key, row in found.items() if row}

    def put(self, key: str, answer: Answer) -> None:
        """Keeps an answer; the first one of a key stays."""
        row = (key, answer.text, answer.asked, answer.written)
        self._base.execute("INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?)", row)


def key_of(*parts: str | int) -> str:
    """A key of whatever decides an answer."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def key_of_files(*files: Path) -> str:
    """A key of the bytes of files, whatever they are called and wherever they lie."""
    return key_of(*(sha256(file) for file in files))
