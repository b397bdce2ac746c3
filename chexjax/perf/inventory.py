"""What a model is made of and what it needs, from abstract shapes alone."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh, Mesh

from chexjax.families import AnyFamily, TextFamily
from chexjax.mesh import AXES, MeshConfig, parameter_shardings, path_name, undivided
from chexjax.models import model_class
from chexjax.weights.names import slots


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inventory:
    """A model in numbers.

    Attributes:
      parts: Parameters of each part of the model.
      tensors: Tensors in its checkpoint.
      numbers: Numbers in its checkpoint.
      unused: Tensors of the checkpoint that nothing reads.
      per_device: Bytes of parameters on each device.
      kv_per_token: Bytes of keys and values of one token in all layers.
      whole: What stays whole along an axis that does not divide it, see `kept_whole`.
    """

    parts: dict[str, int]
    tensors: int
    numbers: int
    unused: int
    per_device: int
    kv_per_token: int
    whole: dict[str, str]


def take(family: AnyFamily, mesh: MeshConfig, dtype: Any) -> Inventory:
    """Counts a family, its parameters and KV cache in `dtype`; allocates nothing.

    Args:
      family: Any preset.
      mesh: Devices along each axis, none left open.
      dtype: Of parameters and cache.
    """
    shapes = model_class(family).abstract(family)[1]
    leaves = [(path_name(p), x) for p, x in jax.tree_util.tree_leaves_with_path(shapes)]
    laid = AbstractMesh(tuple(getattr(mesh, axis) for axis in AXES), AXES)
    places = jax.tree.leaves(parameter_shardings(shapes, family.sharding, laid))  # type: ignore[arg-type]
    parts: dict[str, int] = {}
    for name, leaf in leaves:
        part = name.split("/")[0]
        parts[part] = parts.get(part, 0) + leaf.size
    placed = zip(leaves, places, strict=True)
    item = jnp.dtype(dtype).itemsize
    found = slots(family.names, {name: x.shape for name, x in leaves})
    stored = {slot.key: math.prod(slot.stored_shape) for slot in found}
    stored |= {key: math.prod(shape) for key, shape in family.names.unused}
    return Inventory(
        parts=parts,
        tensors=len(stored),
        numbers=sum(stored.values()),
        unused=len(family.names.unused),
        per_device=sum(math.prod(p.shard_shape(x.shape)) for (_, x), p in placed) * item,
        kv_per_token=_kv_numbers(family) * item,
        whole=kept_whole(family, laid),
    )


def kept_whole(family: AnyFamily, mesh: Mesh | AbstractMesh) -> dict[str, str]:
    """What every device along an axis holds and computes itself, since the axis does not divide it.

    Parameters by their paths, and a decoder's heads of keys, by which its memory is split.
    """
    if mesh.shape["fsdp"] == mesh.shape["tensor"] == 1:
        return {}
    found = undivided(model_class(family).abstract(family)[1], family.sharding, mesh)
    if isinstance(family, TextFamily):
        block, tensor = family.decoder.block, mesh.shape["tensor"]
        if (heads := block.kv // block.head) % tensor:
            found["decoder's keys and values"] = f"{heads} heads over tensor={tensor}"
    return found


def _kv_numbers(family: AnyFamily) -> int:
    """Numbers that a decoder keeps of each token; an encoder keeps none."""
    if not isinstance(family, TextFamily):
        return 0
    return 2 * family.decoder.layers * family.decoder.block.kv
