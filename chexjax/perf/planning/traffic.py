"""Bytes that a compiled program moves between a device's main memory and its cores.

Each kernel reads what it takes and writes what it makes once, as its program says; what a matmul
reads again because a tile of it does not stay on the chip is not counted, so this is the least.
Arrays that a TPU's compiler keeps in the chip's own memory cost nothing.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator

from chexjax.perf.planning.collectives import KINDS
from chexjax.perf.planning.hlo import Executed, Instruction, Module

_NOTHING = {
    "parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while", "conditional",
    "call", "after-all", "partition-id", "replica-id", "opt-barrier", "domain",
}  # fmt: skip
_PASSED_ON = ('"AllocateBuffer"', '"ConcatBitcast"')
_WAITS = 'custom_call_target="AsyncCollectiveDone"'
_UPDATES = ("dynamic-update-slice", "scatter")
_MULTIPLIES = ("dot", "convolution")
_KERNELS = ('"tpu_custom_call"', '"__cublas', '"__cudnn')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Traffic:
    """Bytes of a program on each device.

    Attributes:
      matmuls: Of kernels that multiply, and of copies that run beside others: time in which the
        cores can be busy.
      rest: Of all others, which compute next to nothing.
    """

    matmuls: float
    rest: float

    @property
    def total(self) -> float:
        """All of them."""
        return self.matmuls + self.rest


def traffic(module: Module) -> Traffic:
    """Counts a program's bytes, loops as often as they run."""
    reader = _Reader(module)
    matmuls = rest = 0.0
    for found in module.executed():
        if found.fused or found.one.opcode in _NOTHING or found.one.opcode.endswith("-done"):
            continue
        if any(mark in found.one.rest for mark in _PASSED_ON) or reader.ends(found.one):
            continue
        moved = found.times * reader.moved(found)
        if found.one.opcode.endswith("-start") or reader.multiplies(found.one):
            matmuls += moved
        else:
            rest += moved
    return Traffic(matmuls=matmuls, rest=rest)


class _Reader:
    """What kernels read and write, with what was found out about each computation."""

    def __init__(self, module: Module) -> None:
        self._module = module
        self._named = functools.cache(module.named)
        self._taken = functools.cache(self._taken_of)

    def moved(self, found: Executed) -> float:
        """Bytes that one run of an instruction reads and writes."""
        around = self._named(found.inside)
        read = sum(
            self._read(found.one, place, around[name])
            for place, name in enumerate(found.one.operands)
            if name in around
        )
        return read + self._written(found.one)

    def multiplies(self, one: Instruction) -> bool:
        """Whether a kernel holds a matmul."""
        if one.opcode in _MULTIPLIES or any(mark in one.rest for mark in _KERNELS):
            return True
        inner = (self._module.computations.get(name, ()) for name in one.called)
        return any(self.multiplies(each) for lines in inner for each in lines)

    def ends(self, one: Instruction) -> bool:
        """Whether a kernel waits for a collective whose result is counted where it starts."""
        inner = self._module.computations.get(one.called[0], ()) if one.called else ()
        return any(_WAITS in line.rest for line in inner)

    def _read(self, one: Instruction, place: int, operand: Instruction) -> float:
        whole = _main(operand)
        if one.opcode in ("dynamic-slice", "gather"):
            return min(whole, _main(one)) if place == 0 else whole
        if one.opcode in _UPDATES:
            return 0.0 if place == 0 else whole
        if one.opcode != "fusion" or not one.called or not whole:
            return whole
        return min(whole, self._taken(one.called[0], place))

    def _taken_of(self, computation: str, place: int) -> float:
        """Bytes that a kernel takes of an operand: of a slice no more than the slice."""
        lines = self._module.computations.get(computation, ())
        mark = f"{place})"
        given = next(x for x in lines if x.opcode == "parameter" and x.rest.startswith(mark))
        return self._used(computation, given, given)

    def _used(self, computation: str, given: Instruction, at: Instruction) -> float:
        whole, taken = _size(given), 0.0
        for user in self._users(computation, at.name):
            place = user.operands.index(at.name)
            if user.opcode == "bitcast":
                taken += self._used(computation, given, user)
            elif user.opcode in ("dynamic-slice", "gather") and place == 0:
                taken += _size(user)
            elif user.opcode == "fusion" and user.called:
                taken += self._taken(user.called[0], place)
            elif user.opcode in _UPDATES and place == 0:
                continue  # in place
            elif user.opcode not in ("tuple", *KINDS):  # those of a collective under way pass by
                return whole
        return min(whole, taken)

    def _users(self, computation: str, name: str) -> Iterator[Instruction]:
        for one in self._named(computation).values():
            if name in one.operands:
                yield one

    def _written(self, one: Instruction) -> float:
        if one.opcode == "fusion" and one.called:
            return min(_main(one), self._made(one.called[0]))
        return _main(one)

    def _made(self, computation: str) -> float:
        """Bytes of a kernel's results; of one that is updated in place, those of the update."""
        by_name = self._named(computation)
        root = next(one for one in by_name.values() if one.root)
        parts = [by_name[name] for name in root.operands] if root.opcode == "tuple" else [root]
        return sum(self._put(part, by_name) for part in parts)

    def _put(self, part: Instruction, by_name: dict[str, Instruction]) -> float:
        if part.opcode == "bitcast" and part.operands[0] in by_name:
            return self._put(by_name[part.operands[0]], by_name)
        if part.opcode == "parameter" or part.opcode in KINDS:
            return 0.0
        if part.opcode == "dynamic-update-slice":
            return _size(by_name[part.operands[1]])
        return _size(part)


def _size(one: Instruction) -> float:
    return float(sum(array.size for array in one.arrays))


def _main(one: Instruction) -> float:
    """Bytes of a result that lie in main memory; of `-start`s those that are made, once."""
    sizes = [array.size for array in one.arrays if array.main]
    if one.opcode.endswith("-start") and len(one.arrays) > 1:
        sizes = [array.size for array in one.arrays[len(one.arrays) // 2 :] if array.main]
    return float(sum(sizes))
