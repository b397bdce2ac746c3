"""How an engine batches requests."""

from __future__ import annotations

import dataclasses
from typing import Literal

from chexjax.config import local


@dataclasses.dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """How requests are batched.

    Attributes:
      slots: Rows that are decoded together, in each shape.
      lanes: Prompts that are read together, at least; as many more as make a multiple of the
        devices that share a batch.
      steps: Tokens of a row between two looks of the host.
      chunk: Tokens of a prompt that are read at once.
      bucket: Lengths are rounded up to a multiple of it, at least: the larger, the fewer programs
        are compiled, and the more is computed for nothing.
      room: Memory of prompts is rounded up to a multiple of it, at least: the larger, the more
        requests are decoded together, and the more keys are looked at for nothing.
      chunks: Chunks that are read before rows are written to again; few for an even flow of tokens,
        many for the most of them.
      memory: Bytes for keys and values; None for what requests need, and a little more.
      depth: Requests that may wait.
      kv: Keys and values in the model's compute dtype, or as int8.
      draft: Tokens that are drafted for each step, and kept where the model would have written
        them; 0 for none. What pays depends on how repetitive texts are, and on how many rows it
        takes to keep the machine busy.
      trust: A drafted token that is known to stand in every answer is written unless the model
        gives it less than this probability; 1 for none that it would not have written.
    """

    slots: int = local(32)
    lanes: int = local(1)
    steps: int = local(8)
    chunk: int = local(256)
    bucket: int = local(16)
    room: int = local(16)
    chunks: int = local(64)
    memory: int | None = local(None)
    depth: int = local(1024)
    kv: Literal["compute", "int8"] = "compute"
    draft: int = 0
    trust: float = 1.0

    def __post_init__(self) -> None:
        """Checks ranges."""
        for name in ("slots", "lanes", "steps", "bucket", "room", "chunks", "depth"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be 1 or more")
        if self.chunk < 1 or self.chunk % self.bucket:
            raise ValueError(f"chunk={self.chunk} must be a multiple of bucket={self.bucket}")
        if self.draft < 0:
            raise ValueError(f"draft={self.draft} must be 0 (off) or more")
        if not 0 < self.trust <= 1:
            raise ValueError(f"trust={self.trust} must be above 0 and at most 1")
        if self.kv not in ("compute", "int8"):
            raise ValueError(f"kv={self.kv!r} must be 'compute' or 'int8'")

    def on(self, ways: int) -> EngineConfig:
        """The same for so many devices that share a batch: each has as many lanes."""
        return dataclasses.replace(self, lanes=-(-self.lanes // ways) * ways)
