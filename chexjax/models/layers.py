"""Which rows of which stacked parameter are which layer of a model.

Layers are stacked in the way that they are scanned; everybody else, checkpoints and adapters,
numbers them from 0 to the depth of the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

_STACKS = {"body": (0, 1), "blocks": (0, 1), "even": (0, 2), "odd": (1, 2)}
"""Modules with a layer axis: number of their first layer, and step to the next."""
_LAST = "last"


class Place(NamedTuple):
    """One layer's part of a parameter.

    Attributes:
      name: Its path, with `layers/*` for the module that holds the stack.
      row: Its row of the layer axis; None where the parameter has none.
      number: Of the layer; 0 outside of any.
    """

    name: str
    row: int | None
    number: int


def places(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, list[Place]]:
    """The layers that each parameter holds, by its path.

    Args:
      shapes: Shapes of all parameters of a model by path.
    """
    return {path: _places(path, shapes) for path in shapes}


def _places(path: str, shapes: Mapping[str, tuple[int, ...]]) -> list[Place]:
    parts = path.split("/")
    for k, part in enumerate(parts):
        name = "/".join([*parts[:k], "layers", "*", *parts[k + 1 :]])
        if part in _STACKS:
            first, step = _STACKS[part]
            return [Place(name, row, first + step * row) for row in range(shapes[path][0])]
        if part == _LAST:
            body = "/".join([*parts[:k], "body", *parts[k + 1 :]])
            return [Place(name, None, shapes[body][0])]
    return [Place(path, None, 0)]
