"""The engine's programs over a model of shapes: compiled where they would run, and counted."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from flax import nnx
from jax.sharding import NamedSharding, PartitionSpec

from chexjax.engine.pools import token_bytes
from chexjax.engine.programs import Programs
from chexjax.families import TextFamily
from chexjax.mesh import batch_ways, parameter_shardings, path_name
from chexjax.models import LanguageModel, model_class
from chexjax.ops.linear import Turned
from chexjax.perf.planning.bulk import Planned, Program, parameters_read, planned, resident
from chexjax.perf.planning.topology import Topology

_REMEDY = "Use fewer slots, more of the mesh along tensor, or kv='int8'"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """Requests to an engine, all alike, in tokens.

    Attributes:
      preamble: What all of them begin with.
      shared: What the rows of one share behind it, visual tokens included.
      own: Prompt of each row alone; 0 where rows are drawn from one prompt.
      rows: Of a request.
      images: Of a request.
      limit: Most tokens that are written to a row.
      written: Tokens until the longest row of a request has ended, the mean of all.
    """

    preamble: int = 0
    shared: int
    own: int = 0
    rows: int
    images: int = 0
    limit: int
    written: float

    @property
    def prefix(self) -> int:
        """Tokens that rows share in memory; the last of a prompt is each row's first."""
        return self.shared - (not self.own)

    @property
    def read(self) -> int:
        """Prompt tokens of each row in memory."""
        return max(0, self.own - 1)


class Filled:
    """Keys and values that an engine's programs move on each device at the least, in bytes.

    What stands in memory is read once, what is new is written, and room that is empty is left.
    """

    def __init__(
        self, family: TextFamily, asked: Asked, place: Topology, lanes: int, groups: int, dtype: Any
    ) -> None:
        """Takes lanes over all devices, the groups of each, and the dtype of memory."""
        block, tensor = family.decoder.block, place.mesh.shape["tensor"]
        split = tensor if (block.kv // block.head) % tensor == 0 else 1
        self._token = token_bytes(family.decoder, dtype) / split
        self._passed = 1 - 1 / family.decoder.layers
        self._asked, self._lanes = asked, lanes // batch_ways(place.mesh)
        self._groups = self._lanes * groups

    def read_prefix(self, at: int, size: int) -> float:
        """Of a chunk of prefixes behind `at` tokens."""
        asked = self._asked
        return self._reading(
            asked.preamble + self._lanes * at, self._lanes * min(size, asked.prefix - at)
        )

    def read_rows(self, at: int, size: int) -> float:
        """Of a chunk of rows behind `at` tokens of theirs."""
        asked = self._asked
        return self._reading(
            asked.preamble + self._lanes * (asked.prefix + asked.rows * at),
            self._lanes * asked.rows * min(size, asked.read - at),
        )

    def _reading(self, seen: int, new: int) -> float:
        """The last layer makes keys and values, and nobody asks what it would see."""
        return self._token * (self._passed * seen + new)

    def write(self) -> float:
        """Of one step in the middle of an answer; its own token is written."""
        asked = self._asked
        rows = asked.rows * (asked.read + (asked.written + 1) / 2)
        return self._token * (asked.preamble + self._groups * (asked.prefix + rows))


@dataclasses.dataclass(kw_only=True)
class _Entry:
    """A program and what its runs so far move."""

    name: str
    planned: Planned
    parameters: int
    beside: int
    moved: float = 0.0
    times: int = 0


class Planner(Programs):
    """In place of an engine's programs: compiles what is asked, and hands memory back as it was."""

    def __init__(
        self,
        model: LanguageModel,
        family: TextFamily,
        place: Topology,
        filled: Filled,
        memory: Any,
    ) -> None:
        """Takes a model from `served`, and all the memory that lies on the devices."""
        super().__init__(model)
        self._family, self._place, self._filled = family, place, filled
        self._entries: dict[Any, _Entry] = {}
        self.resident = resident(self.params) + resident(memory)
        self.read_prefix = functools.partial(self._read, "read_prefix", 1, self.read_prefix)
        self.read_rows = functools.partial(self._read, "read_rows", 2, self.read_rows)
        self.write = functools.partial(self._write, self.write)

    def found(self, runs: Callable[[str, int], float]) -> tuple[Program, ...]:
        """The programs so far; `runs` of a name and the times it was asked for, for a request."""
        return tuple(
            Program(
                name=one.name,
                step=one.planned.step,
                moved=one.moved / one.times,
                runs=runs(one.name, one.times),
                beside=one.beside,
            )
            for one in self._entries.values()
        )

    def _read(self, name: str, memory: int, call: Any, *args: Any) -> Any:
        where, tokens = args[memory + 1 :]
        size = np.shape(getattr(tokens, "tokens", tokens))[-1]
        entry = self._entry(name, call, args, {})
        entry.times += 1
        entry.moved += entry.parameters + getattr(self._filled, name)(int(where.at[0]), size)
        return args[memory]

    def _write(self, call: Any, *args: Any, steps: int, **more: Any) -> tuple[Any, None]:
        entry = self._entry("write", call, args, {"steps": steps, **more})
        entry.times += 1
        entry.moved += steps * (entry.parameters + self._filled.write())
        return args[2], None

    def _entry(self, name: str, call: Any, args: Any, more: dict[str, Any]) -> _Entry:
        key = (name, *(np.shape(leaf) for leaf in jax.tree.leaves(args)))
        if key not in self._entries:
            self._entries[key] = self._compiled(name, call, args, more)
        return self._entries[key]

    def _compiled(self, name: str, call: Any, args: Any, more: dict[str, Any]) -> _Entry:
        with jax.set_mesh(self._place.mesh):
            traced = call.func.trace(*call.args, *args, **more)
        found = planned(traced, self._place, f"{name} of {self._family.name}", _REMEDY)
        leaves = jax.tree.leaves((self.params, args))
        given = [leaf for leaf, used in zip(leaves, found.used, strict=True) if used]
        placed = [leaf for leaf in given if isinstance(leaf, jax.ShapeDtypeStruct)]
        return _Entry(
            name=name,
            planned=found,
            parameters=parameters_read(
                self.params, found.used, self._family, logits=name == "write"
            ),
            beside=self.resident - resident(placed),
        )


def served(family: TextFamily, place: Topology, **options: Any) -> LanguageModel:
    """A model as it is served, of shapes that have the places of its parameters.

    Args:
      family: Of the model.
      place: Where it is put.
      options: Of the model.
    """
    kind: Any = model_class(family)
    model = nnx.eval_shape(lambda: kind(family, **options).unrolled())
    graph, shapes = nnx.split(model)
    turned = {
        "/".join(map(str, (*path, "kernel")))
        for path, module in nnx.iter_modules(model)
        if isinstance(module, Turned)
    }

    def straight(path: Any, x: Any) -> Any:
        """As the sharding table knows it."""
        return x.update(shape=x.shape[::-1]) if path_name(path) in turned else x

    def placed(path: Any, x: Any, found: NamedSharding) -> Any:
        spec = found.spec[::-1] if path_name(path) in turned else found.spec
        return x.update(sharding=NamedSharding(place.mesh, PartitionSpec(*spec)))

    each = jax.tree_util.tree_map_with_path
    places = parameter_shardings(each(straight, shapes), family.sharding, place.mesh)
    merged: LanguageModel = nnx.merge(graph, each(placed, shapes, places))
    return merged
