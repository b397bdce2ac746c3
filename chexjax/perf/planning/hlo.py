"""A compiled program's instructions, how often each is executed, and the arrays they make.

Read from the text of its HLO module, which compilers for CPUs, GPUs and TPUs write alike but for
details that are said where they are met.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Iterator, Mapping, Sequence

_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.-]+) (?:\([^)]*|.*)->.*\{\s*$")
_INSTRUCTION = re.compile(
    r"^\s+(ROOT )?%?([\w.-]+) = (\((?:[^()]|\([^()]*\))*\)|\S+) ([a-z][\w-]*)\((.*)$"
)
_CALLED = re.compile(r"(?:calls|to_apply|body|true_computation|false_computation)=%?([\w.-]+)")
_BRANCHES = re.compile(r"(?:branch_computations|called_computations)=\{([^}]*)\}")
_CONDITION = re.compile(r"condition=%?([\w.-]+)")
_BODY = re.compile(r"body=%?([\w.-]+)")
_TRIPS = re.compile(r'known_trip_count":\{"n":"(\d+)"')
_OPERAND = re.compile(r"%([\w.-]+)")
_INDEX = re.compile(r"index=(\d+)")
_NUMBER = re.compile(r"^(\d+)\)")
_ARRAY = re.compile(r"\b(pred|[a-z]+\d+(?:e\d+m\d+\w*)?)\[([\d,]*)\](\{[^}]*\})?")
_ELSEWHERE = re.compile(r"S\([1-9]\d*\)")

Computations = Mapping[str, Sequence["Instruction"]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Array:
    """An array of a type.

    Attributes:
      kind: Element type, as XLA calls it.
      size: Bytes.
      main: Whether it lies in the device's main memory: TPUs keep some in the chip's own.
    """

    kind: str
    size: int
    main: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Instruction:
    """One line of a computation.

    Attributes:
      name: Without `%`.
      type: Of the result.
      opcode: As XLA calls it.
      rest: What stands behind the opcode: operands and attributes.
      root: Whether it is the result of its computation.
    """

    name: str
    type: str
    opcode: str
    rest: str
    root: bool

    @functools.cached_property
    def operands(self) -> list[str]:
        """Names of what it takes."""
        depth, end = 1, len(self.rest)
        for at, sign in enumerate(self.rest):
            depth += {"(": 1, ")": -1}.get(sign, 0)
            if not depth:
                end = at
                break
        return _OPERAND.findall(self.rest[:end])

    @functools.cached_property
    def called(self) -> list[str]:
        """Computations that it runs; a loop's condition is left out."""
        names = _CALLED.findall(self.rest)
        for branches in _BRANCHES.findall(self.rest):
            names += [one.strip().lstrip("%") for one in branches.split(",")]
        return names

    @functools.cached_property
    def arrays(self) -> list[Array]:
        """What it makes."""
        return [
            Array(kind=kind, size=_size(kind, shape), main=not _ELSEWHERE.search(layout or ""))
            for kind, shape, layout in _ARRAY.findall(self.type)
        ]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Executed:
    """An instruction, and how often it runs.

    Attributes:
      times: Over the whole program.
      inside: Name of the computation that it stands in.
      fused: Whether that is part of one kernel.
      one: The instruction.
    """

    times: int
    inside: str
    fused: bool
    one: Instruction


class Module:
    """The text of a program, taken apart."""

    def __init__(self, text: str) -> None:
        """Reads the text.

        Raises:
          ValueError: it is none of an HLO module.
        """
        entry = re.search(r"^ENTRY %?([\w.-]+)", text, re.MULTILINE)
        if entry is None:
            raise ValueError("this is no text of an HLO module: it has no ENTRY")
        self.computations = _computations(text)
        self._entry = entry[1]

    def executed(self) -> Iterator[Executed]:
        """Every instruction that the program comes to; of branches all, each once.

        A loop counts as often as it runs: by the compiler's own word, or by the constant that its
        counter is compared with. Where neither is there it counts once.
        """
        yield from self._of(self._entry, 1, False)

    def named(self, computation: str) -> dict[str, Instruction]:
        """The instructions of a computation by name."""
        return {one.name: one for one in self.computations[computation]}

    def _of(self, name: str, times: int, fused: bool) -> Iterator[Executed]:
        for one in self.computations[name]:
            yield Executed(times=times, inside=name, fused=fused, one=one)
            often = times * (self._trips(one) if one.opcode == "while" else 1)
            apart = one.opcode in ("while", "conditional", "call", "async-start")
            for inner in one.called:
                if inner in self.computations:
                    yield from self._of(inner, often, fused or not apart)

    def _trips(self, loop: Instruction) -> int:
        if known := _TRIPS.search(loop.rest):
            return int(known[1])
        condition, body = _CONDITION.search(loop.rest), _BODY.search(loop.rest)
        if condition is None or body is None or condition[1] not in self.computations:
            return 1
        found = self._compared(condition[1])
        if found is None:
            return 1
        counter, limit = found
        return -(-limit // self._step(body[1], counter))

    def _compared(self, condition: str) -> tuple[int, int] | None:
        """Place of a loop's counter in what it carries, and the number that it stays below."""
        by_name = self.named(condition)
        for one in by_name.values():
            if one.opcode != "compare" or not one.root or "direction=LT" not in one.rest:
                continue
            counter, limit = (by_name.get(name) for name in one.operands[:2])
            if counter is None or limit is None or limit.opcode != "constant":
                return None
            place, number = _INDEX.search(counter.rest), _NUMBER.match(limit.rest)
            if place and number:
                return int(place[1]), int(number[1])
        return None

    def _step(self, body: str, counter: int) -> int:
        """What is added to the counter each time; 1 where that cannot be seen."""
        by_name = self.named(body)
        root = next(one for one in by_name.values() if one.root)
        if root.opcode != "tuple":
            return 1
        added = by_name.get(root.operands[counter])
        if added is None or added.opcode != "add":
            return 1
        for name in added.operands:
            number = by_name.get(name)
            if number and number.opcode == "constant" and (found := _NUMBER.match(number.rest)):
                return max(1, int(found[1]))
        return 1


def _computations(text: str) -> dict[str, list[Instruction]]:
    found: dict[str, list[Instruction]] = {}
    inside: list[Instruction] = []
    for line in text.splitlines():
        if line[:1] not in ("", " ", "}") and (name := _COMPUTATION.match(line)):
            inside = found.setdefault(name[1], [])
        elif one := _INSTRUCTION.match(line):
            root, name_, type_, opcode, rest = one.groups()
            inside.append(
                Instruction(name=name_, type=type_, opcode=opcode, rest=rest, root=bool(root))
            )
    return found


def _size(kind: str, shape: str) -> int:
    bits = re.search(r"\d+", kind)
    width = max(1, int(bits[0]) // 8) if bits else 1
    return width * math.prod(int(number) for number in shape.split(",") if number)
