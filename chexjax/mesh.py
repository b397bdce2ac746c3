"""The device mesh, and where every array lives on it.

Axes: `data` holds copies of the parameters, `fsdp` shards them by rows of a batch, `tensor`
splits layers. Placement of parameters is a table of (regex over the path, axes); nothing is
placed by accident.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec

Tree = TypeVar("Tree")
Table = Sequence[tuple[str, tuple[str | None, ...]]]

AXES = ("data", "fsdp", "tensor")


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeshConfig:
    """Devices along each axis; -1 for all that are left."""

    data: int = -1
    fsdp: int = 1
    tensor: int = 1

    def __post_init__(self) -> None:
        """Checks each axis, and that at most one is left open."""
        sizes = dataclasses.asdict(self)
        for axis, size in sizes.items():
            if size < 1 and size != -1:
                raise ValueError(f"{axis}={size} must be 1 or more, or -1 for all that are left")
        if list(sizes.values()).count(-1) > 1:
            raise ValueError(f"{sizes}: only one axis can be -1")


def make_mesh(
    config: MeshConfig,
    *,
    devices: Sequence[jax.Device] | None = None,
    field: str = "config.mesh",
) -> Mesh:
    """A mesh over all devices of all processes, or over `devices`.

    Raises:
      ValueError: the axes do not multiply to the number of devices; names the `field`.
    """
    sizes = [config.data, config.fsdp, config.tensor]
    count = jax.device_count() if devices is None else len(devices)
    if -1 in sizes:
        sizes[sizes.index(-1)] = max(1, count // -math.prod(sizes))
    if math.prod(sizes) != count:
        wanted = " x ".join(f"{axis}={size}" for axis, size in zip(AXES, sizes, strict=True))
        remedy = "set one axis to -1 or leave it out"
        raise ValueError(f"{field}: {wanted} does not make {count} devices; {remedy}")
    chosen = list(jax.devices() if devices is None else devices)
    kinds = (AxisType.Auto,) * len(AXES)
    slices = len({getattr(device, "slice_index", 0) or 0 for device in chosen})
    if slices == 1:
        return jax.make_mesh(sizes, AXES, axis_types=kinds, devices=chosen)
    return Mesh(_over_slices(sizes, chosen, slices, field), AXES, axis_types=kinds)


def _over_slices(
    sizes: Sequence[int], devices: list[jax.Device], slices: int, field: str
) -> np.ndarray:
    """Devices of several slices, or of several hosts of GPUs, along the axes.

    What is told between slices goes over the network: that is left to `data`, and to `fsdp` as far
    as `data` does not go over all of them.
    """
    if devices[0].platform != "tpu":
        return np.asarray(sorted(devices, key=lambda device: device.id)).reshape(sizes)
    outer = math.gcd(sizes[0], slices)
    between = [outer, slices // outer, 1]
    if sizes[1] % between[1]:
        raise ValueError(
            f"{field}: data={sizes[0]} x fsdp={sizes[1]} cannot be laid over {slices} slices; set "
            f"data to a multiple of {slices}"
        )
    within = [size // outside for size, outside in zip(sizes, between, strict=True)]
    return mesh_utils.create_hybrid_device_mesh(
        within, between, devices, allow_split_physical_axes=True
    )


def local_mesh(whole: Mesh) -> Mesh:
    """The part of a mesh that each process has to itself, along the same axes.

    Layers are split as they are in the whole, parameters over as many of the rest as divide it.

    Raises:
      ValueError: a layer is split over the devices of several processes.
    """
    own = [device for device in whole.devices.flat if device.process_index == jax.process_index()]
    tensor = whole.shape["tensor"]
    if len(own) % tensor:
        raise ValueError(
            f"config.mesh: tensor={tensor} splits layers over processes, of which each has "
            f"{len(own)} devices; set it to a divisor of that"
        )
    fsdp = math.gcd(whole.shape["fsdp"], len(own) // tensor)
    return make_mesh(MeshConfig(fsdp=fsdp, tensor=tensor), devices=own)


def current_mesh() -> Mesh:
    """The mesh in context, or one over all devices."""
    mesh = jax.sharding.get_mesh()
    return make_mesh(MeshConfig()) if mesh.empty else mesh


def path_name(path: Sequence[Any]) -> str:
    """`decoder/head/kernel` of a tree path; the name that all regex tables see."""
    return jax.tree_util.keystr(tuple(path), simple=True, separator="/").removesuffix("/value")


def parameter_names(params: Any) -> list[str]:
    """Path names of all parameters of a tree."""
    return [path_name(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]


def parameter_shardings(params: Tree, table: Table, mesh: Mesh) -> Tree:
    """Shardings of a parameter tree by the first matching row of a table.

    Axes are counted from a parameter's last dimension, so a stack's layer axis stays whole. A
    dimension that an axis does not divide stays whole too.

    Raises:
      ValueError: a parameter matches no row.
    """

    def place(path: Sequence[Any], leaf: Any) -> NamedSharding:
        axes = _padded(leaf.shape, _axes_of(path_name(path), table))
        spec = (
            axis if _divides(axis, size, mesh) else None
            for size, axis in zip(leaf.shape, axes, strict=True)
        )
        return NamedSharding(mesh, PartitionSpec(*spec))

    return jax.tree_util.tree_map_with_path(place, params)


def undivided(params: Any, table: Table, mesh: Mesh | AbstractMesh) -> dict[str, str]:
    """Parameters that stay whole along an axis of the table that does not divide them.

    Returns:
      What of each could not be divided, such as `588 over fsdp=8`, by its path.
    """
    found = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        name = path_name(path)
        axes = _padded(leaf.shape, _axes_of(name, table))
        whole = [
            f"{size} over {axis}={mesh.shape[axis]}"
            for size, axis in zip(leaf.shape, axes, strict=True)
            if axis and not _divides(axis, size, mesh)
        ]
        if whole:
            found[name] = ", ".join(whole)
    return found


def _axes_of(name: str, table: Table) -> tuple[str | None, ...]:
    """Those of the first row that matches."""
    for pattern, axes in table:
        if re.search(pattern, name):
            return axes
    raise ValueError(f"no sharding rule matches parameter {name}; add one to the family")


def _padded(shape: tuple[int, ...], axes: tuple[str | None, ...]) -> tuple[str | None, ...]:
    return (None,) * (len(shape) - len(axes)) + axes


def _divides(axis: str | None, size: int, mesh: Mesh | AbstractMesh) -> bool:
    return axis is not None and size % mesh.shape[axis] == 0


def compiler_options(mesh: Mesh) -> dict[str, bool] | None:
    """What XLA is told of programs that train on a mesh; None where it is told nothing.

    A TPU's compiler would gather each split parameter piece by piece, in a ring around the parts of
    the matmul that reads it, and carry the unfinished sums through main memory each time. Gathered
    whole, nearly all of it is beside the layer before. Sums that end up split stay with the ring:
    as one reduction nothing would hide them.
    """
    on_tpu = mesh.devices.flat[0].platform == "tpu"
    return {"xla_tpu_enable_windowed_einsum_for_all_gather": False} if on_tpu else None


def replicated(mesh: Mesh) -> NamedSharding:
    """Every device holds the whole array."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The first axis of an array is split over `data` and `fsdp`."""
    return NamedSharding(mesh, PartitionSpec(("data", "fsdp")))


def spread(x: jax.Array, axis: int = 0) -> jax.Array:
    """Activations of which one axis stays split over `data` and `fsdp` of the mesh in context.

    Left to itself the partitioner splits widths as the parameters are split, which gathers the
    batch and reduces every product. Without a mesh in context, or where the axis cannot be split,
    it is `x`.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or x.shape[axis] % batch_ways(mesh):
        return x
    spec = PartitionSpec(*[None] * axis, ("data", "fsdp"))
    return jax.lax.with_sharding_constraint(x, spec)


def place_batch(batch: Any, mesh: Mesh) -> Any:
    """Global arrays from each process's slice of a batch."""
    sharding = batch_sharding(mesh)

    def place(leaf: np.ndarray) -> jax.Array:
        return jax.make_array_from_process_local_data(sharding, np.asarray(leaf))

    return jax.tree.map(place, batch)


def batch_ways(mesh: Mesh | AbstractMesh) -> int:
    """Devices that share a batch."""
    return int(mesh.shape["data"] * mesh.shape["fsdp"])


def check_batch(size: int, mesh: Mesh, field: str) -> None:
    """Raises ValueError where a global batch cannot be split over the mesh."""
    ways = batch_ways(mesh)
    if size % ways:
        raise ValueError(
            f"{field}={size} is no multiple of the {ways} devices that share a batch; set it to "
            f"{-(-size // ways) * ways}, or more of config.mesh to tensor"
        )
