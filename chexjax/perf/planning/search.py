"""What fits a machine, and what is fastest on it: searches over plans of a step."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import TypeVar

from chexjax.mesh import MeshConfig

Planned = TypeVar("Planned")

_TRIES = 8


def largest(
    plan: Callable[[int], Planned | None], peak: Callable[[Planned], float], memory: float
) -> Iterator[tuple[int, Planned | None]]:
    """Looks for the largest batch that fits, by few plans: memory grows with rows in a line.

    Args:
      plan: Rows of a device -> the plan, or None where the compiler finds no room.
      peak: Bytes of a plan.
      memory: Bytes that there are.

    Yields:
      Rows tried and their plan, in the order tried. The largest that fits is among them, unless
      memory grows faster than in a line and eight tries are not enough.
    """
    fits: dict[int, float] = {}
    least_that_fails, rows = None, 1
    for _ in range(_TRIES):
        found = plan(rows)
        yield rows, found
        if found is not None and peak(found) <= memory:
            fits[rows] = peak(found)
        else:
            least_that_fails = rows
        if not fits or least_that_fails == max(fits) + 1:
            return
        rows = _next(fits, least_that_fails, memory)


def _next(fits: dict[int, float], least_that_fails: int | None, memory: float) -> int:
    best = max(fits)
    if len(fits) == 1:
        guess = 2 * best
    else:
        before = max(rows for rows in fits if rows != best)
        each = (fits[best] - fits[before]) / (best - before)
        guess = best + int((memory - fits[best]) / each) if each > 0 else 2 * best
    if least_that_fails is not None and guess >= least_that_fails:  # it is no line, then
        guess = (best + least_that_fails) // 2
    return max(guess, best + 1)


def meshes(devices: int, rows: int, state: float, memory: float) -> list[MeshConfig]:
    """Meshes that a step could run on: all powers of two, and what is left along `data`.

    Args:
      devices: To be arranged.
      rows: Of a micro-batch, which `data` and `fsdp` share evenly.
      state: Bytes of parameters and moments in all; a mesh that leaves more than `memory` of them
        on a device is left out.
      memory: Bytes of a device.

    Returns:
      Those with the fewest splits of layers first.
    """
    found = []
    for tensor, fsdp in itertools.product(_powers(8), _powers(devices)):
        data = devices // (tensor * fsdp)
        if data * tensor * fsdp != devices or rows % (data * fsdp):
            continue
        if state / (fsdp * tensor) <= memory:
            found.append(MeshConfig(data=data, fsdp=fsdp, tensor=tensor))
    return found


def _powers(most: int) -> list[int]:
    return [2**power for power in range(most.bit_length()) if 2**power <= most]
