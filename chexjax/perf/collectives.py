"""What devices tell each other in a compiled program: bytes, along which axes, how often.

Read from the text of its HLO module. An instruction in a loop counts as often as the loop runs,
where the compiler has written down how often that is.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jax.sharding import Mesh

KINDS = ("all-gather", "reduce-scatter", "all-reduce", "collective-permute", "all-to-all")

_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.-]+) (?:\([^)]*|.*)->.*\{\s*$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?[\w.-]+ = (\(.*?\)|\S+) ([a-z][\w-]*)\((.*)$")
_CALLED = re.compile(r"(?:calls|to_apply|body|true_computation|false_computation)=%?([\w.-]+)")
_BRANCHES = re.compile(r"(?:branch_computations|called_computations)=\{([^}]*)\}")
_TRIPS = re.compile(r'known_trip_count":\{"n":"(\d+)"')
_GROUPS = re.compile(r"replica_groups=(\{\{.*?\}\}|\[[\d,]+\]<=\[[\d,]+\](?:T\([\d,]+\))?)")
_PAIRS = re.compile(r"source_target_pairs=\{(\{.*?\})\}")
_ARRAY = re.compile(r"\b(pred|[a-z]+\d+(?:e\d+m\d+\w*)?)\[([\d,]*)\]")


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


def collectives(text: str, mesh: Mesh) -> list[Collective]:
    """All collectives of a compiled program, those that are alike together; the dearest first."""
    computations = _computations(text)
    totals: dict[tuple[str, tuple[str, ...], int, bool], tuple[int, float]] = {}
    for times, result, name, rest in _executed(computations, _entry(text)):
        kind = name.removesuffix("-start")
        if kind not in KINDS:
            continue
        group = _group(rest, mesh)
        key = (kind, _axes(group, mesh), len(group), name.endswith("-start"))
        count, moved = totals.get(key, (0, 0.0))
        sent = _sent(kind, _bytes(result, name), len(group))
        totals[key] = (count + times, moved + times * sent)
    found = [
        Collective(kind=k, axes=axes, size=size, asynchronous=a, times=times, moved=moved)
        for (k, axes, size, a), (times, moved) in totals.items()
        if size > 1
    ]
    return sorted(found, key=lambda one: -one.moved)


Instruction = tuple[str, str, str]
"""Type of the result, opcode, and the rest of the line."""


def _computations(text: str) -> dict[str, list[Instruction]]:
    found: dict[str, list[Instruction]] = {}
    inside: list[Instruction] = []
    for line in text.splitlines():
        if line[:1] not in ("", " ", "}") and (name := _COMPUTATION.match(line)):
            inside = found.setdefault(name[1], [])
        elif one := _INSTRUCTION.match(line):
            inside.append((one[1], one[2], one[3]))
    return found


def _entry(text: str) -> str:
    found = re.search(r"^ENTRY %?([\w.-]+)", text, re.MULTILINE)
    if found is None:
        raise ValueError("this is no text of an HLO module: it has no ENTRY")
    return found[1]


def _executed(
    computations: Mapping[str, Sequence[Instruction]], name: str, times: int = 1
) -> Iterator[tuple[int, str, str, str]]:
    """Every instruction that a computation comes to, and how often."""
    for result, opcode, rest in computations[name]:
        yield times, result, opcode, rest
        trips = _TRIPS.search(rest) if opcode == "while" else None
        called = _CALLED.findall(rest)
        for branches in _BRANCHES.findall(rest):
            called += [one.strip().lstrip("%") for one in branches.split(",")]
        for inner in called:
            if inner in computations:
                yield from _executed(computations, inner, times * (int(trips[1]) if trips else 1))


def _group(rest: str, mesh: Mesh) -> list[int]:
    """Places of the devices of one group in the order of the mesh; all of them if none is named."""
    if pairs := _PAIRS.search(rest):
        return [int(place) for place in re.findall(r"\d+", pairs[1])[:2]]
    found = _GROUPS.search(rest)
    if found is None:
        return list(range(mesh.size))
    if found[1].startswith("{"):
        return [int(place) for place in found[1][2:].partition("}")[0].split(",") if place]
    shape, tiles, *order = re.findall(r"[\[(]([\d,]+)[\])]", found[1])
    places = np.arange(math.prod(_numbers(tiles))).reshape(_numbers(tiles))
    if order:
        places = places.transpose(_numbers(order[0]))
    first: list[int] = places.reshape(_numbers(shape))[0].tolist()
    return first


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def _axes(group: Sequence[int], mesh: Mesh) -> tuple[str, ...]:
    places = np.unravel_index(np.asarray(group), tuple(mesh.shape.values()))
    return tuple(a for a, at in zip(mesh.axis_names, places, strict=True) if len(set(at)) > 1)


def _bytes(result: str, name: str) -> int:
    """Bytes of what a collective gives; operands and flags of a `-start` are left out."""
    arrays = [(kind, shape) for kind, shape in _ARRAY.findall(result) if shape or kind != "u32"]
    sizes = [_width(kind) * math.prod(_numbers(shape) if shape else []) for kind, shape in arrays]
    if name.endswith("-start") and name != "all-reduce-start":
        sizes = sizes[len(sizes) // 2 :] if len(sizes) % 2 == 0 else [max(sizes)]
    return sum(sizes)


def _width(kind: str) -> int:
    bits = re.search(r"\d+", kind)
    return max(1, int(bits[0]) // 8) if bits else 1


def _sent(kind: str, given: int, size: int) -> float:
    share = (size - 1) / size
    if kind == "reduce-scatter":
        return given * size * share
    return {"all-reduce": 2 * share, "collective-permute": 1.0}.get(kind, share) * given
