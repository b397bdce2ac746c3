"""Files that survive a kill: written whole or not at all, and known by their hash."""

from __future__ import annotations

import functools
import hashlib
import os
from pathlib import Path


def write_atomic(path: Path, data: bytes | str) -> None:
    """Writes a file such that after a kill or a power cut it is there whole, or as it was."""
    tmp = path.with_name(path.name + ".tmp")
    with open(tmp, "wb") as file:
        file.write(data.encode() if isinstance(data, str) else data)
    commit(tmp, path)


def commit(tmp: Path, path: Path) -> None:
    """Syncs a written and closed file and moves it to its final name, durably."""
    _sync(tmp)
    os.replace(tmp, path)
    _sync(path.parent)


def sha256(path: Path) -> str:
    """SHA-256 of a file in hex; remembered as long as its size and time stay the same."""
    stat = path.stat()
    return _sha256(path.absolute(), stat.st_ino, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=65536)
def _sha256(path: Path, inode: int, size: int, mtime_ns: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
