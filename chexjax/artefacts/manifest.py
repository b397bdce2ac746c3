"""The manifest of an artefact: what it is made of, what its files must be, and how to check both.

A refusal says which file or which config field is not as expected, and what to do about it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import json
import math
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from chexjax.artefacts import staged
from chexjax.artefacts.files import sha256
from chexjax.config import digest

SCHEMA = 1
"""Version of the folder's layout; an artefact of another version is refused."""

NAME = "manifest.json"
"""The file that makes a folder an artefact."""

SCRATCH = "draft"
"""Folder in a draft's folder for what outlives a kill and is no part of the artefact."""

DRAFT_NOTE = "draft.json"
"""The file in there that says what the draft is made of."""

_MOST_DIFFERENCES = 8
_ABSENT = "nothing"


class ArtefactError(RuntimeError):
    """An artefact that cannot be used or written; the message names the file and the remedy."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manifest:
    """What `manifest.json` says.

    Attributes:
      kind: What the folder holds, for example `studies`.
      schema: Version of the layout, see `SCHEMA`.
      identity: Hash of kind, schema, content and inputs.
      content: Config fields that decide the content.
      inputs: Name of each input -> its identity.
      config: The whole resolved config of the run.
      rows: Number of rows, 0 where there are none.
      rejects: Number of lines in `rejects.jsonl`.
      statistics: Whatever the stage wants to tell (JSON values).
      files: Path within the folder -> `{"bytes": int, "sha256": str}`.
      versions: Name -> version of the software that wrote it.
    """

    kind: str
    schema: int
    identity: str
    content: dict[str, Any]
    inputs: dict[str, str]
    config: dict[str, Any]
    rows: int
    rejects: int
    statistics: dict[str, Any]
    files: dict[str, dict[str, Any]]
    versions: dict[str, str]

    def to_json(self) -> str:
        """The text of the file."""
        return json.dumps(dataclasses.asdict(self), indent=2, sort_keys=True) + "\n"

    def check(self, folder: Path) -> None:
        """Raises ArtefactError if any file in `folder` is not what the manifest says."""
        if identify(self.kind, self.content, self.inputs) != self.identity:
            raise damaged(folder, folder / NAME, "it was edited, its identity is not its own")
        for name, expected in self.files.items():
            file = folder / name
            if not file.is_file():
                raise damaged(folder, file, "it is missing")
            size = file.stat().st_size
            if size != expected["bytes"]:
                raise damaged(folder, file, f"it has {size} bytes, expected {expected['bytes']}")
            if sha256(file) != expected["sha256"]:
                found, wanted = _brief(sha256(file)), _brief(expected["sha256"])
                raise damaged(folder, file, f"its SHA-256 is {found}, expected {wanted}")


def identify(kind: str, content: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
    """Hash of what an artefact is made of; `inputs` are identities too."""
    return digest({"kind": kind, "schema": SCHEMA, "content": content, "inputs": inputs})


def read(folder: Path) -> Manifest | None:
    """The manifest of a folder, or None if there is none."""
    staged.fetch(folder)
    file = folder / NAME
    if not file.exists():
        return None
    values = read_json(folder, file)
    schema = values.get("schema")
    if schema != SCHEMA:
        raise damaged(folder, file, f"its schema is {schema}, this version reads {SCHEMA}")
    try:
        return Manifest(**values)
    except TypeError as error:
        raise damaged(folder, file, str(error)) from error


def read_json(folder: Path, file: Path) -> dict[str, Any]:
    """A JSON object, from a file of the artefact in `folder`."""
    try:
        values = json.loads(file.read_bytes())
    except ValueError as error:
        raise damaged(folder, file, str(error)) from error
    return values if isinstance(values, dict) else {}


def fingerprint(file: Path) -> dict[str, Any]:
    """What a manifest keeps of a file."""
    return {"bytes": file.stat().st_size, "sha256": sha256(file)}


def versions() -> dict[str, str]:
    """Versions of the software that matters to the content."""
    found = {"python": platform.python_version()}
    for name in ("chexjax", "jax", "jaxlib", "flax", "numpy"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def plain(value: Any) -> Any:
    """`value` as it will read back from JSON: tuples as lists, non-finite numbers as None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def differences(there: Any, asked: Any, name: str = "") -> list[str]:
    """Says where two JSON values differ, a line for each dotted field below `name`."""
    if there == asked:
        return []
    if isinstance(there, dict) and isinstance(asked, dict):
        below = f"{name}." if name and not name.endswith(" ") else name
        keys = [*asked, *(key for key in there if key not in asked)]
        return [
            line
            for key in keys
            for line in differences(there.get(key, _ABSENT), asked.get(key, _ABSENT), below + key)
        ]
    return [f"{name}: there {_brief(there)}, asked {_brief(asked)}"]


def foreign(folder: Path, lines: list[str]) -> ArtefactError:
    """The refusal of a folder that differs, by `differences`, from what was asked for."""
    shown = lines[:_MOST_DIFFERENCES] or ["its inputs were made by another config"]
    if len(lines) > len(shown):
        shown.append(f"and {len(lines) - len(shown)} more")
    return ArtefactError(
        "\n  ".join([f"{folder} was made by another config or from other inputs:", *shown])
        + "\ngive the config that made it or another --workdir, or delete the folder and run its "
        "stage again"
    )


def damaged(folder: Path, file: Path, why: str) -> ArtefactError:
    """The refusal of a folder because of one of its files."""
    return ArtefactError(
        f"{file} cannot be used: {why}; delete the folder {folder} and run its stage again"
    )


@contextlib.contextmanager
def explained(folder: Path, verb: str) -> Iterator[None]:
    """Turns an error of the file system under `folder` into one that says what to do."""
    try:
        yield
    except OSError as error:
        raise ArtefactError(
            f"cannot {verb} {error.filename or folder}: {error.strerror or error}; give a "
            f"--workdir that you can {verb}, with space left on its disk"
        ) from error


def _brief(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 48 else text[:12] + "..."
