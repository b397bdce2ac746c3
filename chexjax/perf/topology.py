"""Meshes of accelerators that are not here: enough to compile for them, not to run on them.

`v5e:4x4` is a TPU slice of 16 chips, `h100:8` a host of 8 GPUs. The compiler for TPUs comes with
`libtpu`, the one for GPUs with JAX's CUDA plugin; neither needs the hardware or a driver.
"""

from __future__ import annotations

import dataclasses
import os
import re
from typing import Any

import jax
from jax.experimental import topologies
from jax.sharding import Mesh

from chexjax.config import ConfigError, nearest
from chexjax.mesh import MeshConfig, make_mesh

_GPUS_PER_HOST = 8

_TPUS = {"v5e": 15.75, "v5p": 95.74, "v6e": 31.25}
"""GiB that the compiler lets a program have on each chip."""

_H100 = """
gpu_device_info {
  cuda_compute_capability { major: 9 }
  core_count: 132
  fpus_per_core: 128
  clock_rate_ghz: 1.98
  device_memory_size: 84929347584
  memory_bandwidth: 3352320000000
  l2_cache_size: 52428800
  shared_memory_per_core: 233472
  shared_memory_per_block: 49152
  shared_memory_per_block_optin: 232448
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
  threads_per_warp: 32
  threads_per_core_limit: 2048
  threads_per_block_limit: 1024
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
}
platform_name: "CUDA"
runtime_version { major: 12 minor: 9 }
dnn_version_info { major: 9 minor: 8 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""
"""An H100 SXM, in the words in which XLA describes the card that it finds in a host."""

_GPUS = {"h100": _H100}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Topology:
    """Accelerators to compile for.

    Attributes:
      name: As the user wrote it.
      mesh: All of them.
      memory: Bytes on each. JAX takes three quarters of a GPU's, unless told otherwise by
        XLA_PYTHON_CLIENT_MEM_FRACTION.
    """

    name: str
    mesh: Mesh
    memory: int


def topology(name: str, axes: MeshConfig) -> Topology:
    """The accelerators called `name`, arranged along `axes`.

    Args:
      name: A TPU's generation and the shape of its slice (`v5e:4x4`, `v5p:4x4x4`), or a GPU and
        how many (`h100:8`; beyond 8, in hosts of 8).
      axes: Devices along each axis of the mesh.

    Raises:
      ConfigError: no such accelerator or shape, its compiler is not installed, or the axes do not
        multiply to the number of devices.
    """
    chip, _, shape = name.partition(":")
    if chip in _GPUS:
        devices, memory = _gpus(name, _GPUS[chip], shape)
    elif chip in _TPUS:
        devices, memory = _tpus(name), int(_TPUS[chip] * 2**30)
    else:
        known = [*_TPUS, *_GPUS]
        raise ConfigError(f"topology {name!r}: no chip {chip!r}{nearest(chip, known)}")
    try:
        mesh = make_mesh(axes, devices=devices, field=f"topology {name}")
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return Topology(name=name, mesh=mesh, memory=memory)


def _tpus(name: str) -> list[Any]:
    # Another process may hold libtpu's lock: it guards the chips, which nobody touches here.
    os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
    try:
        return topologies.get_topology_desc(name, "tpu").devices
    except jax.errors.JaxRuntimeError as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"topology {name!r}: {reason}; write v5e:4x4, for example") from error
    except RuntimeError as error:
        raise ConfigError(_absent(name, "libtpu", "")) from error


def _gpus(name: str, target: str, shape: str) -> tuple[list[Any], int]:
    count = int(shape) if shape.isdecimal() else 0
    each = min(count, _GPUS_PER_HOST)
    if not count or count % each:
        raise ConfigError(
            f"topology {name!r}: {shape!r} is no number of GPUs in hosts of {_GPUS_PER_HOST}; "
            "write h100:8, for example"
        )
    shape = f"1x{count // each}x{each}"  # slices, hosts, GPUs of a host
    try:
        found = topologies.get_topology_desc(name, "cuda", target_config=target, topology=shape)
    except NotImplementedError as error:
        raise ConfigError(
            _absent(name, "JAX's CUDA plugin", "; without a GPU, set JAX_PLATFORMS=cpu too")
        ) from error
    match = re.search(r"device_memory_size: (\d+)", target)
    assert match is not None
    return found.devices, int(match[1])


def _absent(name: str, what: str, more: str) -> str:
    return f"topology {name!r}: {what} is not installed; pip install 'chexjax[aot]'{more}"
