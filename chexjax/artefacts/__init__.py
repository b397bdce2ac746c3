"""Artefacts: folders that stages hand on, sealed by a manifest that is written last."""

from __future__ import annotations

from chexjax.artefacts.artefact import Artefact, Draft, begin, identity, load
from chexjax.artefacts.files import write_atomic
from chexjax.artefacts.manifest import ArtefactError, Manifest

__all__ = [
    "Artefact",
    "ArtefactError",
    "Draft",
    "Manifest",
    "begin",
    "identity",
    "load",
    "write_atomic",
]
