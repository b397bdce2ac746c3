"""What `plan` prints and writes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from chexjax.mesh import AXES
from chexjax.ops.attention import Backend
from chexjax.perf.planning.published import like
from chexjax.perf.planning.step import PlannedStep, StepShape, Times, wire
from chexjax.perf.planning.topology import Topology

_GIB = 2**30


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimate:
    """One planned step and what follows from it.

    Attributes:
      title: Which stage of which model.
      place: The machine.
      shape: What the step is given.
      ways: Parts that its rows are cut into, micro-batches included.
      step: As compiled.
      times: As counted.
      useful: Operations on what is real, none made twice.
      attention: What computes it.
    """

    title: str
    place: Topology
    shape: StepShape
    ways: int
    step: PlannedStep
    times: Times
    useful: float
    attention: Backend

    @property
    def rows(self) -> float:
        """Of a micro-batch on each device."""
        return self.shape.rows / self.ways

    def mfu(self, seconds: float) -> float:
        """Share of the chips' peak that is useful in a step of so many seconds."""
        return self.useful / seconds / self.place.mesh.size / self.place.chip.flops

    @property
    def repeated(self) -> float:
        """Executed operations for each useful one."""
        return self.step.executed / self.useful

    def record(self) -> dict[str, Any]:
        """All of it, as JSON."""
        compiled, times = self.step.compiled, self.times
        return {
            "step": self.title,
            "topology": self.place.name,
            "mesh": {axis: self.place.mesh.shape[axis] for axis in AXES},
            "shape": dataclasses.asdict(self.shape),
            "attention": self.attention,
            "rows_per_device": self.rows,
            "memory_gib": {
                part: round(getattr(compiled, part) / _GIB, 3)
                for part in ("arguments", "temporaries", "peak", "memory")
            },
            "fits": compiled.fits,
            "executed": self.step.executed,
            "executed_per_useful": round(self.repeated, 4),
            "seconds": {name: round(value, 5) for name, value in times.parts.items()}
            | {"bound": round(times.bound, 5), "exposed": round(times.exposed, 5)},
            "limit": times.limit,
            "mfu": {
                "bound": round(self.mfu(times.bound), 4),
                "exposed": round(self.mfu(times.exposed), 4),
            },
            "rows_per_second": round(self.shape.rows / times.exposed, 2),
            "collectives": [
                dataclasses.asdict(one) | {"wire": wire(one, self.place)[0]}
                for one in compiled.collectives
            ],
            "compile_seconds": round(compiled.seconds, 1),
        }


Tried = tuple[str, Estimate | None]
"""What was tried, and the plan; None where the compiler found no room."""


def show(found: Estimate, console: Console) -> None:
    """Prints one plan."""
    for table in (_memory(found), _talk(found), _time(found)):
        console.print(table)


def tried_table(title: str, tried: Sequence[Tried]) -> Table:
    """What was tried and what came of it, the fastest first."""
    columns = ("peak", "fits", "exposed", "rows/s", "MFU, exposed and at best", "bound by")
    table = Table(title, *columns, title_justify="left")
    for label, found in sorted(tried, key=lambda one: _slowness(one[1])):
        table.add_row(label, *(_row(found) if found else ("", "no", "", "", "", "")))
    return table


def _slowness(found: Estimate | None) -> tuple[bool, float]:
    if found is None:
        return True, float("inf")
    return not found.step.compiled.fits, found.times.exposed / found.shape.rows


def _row(found: Estimate) -> list[str]:
    times, compiled = found.times, found.step.compiled
    return [
        f"{compiled.peak / _GIB:.2f} GiB",
        "yes" if compiled.fits else "no",
        f"{1000 * times.exposed:.0f} ms",
        f"{found.shape.rows / times.exposed:,.1f}",
        f"{found.mfu(times.exposed):.0%}, {found.mfu(times.bound):.0%}",
        times.limit,
    ]


def _memory(found: Estimate) -> Table:
    compiled = found.step.compiled
    title = f"{found.title} on {found.place.name}"
    table = Table("each device", "how much", title=title, title_justify="left")
    table.add_row(" x ".join(AXES), " x ".join(str(found.place.mesh.shape[axis]) for axis in AXES))
    table.add_row("rows of a micro-batch", f"{found.rows:g}")
    table.add_row("tokens of a prompt, a report", f"{found.shape.prefix}, {found.shape.response}")
    table.add_row("attention", found.attention)
    table.add_section()
    for part, name in _PARTS.items():
        table.add_row(name, f"{getattr(compiled, part) / _GIB:.2f} GiB")
    table.add_row("fits", "yes" if compiled.fits else "no")
    table.add_row("compiled in", f"{compiled.seconds:.1f} s")
    return table


_PARTS = {
    "arguments": "parameters, moments, batch",
    "temporaries": "activations and gradients",
    "peak": "peak",
    "memory": "memory",
}


def _talk(found: Estimate) -> Table:
    columns = ("collective", "along", "over", "asynchronous", "times", "MiB sent by each")
    table = Table(*columns, title="What devices tell each other", title_justify="left")
    for one in found.step.compiled.collectives:
        table.add_row(
            one.kind,
            ", ".join(one.axes),
            wire(one, found.place)[0],
            "yes" if one.asynchronous else "no",
            f"{one.times:,}",
            f"{one.moved / 2**20:,.1f}",
        )
    return table


def _time(found: Estimate) -> Table:
    times = found.times
    table = Table("a step, by counting", "", title="Time", title_justify="left")
    table.add_row("useful operations", f"{found.useful:.3g}")
    table.add_row("executed / useful", f"{found.repeated:.2f}")
    table.add_section()
    for name, seconds in times.parts.items():
        table.add_row(f"{name} at its peak", f"{1000 * seconds:.1f} ms")
    for name, seconds in (("all at once", times.bound), ("what is not hidden", times.exposed)):
        rows = found.shape.rows / seconds
        table.add_row(
            name, f"{1000 * seconds:.1f} ms, MFU {found.mfu(seconds):.0%}, {rows:,.1f} rows/s"
        )
    table.add_row("bound by", times.limit)
    table.caption = "Counted, never measured on a chip. " + _error(found.place)
    return table


def _error(place: Topology) -> str:
    """How far such figures were from steps that others have timed."""
    known = like(place.name.partition(":")[0])
    if not known:
        return "No published step is there to compare with."
    told = "; ".join(f"{one.model} on {one.topology} {one.slower:.2f} times" for one in known)
    return f"Of what is not hidden, published steps of like shape took: {told} (MaxText)."
