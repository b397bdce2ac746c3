"""Where Open-I's reports lie: a folder of XML files, or the archive that they are handed out in."""

from __future__ import annotations

import functools
import tarfile
import zlib
from pathlib import Path
from typing import Protocol

_ARCHIVE = "NLMCXR_reports.tgz"
_FOLDER = "ecgen-radiology"


class Reports(Protocol):
    """Reports by the names of their files."""

    def names(self) -> list[str]:
        """Names such as `7.xml`."""
        ...

    def read(self, name: str) -> bytes:
        """One file's bytes."""
        ...

    def files(self) -> list[Path]:
        """What is read, in an order of its own."""
        ...


class Folder:
    """XML files in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self) -> list[str]:
        """Names of the XML files; those that a desktop hides are none."""
        return [file.name for file in self.files()]

    def read(self, name: str) -> bytes:
        """One file's bytes."""
        return (self._folder / name).read_bytes()

    def files(self) -> list[Path]:
        """The files by name."""
        return sorted(f for f in self._folder.glob("*.xml") if not f.name.startswith("."))


class Archive:
    """XML files in a compressed tar archive, which is unpacked in memory: 24 MB for all reports."""

    def __init__(self, file: Path) -> None:
        self._file = file

    @functools.cached_property
    def _members(self) -> dict[str, bytes]:
        found = {}
        try:
            with tarfile.open(self._file) as archive:
                for member in archive:
                    name = Path(member.name).name
                    content = archive.extractfile(member) if member.isfile() else None
                    if content and name.endswith(".xml") and not name.startswith("."):
                        found[name] = content.read()
        except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{self._file} is no whole tar archive: {error}") from error
        return found

    def names(self) -> list[str]:
        """Names of the XML files without their folder."""
        return list(self._members)

    def read(self, name: str) -> bytes:
        """One file's bytes."""
        return self._members[name]

    def files(self) -> list[Path]:
        """The archive."""
        return [self._file]


def open_reports(path: Path) -> Reports:
    """The reports of an archive, of a folder of XML files, or of a folder that has one of these.

    Raises:
      ValueError: there are none.
    """
    if path.is_file():
        found: Reports = Archive(path)
    elif (path / _FOLDER).is_dir():
        found = Folder(path / _FOLDER)
    elif (path / _ARCHIVE).is_file():
        found = Archive(path / _ARCHIVE)
    else:
        found = Folder(path)
    if not found.names():
        raise ValueError(
            f"source.path={path}: no reports of Open-I; give the folder that has {_FOLDER} or "
            f"{_ARCHIVE} in it, or the archive itself"
        )
    return found
