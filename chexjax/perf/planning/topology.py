"""Meshes of accelerators that are not here: enough to compile for them, not to run on them.

`v5e:4x4` is a TPU slice of 16 chips, `v5e:4x4*2` two of them, `h100:8` a host of 8 GPUs and
`h100:4x8` four. The compiler for TPUs comes with `libtpu`, the one for GPUs with JAX's CUDA plugin;
neither needs the hardware or a driver.
"""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import jax
from jax.experimental import topologies
from jax.sharding import Mesh

from chexjax.config import ConfigError, nearest
from chexjax.mesh import MeshConfig, make_mesh
from chexjax.perf.chips import CHIPS, Chip

_GPUS_PER_HOST = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Card:
    """A GPU in the terms in which XLA describes the one that it finds.

    Attributes:
      major: Of its compute capability.
      cores: Streaming multiprocessors.
      clock: GHz.
      memory: Bytes.
      bandwidth: Bytes of it a second.
      cache: Bytes of the second level.
      shared: Bytes that one core has for its blocks.
      name: As the driver calls it.
    """

    major: int
    cores: int
    clock: float
    memory: int
    bandwidth: float
    cache: int
    shared: int
    name: str

    @property
    def target(self) -> str:
        """The description, as text."""
        return f"""
gpu_device_info {{
  cuda_compute_capability {{ major: {self.major} }}
  core_count: {self.cores}
  fpus_per_core: {64 if self.major == 8 else 128}
  clock_rate_ghz: {self.clock}
  device_memory_size: {self.memory}
  memory_bandwidth: {self.bandwidth:.0f}
  l2_cache_size: {self.cache}
  shared_memory_per_core: {self.shared}
  shared_memory_per_block: 49152
  shared_memory_per_block_optin: {self.shared - 1024}
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
  threads_per_warp: 32
  threads_per_core_limit: 2048
  threads_per_block_limit: 1024
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
}}
platform_name: "CUDA"
runtime_version {{ major: 12 minor: 9 }}
dnn_version_info {{ major: 9 minor: 8 }}
device_description_str: "{self.name}"
"""


_CARDS = {
    "a100": _Card(
        major=8,
        cores=108,
        clock=1.41,
        memory=85097971712,
        bandwidth=CHIPS["a100"].memory,
        cache=41943040,
        shared=167936,
        name="NVIDIA A100-SXM4-80GB",
    ),
    "h100": _Card(
        major=9,
        cores=132,
        clock=1.98,
        memory=84929347584,
        bandwidth=CHIPS["h100"].memory,
        cache=52428800,
        shared=233472,
        name="NVIDIA H100 80GB HBM3",
    ),
    "b200": _Card(
        major=10,
        cores=148,
        clock=1.965,
        memory=191504252928,
        bandwidth=CHIPS["b200"].memory,
        cache=132644864,
        shared=233472,
        name="NVIDIA B200",
    ),
}

_TPUS = {"v4": 30.75, "v5e": 15.75, "v5p": 95.74, "v6e": 31.25}
"""GiB that the compiler lets a program have on each chip."""

_WHOLE_CHIPS = {"v4": {"chip_config_name": "megacore"}}
"""Options that make one device of a chip's two cores, as its runtime does."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Topology:
    """Accelerators to compile for.

    Attributes:
      name: As the user wrote it.
      mesh: All of them.
      memory: Bytes on each. JAX takes three quarters of a GPU's, unless told otherwise by
        XLA_PYTHON_CLIENT_MEM_FRACTION.
      chip: What one can do at most.
    """

    name: str
    mesh: Mesh
    memory: int
    chip: Chip


def topology(name: str, axes: MeshConfig) -> Topology:
    """The accelerators called `name`, arranged along `axes`.

    Args:
      name: A TPU's generation, the shape of its slice and how many slices (`v5e:4x4`,
        `v5p:4x4x4*2`), or a GPU and how many (`h100:8`; beyond 8, in hosts of 8) or hosts by GPUs
        of each (`h100:4x8`).
      axes: Devices along each axis of the mesh.

    Raises:
      ConfigError: no such accelerator or shape, its compiler is not installed, or the axes do not
        multiply to the number of devices.
    """
    chip, devices, memory = accelerators(name)
    try:
        mesh = make_mesh(axes, devices=devices, field=f"topology {name}")
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return Topology(name=name, mesh=mesh, memory=memory, chip=CHIPS[chip])


def accelerators(name: str) -> tuple[str, list[Any], int]:
    """Kind, devices and bytes on each of the accelerators called `name`.

    Raises:
      ConfigError: there are none such, or their compiler is not installed.
    """
    chip, _, shape = name.partition(":")
    if chip in _CARDS:
        return chip, _gpus(name, _CARDS[chip], shape), _CARDS[chip].memory
    if chip in _TPUS:
        return chip, _tpus(name, chip), int(_TPUS[chip] * 2**30)
    raise ConfigError(f"topology {name!r}: no chip {chip!r}{nearest(chip, [*_TPUS, *_CARDS])}")


def _tpus(name: str, chip: str) -> list[Any]:
    # Another process may hold libtpu's lock: it guards the chips, which nobody touches here.
    os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
    slice_, _, count = name.partition("*")
    if count and not (count.isdecimal() and int(count) > 0):
        raise ConfigError(f"topology {name!r}: {count!r} is no number of slices; write v5e:4x4*2")
    options = dict(_WHOLE_CHIPS.get(chip, {})) | ({"num_slices": int(count)} if count else {})
    try:
        return topologies.get_topology_desc(slice_, "tpu", **options).devices
    except jax.errors.JaxRuntimeError as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"topology {name!r}: {reason}; write v5e:4x4, for example") from error
    except RuntimeError as error:
        raise ConfigError(_absent(name, "libtpu", "")) from error


def _gpus(name: str, card: _Card, shape: str) -> list[Any]:
    hosts, each = _hosts(name, shape)
    place = f"1x{hosts}x{each}"  # slices, hosts, GPUs of a host
    try:
        found = topologies.get_topology_desc(
            name, "cuda", target_config=card.target, topology=place
        )
    except NotImplementedError as error:
        raise ConfigError(
            _absent(name, "JAX's CUDA plugin", "; without a GPU, set JAX_PLATFORMS=cpu too")
        ) from error
    return found.devices


def _hosts(name: str, shape: str) -> tuple[int, int]:
    """Hosts, and GPUs of each."""
    parts = [int(part) if part.isdecimal() else 0 for part in shape.split("x")]
    if len(parts) == 2 and min(parts) > 0:
        return parts[0], parts[1]
    each = min(parts[0], _GPUS_PER_HOST)
    if len(parts) > 1 or not each or parts[0] % each:
        raise ConfigError(
            f"topology {name!r}: {shape!r} is no number of GPUs in hosts of {_GPUS_PER_HOST}; "
            "write h100:8, or h100:4x8 for four hosts of eight"
        )
    return parts[0] // each, each


def _absent(name: str, what: str, more: str) -> str:
    return f"topology {name!r}: {what} is not installed; pip install 'chexjax[aot]'{more}"
