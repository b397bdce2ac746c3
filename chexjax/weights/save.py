"""From arrays to a Hugging Face folder: shards, their index, the config."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from chexjax.artefacts.files import write_atomic
from chexjax.distributed import gathered, is_first
from chexjax.families import Names
from chexjax.mesh import path_name
from chexjax.weights.names import Slot, join, slots
from chexjax.weights.store import INDEX, SINGLE, write_tensors

SHARD_BYTES = 5_000_000_000
"""Most bytes of a shard, as hubs like them."""


def save(
    folder: Path,
    params: Any,
    names: Names,
    *,
    config: Mapping[str, Any],
    heads: int = 1,
    dtype: Any = None,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Writes a checkpoint; `config.json` comes last, so a folder without one is unfinished.

    Parameters on devices of several processes are gathered by all, and written by the first.

    Args:
      folder: Made if it is not there.
      params: The parameters.
      names: The family's name table.
      config: Content of `config.json`.
      heads: Attention heads, for projections that are packed head by head.
      dtype: To store them in; None for their own.
      shard_bytes: Most bytes of one file; one shard is in memory at a time.

    Raises:
      FileExistsError: the folder holds a checkpoint.
    """
    if is_first():
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.glob("*.safetensors")):
            raise FileExistsError(f"{folder} holds a checkpoint already; give an empty folder")
    flat = {path_name(p): x for p, x in jax.tree_util.tree_leaves_with_path(params)}
    by_key = _by_key(flat, names, heads)
    shards = list(_plan(flat, by_key, dtype, shard_bytes))
    places: dict[str, str] = {}
    total = 0
    for number, keys in enumerate(shards):
        one = len(shards) == 1
        file = SINGLE if one else f"model-{number + 1:05d}-of-{len(shards):05d}.safetensors"
        tensors = {key: _tensor(flat, by_key[key], dtype) for key in keys}
        if is_first():
            write_tensors(folder / file, tensors)
        places |= dict.fromkeys(tensors, file)
        total += sum(tensor.nbytes for tensor in tensors.values())
    if not is_first():
        return
    if len(shards) > 1:
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(places.items()))}
        write_atomic(folder / INDEX, json.dumps(index, indent=2) + "\n")
    write_atomic(folder / "config.json", json.dumps(dict(config), indent=2) + "\n")


def _by_key(flat: Mapping[str, Any], names: Names, heads: int) -> dict[str, list[Slot]]:
    """The slots of each stored tensor: one, or the thirds of a packed one in order."""
    found = slots(names, {path: x.shape for path, x in flat.items()}, heads)
    found.sort(key=lambda slot: (slot.key, slot.part or (0, "")))
    groups = itertools.groupby(found, key=lambda slot: slot.key)
    return {key: list(group) for key, group in groups}


def _plan(
    flat: Mapping[str, Any], by_key: Mapping[str, list[Slot]], dtype: Any, most: int
) -> Iterator[list[str]]:
    """Keys shard by shard."""
    shard: list[str] = []
    size = 0
    for key, [first, *_] in by_key.items():
        item = jnp.dtype(dtype or flat[first.path].dtype).itemsize
        bytes_ = math.prod(first.stored_shape) * item
        if shard and size + bytes_ > most:
            yield shard
            shard, size = [], 0
        shard.append(key)
        size += bytes_
    yield shard


def _tensor(flat: Mapping[str, Any], parts: list[Slot], dtype: Any) -> np.ndarray:
    """One tensor as it is stored."""
    ours = (flat[s.path] if s.layer is None else flat[s.path][s.layer] for s in parts)
    stored = [s.theirs(gathered(x)) for s, x in zip(parts, ours, strict=True)]
    whole = stored[0] if parts[0].part is None else join(stored, parts[0].part[1], parts[0].heads)
    return np.ascontiguousarray(whole, dtype)
