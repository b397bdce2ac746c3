"""The judges that are measured: ours and its peers, each in a process of its own.

A process imports nothing that its judge does not need, or it would count as the judge's memory.
"""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np

from chexjax.perf.bench import Step
from chexjax.perf.judge_work import Size, Work, Write

PEERS = ("hf", "llamacpp", "vllm")
"""Names of the peers."""


def peer_step(name: str, folder: Path, size: Size, work: Work) -> Step:
    """A peer's step; see `keep`."""
    module = importlib.import_module(f"chexjax.perf.peers.{name}_judge")
    return keep(module.make_writer(folder, size, work), answers_file(folder, name))


def keep(write: Write, file: Path) -> Step:
    """A step that writes all answers, and leaves them in a file."""
    return lambda _: np.save(file, write())


def answers_file(folder: Path, name: str) -> Path:
    """Where a judge's answers are left, `i32[requests, new]`."""
    return folder / f"{name}.npy"
