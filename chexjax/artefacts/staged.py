"""Folders that are copies of a bucket's: looked at when they have been fetched, done when pushed.

For every other folder nothing here does anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol


class Copies(Protocol):
    """Who keeps the copies below a folder; see `mirror.Mirror`."""

    root: Path

    def fetch(self, folder: str, *, again: bool = False) -> None:
        """Brings a folder to where the bucket is."""

    def tend(self, folder: str) -> None:
        """Uploads a draft from time to time."""

    def push(self, folder: str) -> None:
        """Uploads what the bucket lacks of a folder."""


KEEPERS: list[Copies] = []
"""Those at work."""


def fetch(path: Path, *, again: bool = False) -> None:
    """Brings a folder to where the bucket is, once, or `again` where others may have written."""
    for keeper, folder in _of(path):
        keeper.fetch(folder, again=again)


def tend(path: Path) -> None:
    """Has a draft uploaded from time to time."""
    for keeper, folder in _of(path):
        keeper.tend(folder)


def push(path: Path) -> None:
    """Has a finished folder uploaded, and comes back when it is there."""
    for keeper, folder in _of(path):
        keeper.push(folder)


def _of(path: Path) -> Iterator[tuple[Copies, str]]:
    for keeper in KEEPERS:
        if path != keeper.root and path.is_relative_to(keeper.root):
            yield keeper, path.relative_to(keeper.root).as_posix()
