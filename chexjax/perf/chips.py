"""What chips can do at most."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from jax.sharding import Mesh


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chip:
    """One accelerator, by its maker's word.

    Attributes:
      kinds: How JAX calls it; of cards what their names begin with.
      flops: Dense bfloat16 operations a second.
      wires: Bytes a second that it sends along one axis of a mesh: over `links` to its neighbours
        (a TPU's two of an axis, a GPU's NVLink), over the `network` to other slices or hosts.
    """

    kinds: tuple[str, ...]
    flops: float
    wires: Mapping[str, float]


CHIPS = {
    "v4": Chip(kinds=("TPU v4",), flops=275e12, wires={"links": 90e9, "network": 6.25e9}),
    "v5e": Chip(
        kinds=("TPU v5 lite", "TPU v5e"), flops=197e12, wires={"links": 90e9, "network": 3.125e9}
    ),
    "v5p": Chip(
        kinds=("TPU v5", "TPU v5p"), flops=459e12, wires={"links": 180e9, "network": 6.25e9}
    ),
    "v6e": Chip(
        kinds=("TPU v6 lite", "TPU v6e"), flops=918e12, wires={"links": 180e9, "network": 12.5e9}
    ),
    "a100": Chip(kinds=("NVIDIA A100",), flops=312e12, wires={"links": 300e9, "network": 25e9}),
    "h100": Chip(kinds=("NVIDIA H100",), flops=989e12, wires={"links": 450e9, "network": 50e9}),
    "h200": Chip(kinds=("NVIDIA H200",), flops=989e12, wires={"links": 450e9, "network": 50e9}),
    "b200": Chip(kinds=("NVIDIA B200",), flops=2250e12, wires={"links": 900e9, "network": 50e9}),
}
"""By the names that `perf.topology` knows.

TPUs: Google Cloud's pages on TPU versions, and `How to scale your model` (Austin et al., 2025) for
links and networks. GPUs: NVIDIA's data sheets of the SXM cards; the network is one InfiniBand port
a card, of 200 Gbit/s beside an A100 and 400 Gbit/s beside the others.
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


def wire_along(axes: Sequence[str], mesh: Mesh) -> str:
    """Which of a chip's wires devices talk over along axes: the slowest between any two."""
    along = (slice(None) if axis in axes else 0 for axis in mesh.axis_names)
    group = list(mesh.devices[tuple(along)].flat)
    if len({getattr(device, "slice_index", 0) or 0 for device in group}) > 1:
        return "network"
    if group[0].platform == "gpu" and len({device.process_index for device in group}) > 1:
        return "network"
    return "links"
