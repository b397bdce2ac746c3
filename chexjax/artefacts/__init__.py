"""Artefacts: folders that stages hand on, sealed by a manifest that is written last."""

from __future__ import annotations

from chexjax.artefacts.artefact import Artefact, Draft, begin, identity, load
from chexjax.artefacts.files import write_atomic
from chexjax.artefacts.manifest import ArtefactError, Manifest
from chexjax.artefacts.share import ALONE, Share

__all__ = [
    "ALONE",
    "Artefact",
    "ArtefactError",
    "Draft",
    "Manifest",
    "Share",
    "begin",
    "identity",
    "load",
    "write_atomic",
]
