"""What devices tell each other in a compiled program: bytes, along which axes, how often.

A TPU's compiler runs a collective beside other work in two ways, both of which count as
asynchronous: in pieces within the kernels of that work, of which each names the whole, or, where a
matmul reads what is gathered or makes what is summed, as a ring of permutes around its parts. What
its slices sum up is a `send` to the host, which does the rest.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence

import numpy as np
from jax.sharding import Mesh

from chexjax.perf.planning.hlo import Executed, Instruction, Module

KINDS = ("all-gather", "reduce-scatter", "all-reduce", "collective-permute", "all-to-all")

_GROUPS = re.compile(r"replica_groups=(\{\{.*?\}\}|\[[\d,]+\]<=\[[\d,]+\](?:T\([\d,]+\))?)")
_ALONG = re.compile(r"replica_groups=mesh\[([^\]]*)\](?:, device_ids=\((.*?)\))? \{([^}]*)\}")
_PAIRS = re.compile(r"source_target_pairs=\{(\{.*?\})\}")
_BY_HOSTS = "xla_megascale_runtime"
_STARTS = 'custom_call_target="AsyncCollectiveStart"'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Collective:
    """Collectives of one kind over the same axes.

    Attributes:
      kind: As XLA calls it.
      axes: Axes of the mesh along which the devices of a group differ.
      size: Devices of a group.
      asynchronous: Whether the compiler lets other work run meanwhile.
      times: How often a step does it.
      moved: Bytes that each device sends for it in a step, by the best algorithm on a ring.
    """

    kind: str
    axes: tuple[str, ...]
    size: int
    asynchronous: bool
    times: int
    moved: float


def collectives(module: Module, mesh: Mesh) -> list[Collective]:
    """All collectives of a compiled program, those that are alike together; the dearest first."""
    totals: dict[tuple[str, tuple[str, ...], int, bool], tuple[int, float]] = {}
    for found in module.executed():
        one = found.one
        kind = one.opcode.removesuffix("-start")
        between = kind == "send" and _BY_HOSTS in one.rest
        if (kind not in KINDS and not between) or _is_piece(found, module):
            continue
        group = _between_slices(mesh) if between else _group(one.rest, mesh)
        hidden = between or found.fused or one.opcode.endswith("-start")
        key = (kind, _axes(group, mesh), len(group), hidden)
        count, moved = totals.get(key, (0, 0.0))
        sent = _sent(kind, _bytes(one), len(group))
        totals[key] = (count + found.times, moved + found.times * sent)
    alike = [
        Collective(kind=k, axes=axes, size=size, asynchronous=a, times=times, moved=moved)
        for (k, axes, size, a), (times, moved) in totals.items()
        if size > 1
    ]
    return sorted(alike, key=lambda one: -one.moved)


def _between_slices(mesh: Mesh) -> list[int]:
    """Place of the first device of each slice."""
    slices = [getattr(device, "slice_index", 0) or 0 for device in mesh.devices.flat]
    first: list[int] = np.unique(slices, return_index=True)[1].tolist()
    return first


def _is_piece(found: Executed, module: Module) -> bool:
    """Whether a kernel does a part of a collective that another kernel starts."""
    if not found.fused:
        return False
    return not any(_STARTS in one.rest for one in module.computations[found.inside])


def _group(rest: str, mesh: Mesh) -> list[int]:
    """Places of the devices of one group in the order of the mesh; all of them if none is named."""
    if pairs := _PAIRS.search(rest):
        sent = [_numbers(pair) for pair in re.findall(r"\{([\d,]+)\}", pairs[1])]
        return next((pair for pair in sent if pair[0] != pair[1]), sent[0])
    if along := _ALONG.search(rest):
        return _along(*along.groups())
    found = _GROUPS.search(rest)
    if found is None:
        return list(range(mesh.size))
    if found[1].startswith("{"):
        return [int(place) for place in found[1][2:].partition("}")[0].split(",") if place]
    shape, tiles = found[1].split("<=")
    first: list[int] = _counted(tiles).reshape(_numbers(shape.strip("[]")))[0].tolist()
    return first


def _along(shape: str, order: str | None, axes: str) -> list[int]:
    """The first device's group along axes of a mesh that XLA has made up for one collective."""
    sizes = {name: int(size) for name, size in re.findall(r"'(\w+)'=(\d+)", shape)}
    places = _counted(order) if order else np.arange(math.prod(sizes.values()))
    chosen = re.findall(r"'(\w+)'", axes)
    along = tuple(slice(None) if name in chosen else 0 for name in sizes)
    group: list[int] = places.reshape(tuple(sizes.values()))[along].reshape(-1).tolist()
    return group


def _counted(tiles: str) -> np.ndarray:
    """Numbers from 0 in the order that XLA writes as `[2,3]T(1,0)`, or one by one."""
    shape, *order = re.findall(r"[\[(]([\d,]+)[\])]", tiles)
    if "T" not in tiles and tiles.count(",") and not tiles.startswith("["):
        return np.asarray(_numbers(tiles))
    places = np.arange(math.prod(_numbers(shape))).reshape(_numbers(shape))
    return (places.transpose(_numbers(order[0])) if order else places).reshape(-1)


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def _axes(group: Sequence[int], mesh: Mesh) -> tuple[str, ...]:
    places = np.unravel_index(np.asarray(group), tuple(mesh.shape.values()))
    return tuple(a for a, at in zip(mesh.axis_names, places, strict=True) if len(set(at)) > 1)


def _bytes(one: Instruction) -> int:
    """Bytes of what a collective gives; operands and flags of a `-start` are left out."""
    sizes = [array.size for array in one.arrays if not (array.kind == "u32" and array.size == 4)]
    if one.opcode.endswith("-start") and one.opcode != "all-reduce-start":
        sizes = sizes[len(sizes) // 2 :] if len(sizes) % 2 == 0 else [max(sizes)]
    return sum(sizes)


def _sent(kind: str, given: int, size: int) -> float:
    share = (size - 1) / size
    if kind == "reduce-scatter":
        return given * size * share
    twice = {"all-reduce": 2 * share, "send": 2 * share, "collective-permute": 1.0}
    return twice.get(kind, share) * given
