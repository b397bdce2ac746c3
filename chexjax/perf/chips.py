"""What chips can do at most."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping, Sequence

import jax
from jax.sharding import Mesh


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chip:
    """One accelerator, by its maker's word.

    Attributes:
      kinds: How JAX calls it; of cards what their names begin with.
      flops: Dense bfloat16 operations a second.
      memory: Bytes a second between its cores and its main memory.
      wires: Bytes a second that it sends along one axis of a mesh: over `links` to its neighbours
        (a TPU's two of an axis, a GPU's NVLink), over the `network` to other slices or hosts.
    """

    kinds: tuple[str, ...]
    flops: float
    memory: float
    wires: Mapping[str, float]


def _chip(kinds: str, flops: float, memory: float, links: float, network: float) -> Chip:
    wires = {"links": links, "network": network}
    return Chip(kinds=tuple(kinds.split("|")), flops=flops, memory=memory, wires=wires)


CHIPS = {
    "v4": _chip("TPU v4", 275e12, 1228e9, 90e9, 6.25e9),
    "v5e": _chip("TPU v5 lite|TPU v5e", 197e12, 819e9, 90e9, 3.125e9),
    "v5p": _chip("TPU v5|TPU v5p", 459e12, 2765e9, 180e9, 6.25e9),
    "v6e": _chip("TPU v6 lite|TPU v6e", 918e12, 1640e9, 180e9, 12.5e9),
    "a100": _chip("NVIDIA A100", 312e12, 2039e9, 300e9, 25e9),
    "h100": _chip("NVIDIA H100", 989e12, 3352e9, 450e9, 50e9),
    "h200": _chip("NVIDIA H200", 989e12, 4800e9, 450e9, 50e9),
    "b200": _chip("NVIDIA B200", 2250e12, 8000e9, 900e9, 50e9),
}
"""By the names that `perf.topology` knows.

TPUs: Google Cloud's pages on TPU versions, and `How to scale your model` (Austin et al., 2025) for
links and networks. GPUs: NVIDIA's data sheets of the SXM cards (the A100 of 80 GB); the network is
one InfiniBand port a card, of 200 Gbit/s beside an A100 and 400 Gbit/s beside the others.
"""


def chip_of(kind: str) -> Chip | None:
    """The chip that a device kind is, such as `NVIDIA H100 80GB HBM3`.

    None for CPUs and chips that are not in the table.
    """
    for chip in CHIPS.values():
        if kind in chip.kinds or (kind.startswith("NVIDIA") and kind.startswith(chip.kinds)):
            return chip
    return None


def peak_flops(kind: str) -> float | None:
    """Dense bfloat16 operations a second of a device kind; None where `chip_of` knows none."""
    chip = chip_of(kind)
    return chip.flops if chip else None


def wire_along(axes: Sequence[str], mesh: Mesh) -> tuple[str, int]:
    """Which of a chip's wires devices talk over along axes, and how many of each share it.

    It is the slowest between any two of them; on the network, all that a slice or a host has of a
    group send at once.
    """
    along = (slice(None) if axis in axes else 0 for axis in mesh.axis_names)
    ends = collections.Counter(_end(device) for device in mesh.devices[tuple(along)].flat)
    return ("network", min(ends.values())) if len(ends) > 1 else ("links", 1)


def _end(device: jax.Device) -> int:
    """The host of GPUs or the slice of TPUs that a device belongs to."""
    on_gpu = device.platform == "gpu"
    return int(device.process_index if on_gpu else getattr(device, "slice_index", 0) or 0)
