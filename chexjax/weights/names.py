"""Which stored tensor is which part of which parameter, from a family's name table."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping

import numpy as np

from chexjax.families import Names
from chexjax.models.layers import Place, places

_LEAVES = {"kernel": "weight", "scale": "weight", "embedding": "weight", "bias": "bias"}
_PARTS = ("query", "key", "value")

Index = tuple[slice, ...]


@dataclasses.dataclass(frozen=True)
class Slot:
    """One stored tensor's place, or that of a third of a packed one.

    Attributes:
      path: Our parameter.
      layer: Row of its layer axis; None where it has none.
      shape: Of the part that the tensor fills, our way round.
      key: The stored tensor.
      how: How it is stored: `linear` (transposed), `copy` or `patch` (a convolution).
      part: For a packed one, which of the three and in which order; None otherwise.
      heads: Heads of a packed one.
    """

    path: str
    layer: int | None
    shape: tuple[int, ...]
    key: str
    how: str
    part: tuple[int, str] | None = None
    heads: int = 1

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """Shape of the stored tensor."""
        if self.how == "patch":
            rows, width = self.shape
            # Gray or color: three times a square is no square.
            channels = 1 if math.isqrt(rows) ** 2 == rows else 3
            side = math.isqrt(rows // channels)
            return (width, channels, side, side)
        shape = self.shape[::-1] if self.how == "linear" else self.shape
        return shape if self.part is None else (3 * shape[0], *shape[1:])

    def ours(self, stored: np.ndarray, index: Index) -> np.ndarray:
        """The numbers at `index` of the part, reading no more of the stored tensor than those."""
        if self.how == "patch":
            return stored.transpose(2, 3, 1, 0).reshape(self.shape)[index]
        if self.part is not None:
            stored = self._unpacked(stored)
        if self.how == "linear":
            return stored[index[::-1]].T
        return stored[index]

    def theirs(self, ours: np.ndarray) -> np.ndarray:
        """A whole part as it is stored; thirds of packed ones are joined by `join`."""
        if self.how == "patch":
            width, channels, side, _ = self.stored_shape
            return ours.reshape(side, side, channels, width).transpose(3, 2, 0, 1)
        return ours.T if self.how == "linear" else ours

    def _unpacked(self, stored: np.ndarray) -> np.ndarray:
        assert self.part is not None
        which, order = self.part
        rest = stored.shape[1:]
        if order == "parts":
            return stored.reshape(3, -1, *rest)[which]
        return stored.reshape(self.heads, 3, -1, *rest)[:, which].reshape(-1, *rest)


def join(thirds: list[np.ndarray], order: str, heads: int) -> np.ndarray:
    """Query, key and value as one stored tensor."""
    if order == "parts":
        return np.concatenate(thirds)
    rest = thirds[0].shape[1:]
    return np.stack([t.reshape(heads, -1, *rest) for t in thirds], 1).reshape(-1, *rest)


def slots(names: Names, shapes: Mapping[str, tuple[int, ...]], heads: int = 1) -> list[Slot]:
    """The places of all stored tensors.

    Args:
      names: The family's table.
      shapes: Shapes of our parameters by path.
      heads: Attention heads, for projections that are packed head by head.

    Raises:
      ValueError: the table does not name a parameter.
    """
    table = _Table(names)
    found = []
    for path, layers in places(shapes).items():
        for logical, row, number in layers:
            shape = shapes[path] if row is None else shapes[path][1:]
            key, how, part = table.find(logical, number)
            found.append(Slot(path, row, shape, key, how, part, heads))
    return found


class _Table:
    """A family's table, looked up by our paths."""

    def __init__(self, names: Names) -> None:
        self._modules, self._tensors = dict(names.modules), dict(names.tensors)
        self._packed = {ours: (theirs, order) for ours, theirs, order in names.packed}

    def find(self, logical: str, layer: int) -> tuple[str, str, tuple[int, str] | None]:
        """Key, how it is stored, and which third of a packed one."""
        if logical in self._tensors:
            return self._tensors[logical].replace("*", str(layer)), "copy", None
        module, leaf = logical.rsplit("/", 1)
        how = "linear" if leaf == "kernel" else "copy"
        if module.endswith("/patch") and how == "linear":
            how = "patch"
        part = None
        theirs = self._modules.get(module)
        above, _, name = module.rpartition("/")
        if theirs is None and above in self._packed and name in _PARTS:
            theirs, order = self._packed[above]
            part = (_PARTS.index(name), order)
        if theirs is None or leaf not in _LEAVES:
            raise ValueError(f"the family's name table has no entry for {logical}")
        joint = "" if theirs.endswith("_") else "."
        return f"{theirs.replace('*', str(layer))}{joint}{_LEAVES[leaf]}", how, part


def module_of(names: Names, place: Place) -> str:
    """What a checkpoint calls the linear layer at `place`.

    Raises:
      ValueError: it stores the layer's kernel in any other way than as one matrix of its own.
    """
    key, how, part = _Table(names).find(f"{place.name}/kernel", place.number)
    if how != "linear" or part is not None:
        raise ValueError(f"{key} is not stored as the one matrix of a linear layer")
    return key.removesuffix(".weight")


def is_unused(names: Names, key: str) -> bool:
    """Whether a stored tensor is known to hold nothing that the model needs."""
    return key in dict(names.unused) or any(re.search(p, key) for p in names.buffers)
