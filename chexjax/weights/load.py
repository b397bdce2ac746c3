"""From a checkpoint to arrays in their final place and dtype, one stored tensor at a time.

A stack of layers is filled in place, layer by layer, so that beside the finished parameters no
more than one stored tensor is ever in memory; of safetensors a process reads the bytes of its own
shards alone.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from chexjax.families import AnyFamily, Names, TextFamily
from chexjax.mesh import parameter_shardings, path_name
from chexjax.models import model_class
from chexjax.weights.config import check_config
from chexjax.weights.gguf import SUFFIX, read_gguf
from chexjax.weights.names import Slot, is_unused, slots
from chexjax.weights.store import Checkpoint, CheckpointError
from chexjax.weights.torch_file import open_checkpoint

Tree = TypeVar("Tree")
_LISTED = 8


def load_model(
    path: Path,
    family: AnyFamily,
    *,
    mesh: Mesh,
    param_dtype: Any = jnp.float32,
    **options: Any,
) -> Any:
    """A family's model with the parameters of a checkpoint, placed by the family's table.

    Args:
      path: What `open_checkpoint` opens or, of a LLaMA, a `.gguf` file.
      family: What it is a checkpoint of.
      mesh: Devices.
      param_dtype: Dtype that the parameters are kept in.
      options: Of the model's constructor, such as its compute `dtype`.

    Raises:
      CheckpointError: the checkpoint cannot be read, or is not one of this family.
      ImportError: it is a `.gguf` file, and the extra that reads them is not installed.
    """
    return place_model(_opened(path, family), family, mesh=mesh, param_dtype=param_dtype, **options)


def place_model(
    store: Checkpoint,
    family: AnyFamily,
    *,
    mesh: Mesh,
    param_dtype: Any = jnp.float32,
    **options: Any,
) -> Any:
    """`load_model` of a checkpoint that is open already.

    Raises:
      CheckpointError: it is not one of this family.
    """
    graph, shapes = model_class(family).abstract(family, **options)
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, param_dtype), shapes)
    places = parameter_shardings(shapes, family.sharding, mesh)
    return nnx.merge(graph, load(store, family.names, shapes, places, heads=_heads(family)))


def check_model(path: Path, family: AnyFamily) -> None:
    """Finds what `load_model` would stumble over, from headers alone.

    Raises:
      CheckpointError: the checkpoint cannot be read, or is not one of this family.
    """
    store = _opened(path, family)
    _, shapes = model_class(family).abstract(family)
    account(store, family.names, _slots(family.names, shapes, _heads(family)))


def _opened(path: Path, family: AnyFamily) -> Checkpoint:
    check_config(path, family)
    if path.suffix == SUFFIX:
        return read_gguf(path, family)
    return open_checkpoint(path)


def checkpoint_files(path: Path) -> list[Path]:
    """The files that the numbers of a checkpoint lie in, of whatever kind `load_model` reads.

    Raises:
      CheckpointError: nothing readable is there.
    """
    return [path] if path.suffix == SUFFIX else list(open_checkpoint(path).files)


def _heads(family: AnyFamily) -> int:
    return family.decoder.block.heads if isinstance(family, TextFamily) else 1


def _slots(names: Names, shapes: Any, heads: int) -> list[Slot]:
    leaves = jax.tree_util.tree_leaves_with_path(shapes)
    return slots(names, {path_name(path): leaf.shape for path, leaf in leaves}, heads)


def load(store: Checkpoint, names: Names, shapes: Tree, places: Tree, *, heads: int = 1) -> Tree:
    """Reads the parameters of a model.

    Args:
      store: The checkpoint.
      names: The family's name table.
      shapes: The model's abstract parameters; their dtype is the one that they get.
      places: A sharding for each.
      heads: Attention heads, for projections that are packed head by head.

    Raises:
      CheckpointError: keys are unknown, missing, of another shape or not numbers; all are listed
        before anything is read.
    """
    leaves = jax.tree_util.tree_leaves_with_path(shapes)
    wanted = _slots(names, shapes, heads)
    account(store, names, wanted)
    of_path = {
        path: list(group) for path, group in itertools.groupby(wanted, key=lambda slot: slot.path)
    }
    placed = zip(leaves, jax.tree.leaves(places), strict=True)
    arrays = [_read(store, of_path[path_name(path)], leaf, place) for (path, leaf), place in placed]
    return jax.tree.unflatten(jax.tree.structure(shapes), arrays)


def account(store: Checkpoint, names: Names, wanted: Sequence[Slot]) -> list[str]:
    """Checks that every key has its place, and returns those that are known and not needed.

    Raises:
      CheckpointError: some key is unknown, missing, of another shape or no floating point.
    """
    keys = {slot.key for slot in wanted}
    spare = [key for key in store if key not in keys]
    unused = [key for key in spare if is_unused(names, key)]
    complaints = {
        "are missing": sorted(keys - set(store)),
        "are unknown": sorted(set(spare) - set(unused)),
        "have another shape": sorted(_misshaped(store, wanted)),
        "are not floating-point numbers": sorted(
            key for key in keys & set(store) if not jnp.issubdtype(store[key].dtype, jnp.floating)
        ),
    }
    if any(complaints.values()):
        listed = "\n".join(_listed(what, found) for what, found in complaints.items() if found)
        raise CheckpointError(
            f"{store.path} is no checkpoint of this model:\n{listed}\n"
            "give the preset that it belongs to, or fetch the files again"
        )
    return unused


def _misshaped(store: Checkpoint, wanted: Iterable[Slot]) -> set[str]:
    return {
        f"{slot.key} {list(store[slot.key].shape)}, not {list(slot.stored_shape)}"
        for slot in wanted
        if slot.key in store and store[slot.key].shape != slot.stored_shape
    }


def _listed(what: str, found: Sequence[str]) -> str:
    more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    return f"  {len(found)} {what}: {', '.join(found[:_LISTED])}{more}"


def _read(
    store: Checkpoint, parts: Sequence[Slot], leaf: jax.ShapeDtypeStruct, place: NamedSharding
) -> jax.Array:
    """One parameter, from its one tensor or layer by layer."""
    if parts[0].layer is None:
        return _part(store, parts[0], leaf.dtype, place)
    row_place = NamedSharding(place.mesh, PartitionSpec(*place.spec[1:]))
    whole = _empty(leaf.shape, leaf.dtype, place)
    for part in parts:
        row = _part(store, part, leaf.dtype, row_place)
        # Waited for: rows on their way would pile up in memory.
        whole = _put(place)(whole, row, jnp.int32(part.layer)).block_until_ready()
    return whole


def _part(store: Checkpoint, slot: Slot, dtype: Any, place: NamedSharding) -> jax.Array:
    stored = store[slot.key].array()

    def piece(index: Any) -> np.ndarray:
        # Cast in the order of the file, which is quick; JAX turns what is transposed.
        return slot.ours(stored, index).astype(dtype)

    return jax.make_array_from_callback(slot.shape, place, piece).block_until_ready()


def _empty(shape: tuple[int, ...], dtype: Any, place: NamedSharding) -> jax.Array:
    return jax.jit(lambda: jnp.zeros(shape, dtype), out_shardings=place)()


@functools.cache
def _put(place: NamedSharding) -> Any:
    """Writes a row of a stack where the stack lies."""
    return jax.jit(
        lambda whole, row, k: whole.at[k].set(row), donate_argnums=0, out_shardings=place
    )
