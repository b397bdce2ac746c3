"""`doctor`: what this machine offers, or what a model would need."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from absl import flags
from rich.console import Console
from rich.table import Table

from chexjax import malloc
from chexjax.config import ConfigError
from chexjax.config.command import read_flags
from chexjax.families import AnyFamily, preset
from chexjax.mesh import AXES, MeshConfig
from chexjax.ops.attention import Backend
from chexjax.perf import aot, inventory
from chexjax.perf.topology import topology

_FORM = (
    "chexjax doctor [--model=PRESET [--topology=v5e:4x4]] [--dtype=bfloat16] "
    "[--data=1] [--fsdp=1] [--tensor=1]"
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
        console.print(_machine())
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


def _machine() -> Table:
    table = Table("what", "found", title="This machine")
    device = jax.devices()[0]
    table.add_row("devices", f"{jax.device_count()} x {device.device_kind} ({device.platform})")
    table.add_row("processors", f"{os.cpu_count()}, {platform.machine()}")
    table.add_row("jax", f"{jax.__version__}, Python {platform.python_version()}")
    huge = "malloc.hugetlb" in os.environ.get("GLIBC_TUNABLES", "")
    advice = "on" if huge else "off; start by launch/local, or set GLIBC_TUNABLES"
    table.add_row("malloc's huge pages", advice)
    kept = "kept" if malloc.keep_freed() else "goes back to the kernel"
    table.add_row("freed memory", kept)
    table.add_row("compile cache", os.environ.get("JAX_COMPILATION_CACHE_DIR", "none"))
    return table
