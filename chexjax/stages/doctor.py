"""`doctor`: what this machine can do, or what a model would need."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
from absl import flags
from jax.sharding import Mesh
from rich.console import Console
from rich.table import Table

from chexjax import malloc
from chexjax.config import ConfigError
from chexjax.config.command import read_flags
from chexjax.distributed import is_first
from chexjax.families import AnyFamily, preset
from chexjax.mesh import AXES, MeshConfig, make_mesh
from chexjax.ops.attention import Backend, backend_for
from chexjax.perf import inventory, machine, speed
from chexjax.perf.chips import chip_of, wire_along
from chexjax.perf.planning import aot
from chexjax.perf.planning.topology import topology

_FORM = (
    "chexjax doctor [--model=PRESET [--topology=v5e:4x4]] [--dtype=bfloat16] "
    "[--data=1] [--fsdp=1] [--tensor=1] [--workdir=DIR]"
)
_DTYPES = ("float32", "bfloat16", "float16")


def doctor(argv: Sequence[str], console: Console) -> None:
    """Runs the command.

    Args:
      argv: What stands behind `doctor` on the command line.
      console: Where to print.

    Raises:
      ConfigError: a flag, preset or mesh cannot be used.
    """
    own = flags.FlagValues()
    flags.DEFINE_string("model", None, "Preset.", flag_values=own)
    flags.DEFINE_string("topology", None, "Compile its forward for this.", flag_values=own)
    flags.DEFINE_enum("dtype", "bfloat16", _DTYPES, "Of parameters and cache.", flag_values=own)
    flags.DEFINE_string("workdir", ".", "Folder whose disk is looked at.", flag_values=own)
    for axis in AXES:
        flags.DEFINE_integer(axis, None, "Devices.", lower_bound=1, flag_values=own)
    if rest := read_flags(own, argv, _FORM):
        raise ConfigError(f"{rest[0]} is no flag: write {_FORM}")
    try:
        family = preset(own["model"].value, AnyFamily) if own["model"].value else None
    except ValueError as error:
        raise ConfigError(f"{error}: write {_FORM}") from None
    dtype, where = str(own["dtype"].value), own["topology"].value
    given = {axis: size for axis in AXES if (size := own[axis].value)}
    if family is None:
        if where:
            raise ConfigError(f"--topology={where} compiles a model; name it: write {_FORM}")
        found = _machine(given, Path(str(own["workdir"].value)))
        if is_first():
            console.print(found)
    elif where:
        console.print(_compiled(family, str(where), given, dtype))
    else:
        console.print(_model(family, MeshConfig(**{"data": 1, **given}), dtype))


def _model(family: AnyFamily, mesh: MeshConfig, dtype: str) -> Table:
    found = inventory.take(family, mesh, jnp.dtype(dtype))
    table = Table("what", "how much", title=family.name)
    for part, count in found.parts.items():
        table.add_row(f"parameters of the {part}", f"{count:,}")
    table.add_row("parameters", f"{sum(found.parts.values()):,}")
    table.add_section()
    table.add_row("tensors in the checkpoint", f"{found.tensors:,}")
    table.add_row("numbers in the checkpoint", f"{found.numbers:,}")
    table.add_row("tensors known and unused", f"{found.unused:,}")
    table.add_section()
    devices = mesh.data * mesh.fsdp * mesh.tensor
    table.add_row(f"{dtype} parameters, each of {devices}", f"{found.per_device / 2**30:.2f} GiB")
    if found.kv_per_token:
        size = f"{found.kv_per_token / 2**10:.1f} KiB"
        table.add_row(f"{dtype} keys and values of a token", size)
    for name, sizes in found.whole.items():
        table.add_row(f"whole on each: {name}", sizes)
    return table


def _compiled(family: AnyFamily, name: str, given: dict[str, int], dtype: str) -> Table:
    """The forward, on a mesh whose devices go along fsdp, or data where fsdp is given.

    Attention is what a run takes there, but for GPUs: no cuDNN is here to be asked.
    """
    if "JAX_PLATFORMS" not in os.environ:  # a CUDA plugin that looks for GPUs in vain gives up
        jax.config.update("jax_platforms", "cpu")
    rest = {"data": -1} if "fsdp" in given else {"data": 1, "fsdp": -1}
    place = topology(name, MeshConfig(**{**rest, **given}))
    on_tpu = place.mesh.devices.flat[0].platform == "tpu"
    attention: Backend = "splash" if on_tpu else "xla"
    found = aot.compile_forward(family, place, jnp.dtype(dtype), attention)
    table = Table("forward, each device", "how much", title=f"{family.name} on {name}")
    table.add_row(" x ".join(AXES), " x ".join(str(place.mesh.shape[axis]) for axis in AXES))
    table.add_section()
    for part in ("arguments", "temporaries", "outputs", "peak", "memory"):
        table.add_row(part, f"{getattr(found, part) / 2**30:.2f} GiB")
    table.add_row("fits", "yes" if found.fits else "no")
    table.add_section()
    for one in found.collectives:
        sent = f"{one.times:,} times, {one.moved / 2**20:,.1f} MiB sent"
        table.add_row(f"{one.kind} along {', '.join(one.axes)}", sent)
    if found.flops:
        table.add_row("FLOPs, loops run once", f"{found.flops:.3g}")
    table.add_row("compiled in", f"{found.seconds:.1f} s")
    return table


def _machine(given: Mapping[str, int], workdir: Path) -> Table:
    """What the devices of all processes are and do; all of these work together."""
    try:
        mesh = make_mesh(MeshConfig(**given), field="the mesh")
    except ValueError as error:
        raise ConfigError(f"{error}: write {_FORM}") from None
    table = Table("what", "found", title="This machine")
    for what, found in (*_described(mesh), *_disks(workdir)):
        table.add_row(what, found)
    table.add_section()
    for what, found in _measured(mesh):
        table.add_row(what, found)
    return table


def _described(mesh: Mesh) -> Iterator[tuple[str, str]]:
    device, processes = jax.local_devices()[0], jax.process_count()
    several = f", in {processes} processes" if processes > 1 else ""
    yield "devices", f"{mesh.size} x {device.device_kind} ({device.platform}){several}"
    if limit := (device.memory_stats() or {}).get("bytes_limit"):
        yield "memory of each", f"{limit / 2**30:.2f} GiB for programs"
    yield "processors", machine.processor()
    yield "versions", machine.versions()
    yield "mesh", " x ".join(f"{axis}={size}" for axis, size in mesh.shape.items())
    own = backend_for("auto", device.platform)
    yield "attention", "xla" if own == "xla" else f"{own}, and xla for what it does not take"
    yield "malloc's huge pages", machine.huge_pages()
    yield "freed memory", "kept" if malloc.keep_freed() else "goes back to the kernel"


def _disks(workdir: Path) -> Iterator[tuple[str, str]]:
    """Room for artefacts, and for compiled programs."""
    cache = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    yield "workdir", _room(workdir)
    yield "compile cache", _room(Path(cache)) if cache else "none"


def _room(folder: Path) -> str:
    """A folder and what is free there, or where it is going to be."""
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    return f"{folder}, {shutil.disk_usage(there).free / 2**30:,.1f} GiB free"


def _measured(mesh: Mesh) -> Iterator[tuple[str, str]]:
    """A matmul and sums along each axis, against what the chip can do at most."""
    chip = chip_of(mesh.devices.flat[0].device_kind)
    flops, dtype = speed.matmul_flops(mesh)
    yield f"matmul in {dtype}", _against(flops, "FLOP/s", chip.flops if chip else None)
    if mesh.size == 1:
        yield "all-reduce", "one device has nobody to send to"
    for axis in (axis for axis, size in mesh.shape.items() if size > 1):
        wire, ports = wire_along((axis,), mesh)
        sent = speed.all_reduce_bytes(mesh, axis)
        over = f", over the {wire}" if chip else ""
        yield (
            f"all-reduce along {axis}{over}",
            _against(sent, "B/s sent", chip.wires[wire] * ports if chip else None),
        )


def _against(rate: float, unit: str, most: float | None) -> str:
    """What each device does, and its share of the most that it could."""
    size, letter = next(
        (s, k) for s, k in ((1e12, "T"), (1e9, "G"), (1e6, "M")) if rate >= s or k == "M"
    )
    share = f", {rate / most:.0%} of {most / size:,.0f}" if most else ""
    return f"{rate / size:,.1f} {letter}{unit} by each{share}"
