"""Which response tokens of a batch are real, as row indices for `ops.packing`.

The rows of a batch are cut into groups, one for each device and micro-batch, and each group's
real tokens are packed into the same number of rows. That number is part of the global plan, so all
processes run the same programs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from chexjax.data.batches import PADDING, Bucket, PlannedBatch


class Groups(NamedTuple):
    """How a global batch is cut.

    Attributes:
      size: Rows of a group.
      accumulate: Micro-batches; each takes every `accumulate`-th row, as the step does.
    """

    size: int
    accumulate: int = 1

    def cut(self, x: np.ndarray) -> np.ndarray:
        """`[B, *] -> [G, size, *]`, the groups of one device in the order of the micro-batches."""
        by_device = x.reshape(-1, self.size, self.accumulate, *x.shape[1:])
        return by_device.swapaxes(1, 2).reshape(-1, self.size, *x.shape[1:])


@dataclasses.dataclass(frozen=True)
class Packer:
    """Packs the responses of batches.

    Attributes:
      groups: How a batch is cut.
      parts: Name of each array of row indices, and which responses of the N axis it is about.
      capacity: Rows of a group in batches of each bucket, for each part.
    """

    groups: Groups
    parts: Mapping[str, slice]
    capacity: Mapping[Bucket, Mapping[str, int]]

    @classmethod
    def of(
        cls,
        batches: Iterable[PlannedBatch],
        lengths: np.ndarray,
        groups: Groups,
        parts: Mapping[str, slice],
        *,
        multiple: int = 32,
    ) -> Packer:
        """The packer that is large enough for certain batches.

        Args:
          batches: All that it will be asked for.
          lengths: Tokens of each response of each row, `i32[M, N]`.
          groups: How a batch is cut.
          parts: Name of each array of row indices, and which responses of the N axis it is about.
          multiple: Capacities are rounded up to it.
        """
        capacity: dict[Bucket, dict[str, int]] = {}
        for bucket, rows in batches:
            counts = np.where((rows != PADDING)[:, None], lengths[rows], 0)
            known = capacity.setdefault(bucket, dict.fromkeys(parts, 0))
            for name, which in parts.items():
                grid = groups.cut(counts[:, which])
                most, slots = int(grid.sum((1, 2)).max()), grid[0].size * bucket.response
                least = min(-(-most // multiple) * multiple, slots)
                known[name] = max(known[name], least)
        return cls(groups, parts, capacity)

    def total(self, part: str, batch: PlannedBatch) -> int:
        """Rows of all groups of a global batch, those that hold nothing included."""
        return len(batch.rows) // self.groups.size * self.capacity[batch.bucket][part]

    def __call__(self, mask: np.ndarray, bucket: Bucket) -> dict[str, np.ndarray]:
        """Slots of the real tokens `bool[B, N, R]` of each part, `i32[G, C]`; S for empty rows.

        A part that would not get smaller is left out: every slot is then a row.
        """
        packed = {}
        for name, which in self.parts.items():
            grid = self.groups.cut(mask[:, which])
            grid = grid.reshape(len(grid), -1)
            capacity = self.capacity[bucket][name]
            if capacity < grid.shape[1]:
                packed[name] = np.full((len(grid), capacity), grid.shape[1], np.int32)
                for row, real in zip(packed[name], grid, strict=True):
                    slots = np.flatnonzero(real)
                    row[: len(slots)] = slots
        return packed
