"""Artefacts: what a stage hands on, a folder whose `manifest.json` is written last.

A folder without a manifest is not an artefact. The manifest says what the content was made of
(config and inputs, hashed into one identity) and what every file must be (size and SHA-256), so
that a stage can refuse what is foreign or damaged before it spends any compute on it. While a
stage is at work its folder is a `Draft`; what it notes for itself lives in `draft/` and is gone
when it finishes.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chexjax.artefacts import manifest as manifests
from chexjax.artefacts import staged
from chexjax.artefacts.files import write_atomic
from chexjax.artefacts.manifest import (
    DRAFT_NOTE,
    SCHEMA,
    SCRATCH,
    ArtefactError,
    Manifest,
    explained,
    plain,
)
from chexjax.artefacts.share import ALONE, Share

if TYPE_CHECKING:
    from chexjax.rows import Rows


@dataclasses.dataclass(frozen=True)
class Artefact:
    """A finished folder and its manifest."""

    path: Path
    manifest: Manifest

    @property
    def identity(self) -> str:
        """Hash of what the content was made of."""
        return self.manifest.identity

    @property
    def statistics(self) -> dict[str, Any]:
        """The statistics in the manifest."""
        return self.manifest.statistics

    def rows(self) -> Rows:
        """The rows, read lazily."""
        from chexjax.rows import Rows  # not at the top: rows.py builds on this module

        shards = sorted(name for name in self.manifest.files if name.endswith(".arrayrecord"))
        return Rows([self.path / name for name in shards])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Draft:
    """A folder that a stage is filling; made by `begin`, turned into an artefact by `finish`."""

    path: Path
    kind: str
    identity: str
    content: dict[str, Any]
    inputs: dict[str, str]
    config: dict[str, Any]
    share: Share = ALONE

    @property
    def scratch(self) -> Path:
        """Folder for notes that outlive a kill but are no part of the artefact."""
        return self.path / SCRATCH

    def finish(
        self, *, rows: int = 0, rejects: int = 0, statistics: Mapping[str, Any] | None = None
    ) -> Artefact:
        """Seals the folder: hashes every file, writes the manifest, drops the notes.

        Of several processes the first does so, and the others wait for it.

        Args:
          rows: Number of rows written.
          rejects: Number of rows rejected.
          statistics: JSON values; numpy scalars are converted, non-finite numbers become null.

        Raises:
          ArtefactError: if a file is still being written (`*.tmp`) or the folder is not writable.
        """
        if not self.share.first:
            return self.sealed()
        staged.push(self.path)  # whoever is killed from here on leaves a whole draft
        with explained(self.path, "write"):
            manifest = Manifest(
                kind=self.kind,
                schema=SCHEMA,
                identity=self.identity,
                content=self.content,
                inputs=self.inputs,
                config=self.config,
                rows=rows,
                rejects=rejects,
                statistics=plain(statistics or {}),
                files={name: manifests.fingerprint(self.path / name) for name in self._files()},
                versions=manifests.versions(),
            )
            write_atomic(self.path / manifests.NAME, manifest.to_json())
            if self.share == ALONE:  # else others may be reading the notes: see `begin`
                shutil.rmtree(self.scratch)
        staged.push(self.path)
        return Artefact(self.path, manifest)

    def sealed(self) -> Artefact:
        """The artefact, as soon as the first of several processes has finished it.

        Raises:
          ArtefactError: it is damaged.
        """
        there = (self.path / manifests.NAME).exists
        self.share.wait(there, f"{self.path} to be finished", folder=self.path)
        return load(self.path, self.kind, expected=self.identity, content=self.content)

    def drop_notes(self) -> None:
        """Deletes the notes of a finished artefact that no other process is reading any more."""
        if self.share.first:
            shutil.rmtree(self.scratch, ignore_errors=True)

    def drop_leftovers(self) -> None:
        """Deletes what killed writers have left; no process may be writing here."""
        for leftover in self.path.rglob("*.tmp"):
            if leftover.is_file():
                leftover.unlink()

    def _files(self) -> list[str]:
        """Paths within the folder of all that belongs to the artefact, sorted."""
        files = (file.relative_to(self.path) for file in self.path.rglob("*") if file.is_file())
        names = sorted(file.as_posix() for file in files if file.parts[0] != SCRATCH)
        for name in names:
            if name.endswith(".tmp"):
                raise ArtefactError(
                    f"{self.path / name} is still being written or was left by a killed writer: "
                    "close its writer before finishing, or run the stage again"
                )
        return names


def identity(kind: str, content: Mapping[str, Any], inputs: Mapping[str, Artefact]) -> str:
    """Hash of what an artefact is made of.

    It is taken over the config and the inputs' identities, never over results: floats differ in
    their last bits between meshes, and a run must be able to move between them.
    """
    return manifests.identify(kind, plain(content), _identities(inputs))


def load(
    path: Path | str,
    kind: str,
    *,
    expected: str | None = None,
    content: Mapping[str, Any] | None = None,
) -> Artefact:
    """Opens a finished artefact and checks every file of it.

    Args:
      path: The folder.
      kind: Kind that the caller needs.
      expected: Identity that the caller needs, see `identity`.
      content: Config fields behind `expected`, so that a refusal can say which of them differ.

    Raises:
      ArtefactError: if it is missing, unfinished, of another kind or identity, or damaged.
    """
    path = Path(path)
    with explained(path, "read"):
        manifest = manifests.read(path)
        if manifest is None:
            raise ArtefactError(_why_missing(path, kind))
        if manifest.kind != kind:
            raise ArtefactError(
                f"{path} holds {manifest.kind}, not {kind}: give the folder of a {kind} artefact"
            )
        if expected is not None and manifest.identity != expected:
            asked = manifest.content if content is None else plain(content)
            raise manifests.foreign(path, manifests.differences(manifest.content, asked))
        manifest.check(path)
    return Artefact(path, manifest)


def begin(
    path: Path | str,
    kind: str,
    *,
    content: Mapping[str, Any],
    config: Mapping[str, Any],
    inputs: Mapping[str, Artefact],
    share: Share = ALONE,
) -> Draft | Artefact:
    """Starts, or carries on with, the artefact in the folder `path`.

    Args:
      path: The folder; made, with its parents, if it is not there.
      kind: What it will hold.
      content: Config fields that decide the content (`chexjax.config.content`), JSON values.
      config: The whole resolved config, JSON values; kept for the reader, not hashed.
      inputs: Name -> artefact that it is made from.
      share: Which of several processes this is. All but the first wait until that one has begun.

    Returns:
      The finished artefact if it is there, sound and made of the same; else a draft, with what an
      earlier attempt had committed still in it.

    Raises:
      ArtefactError: if the folder belongs to another config or other inputs, holds something
        else, is damaged, or cannot be written.
    """
    path = Path(path)
    draft = Draft(
        path=path,
        kind=kind,
        identity=identity(kind, content, inputs),
        content=plain(content),
        inputs=_identities(inputs),
        config=plain(config),
        share=share,
    )
    if not share.first:
        seen = (path / manifests.NAME, draft.scratch / DRAFT_NOTE)
        share.wait(lambda: any(one.exists() for one in seen), f"{path} to be begun", folder=path)
    staged.fetch(path)
    with explained(path, "write"):
        path.mkdir(parents=True, exist_ok=True)
        found = _finished(draft)
        if found is None:
            _open_draft(draft)
    if found is not None:
        staged.push(path)  # it may have been killed before all of it was
        return found
    staged.tend(path)
    return draft


def _finished(draft: Draft) -> Artefact | None:
    """The artefact that the draft's folder holds already, checked; None where there is none."""
    manifest = manifests.read(draft.path)
    if manifest is None:
        return None
    _require_same(draft, dataclasses.asdict(manifest))
    manifest.check(draft.path)
    if draft.share.first:  # left by one that was killed here, or for other processes to read
        shutil.rmtree(draft.scratch, ignore_errors=True)
    return Artefact(draft.path, manifest)


def _identities(inputs: Mapping[str, Artefact]) -> dict[str, str]:
    return {name: artefact.identity for name, artefact in inputs.items()}


def _open_draft(draft: Draft) -> None:
    """Makes the draft's folder, or takes over the one that a killed attempt left."""
    note = draft.scratch / DRAFT_NOTE
    if note.exists():
        _require_same(draft, manifests.read_json(draft.path, note))
    elif any(entry.name != SCRATCH for entry in draft.path.iterdir()):
        raise ArtefactError(
            f"{draft.path} is not empty and no stage wrote it: choose another --workdir, or "
            "delete the folder if nothing in it is needed"
        )
    if draft.share == ALONE:  # else another process may be writing
        draft.drop_leftovers()
    if not note.exists():
        draft.scratch.mkdir(exist_ok=True)
        made_of = {"kind": draft.kind, "content": draft.content, "inputs": draft.inputs}
        write_atomic(note, json.dumps({"schema": SCHEMA, **made_of}))


def _require_same(draft: Draft, found: dict[str, Any]) -> None:
    """Raises unless `found` (a manifest or a draft's note) is made of the same as `draft`."""
    asked = {"kind": draft.kind, "schema": SCHEMA}
    lines = manifests.differences({name: found.get(name) for name in asked}, asked)
    lines += manifests.differences(found.get("content", {}), draft.content)
    lines += manifests.differences(found.get("inputs", {}), draft.inputs, "input ")
    if lines:
        raise manifests.foreign(draft.path, lines)


def _why_missing(path: Path, kind: str) -> str:
    if not path.exists():
        return f"there is no {kind} artefact at {path}: run the stage that writes it first"
    if (path / SCRATCH / DRAFT_NOTE).exists():
        return f"{path} is not finished: run the stage that writes it again, it carries on"
    return (
        f"{path} has no {manifests.NAME}, so it is not an artefact: give the folder of a {kind} one"
    )
