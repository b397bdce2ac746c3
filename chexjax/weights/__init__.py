"""Checkpoints of the field, to and from sharded arrays, by the family's name table."""

from __future__ import annotations

from chexjax.weights.adapter import load_adapter, save_adapter
from chexjax.weights.gguf import read_gguf
from chexjax.weights.load import check_model, checkpoint_files, load, load_model, place_model
from chexjax.weights.save import save
from chexjax.weights.store import Checkpoint, CheckpointError, Store
from chexjax.weights.torch_file import open_checkpoint

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "Store",
    "check_model",
    "checkpoint_files",
    "load",
    "load_adapter",
    "load_model",
    "open_checkpoint",
    "place_model",
    "read_gguf",
    "save",
    "save_adapter",
]
