"""What a source was read from, as one digest that does not know where it lies."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from chexjax.artefacts.files import sha256


def fingerprint(tables: Iterable[Path] = (), sizes: Iterable[tuple[str, int]] = ()) -> str:
    """Digest of tables by their bytes, and of files too large to read by name and size.

    Args:
      tables: Files that are hashed whole; their order counts, their names and folders do not.
      sizes: (name within the source, bytes) of files, in any order.
    """
    whole = hashlib.sha256()
    for table in tables:
        whole.update(f"{sha256(table)}\n".encode())
    for name, size in sorted(sizes):
        whole.update(f"{name}\0{size}\n".encode())
    return whole.hexdigest()


def file_sizes(folder: Path, suffixes: tuple[str, ...]) -> list[tuple[str, int]]:
    """(path within the folder, bytes) of all files below it with one of these endings.

    Args:
      folder: Need not exist.
      suffixes: Endings in lower case with the dot, such as `.png`.
    """
    return [
        (file.relative_to(folder).as_posix(), file.stat().st_size)
        for file in folder.rglob("*")
        if file.suffix.lower() in suffixes and file.is_file()
    ]
