"""LoRA adapters on disk, in the format of the PEFT library."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx

from chexjax.artefacts.files import write_atomic
from chexjax.distributed import gathered, is_first
from chexjax.families import Names
from chexjax.models.layers import Place, places
from chexjax.ops.linear import Linear, LoRA, linears
from chexjax.weights.names import module_of
from chexjax.weights.store import CheckpointError, Tensor, read_header, write_tensors

_WEIGHTS, _CONFIG = "adapter_model.safetensors", "adapter_config.json"
_ROOT = "base_model.model."
_PLAIN = {"bias": "none", "use_dora": False, "use_rslora": False, "fan_in_fan_out": False}
"""Fields whose other values mean another computation."""
_EMPTY = ("modules_to_save", "rank_pattern", "alpha_pattern")


def save_adapter(folder: Path, model: nnx.Module, names: Names, *, rank: int, alpha: float) -> None:
    """Writes a model's adapters, layers that are no target left out.

    Those of a model on devices of several processes are gathered by all, and written by the first.

    Args:
      folder: Made if it is not there.
      model: A model with adapters of one rank.
      names: The family's name table.
      rank: Of the adapters.
      alpha: Of the adapters.

    Raises:
      ValueError: an adapter sits on a layer that checkpoints of the family pack with others; merge
        it and export the whole model.
    """
    tensors: dict[str, np.ndarray] = {}
    targets: list[str] = []
    for place, linear in _layers(model):
        if linear.lora is None or not gathered(linear.lora.gain[...])[_row(place)]:
            continue
        module = module_of(names, place)
        targets.append(module)
        for part, param in (("A", linear.lora.a), ("B", linear.lora.b)):
            ours = gathered(param[...])[_row(place)]
            tensors[f"{_ROOT}{module}.lora_{part}.weight"] = np.ascontiguousarray(ours.T)
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "inference_mode": True,
        "r": rank,
        "lora_alpha": alpha,
        "lora_dropout": 0.0,
        "target_modules": targets,
        **_PLAIN,
    }
    if not is_first():
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_tensors(folder / _WEIGHTS, tensors)
    write_atomic(folder / _CONFIG, json.dumps(config, indent=2) + "\n")


def load_adapter(folder: Path, model: nnx.Module, names: Names) -> None:
    """Puts a stored adapter on a model that has none.

    Raises:
      CheckpointError: something is missing, does not fit the model, or asks for what is no plain
        LoRA; nothing is put on the model then.
    """
    rank, alpha = _numbers(folder / _CONFIG)
    stored = read_header(folder / _WEIGHTS) if (folder / _WEIGHTS).is_file() else {}
    if not stored:
        raise CheckpointError(f"{folder / _WEIGHTS} is not there or empty; fetch the adapter again")
    adapters: dict[int, tuple[Linear, LoRA]] = {}
    left = set(stored)
    for place, linear in _layers(model):
        try:
            module = module_of(names, place)
        except ValueError:
            continue
        keys = [f"{_ROOT}{module}.lora_{part}.weight" for part in "AB"]
        if not left.intersection(keys):
            continue
        a, b = _pair(folder / _WEIGHTS, stored, keys, linear, rank)
        _, lora = adapters.setdefault(id(linear), (linear, _zeros(linear, rank)))
        lora.a[...] = lora.a[...].at[_row(place)].set(a.T)
        lora.b[...] = lora.b[...].at[_row(place)].set(b.T)
        lora.gain[...] = lora.gain[...].at[_row(place)].set(alpha / rank)
        left.difference_update(keys)
    if left:
        raise CheckpointError(
            f"{folder / _WEIGHTS}: {len(left)} tensors are of no linear layer of this model, such "
            f"as {min(left)}; give the preset that the adapter belongs to"
        )
    for linear, lora in adapters.values():
        linear.lora = lora


def _layers(model: nnx.Module) -> Iterator[tuple[Place, Linear]]:
    modules = linears(model)
    held = places({name: linear.kernel.shape for name, linear in modules.items()})
    return ((place, modules[name]) for name, found in held.items() for place in found)


def _row(place: Place) -> Any:
    return ... if place.row is None else place.row


def _zeros(linear: Linear, rank: int) -> LoRA:
    *stack, inputs, outputs = linear.kernel.shape
    a, b = jnp.zeros((*stack, inputs, rank)), jnp.zeros((*stack, rank, outputs))
    return LoRA(a, b, jnp.zeros(stack))


def _numbers(file: Path) -> tuple[int, float]:
    """Rank and alpha of a config that is plain LoRA."""
    try:
        config = json.loads(file.read_text())
        rank, alpha = int(config["r"]), float(config["lora_alpha"])
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{file} is no readable adapter config; fetch it again") from error
    other = [f for f, plain in _PLAIN.items() if config.get(f, plain) != plain]
    other += [f for f in _EMPTY if config.get(f)]
    if config.get("peft_type") != "LORA" or other:
        what = f"{other[0]}={config[other[0]]!r}" if other else f"a {config.get('peft_type')}"
        raise CheckpointError(f"{file}: {what} is no plain LoRA; merge it where it was trained")
    return rank, alpha


def _pair(
    file: Path, stored: Mapping[str, Tensor], keys: list[str], linear: Linear, rank: int
) -> list[np.ndarray]:
    inputs, outputs = linear.kernel.shape[-2:]
    for key, shape in zip(keys, ((rank, inputs), (outputs, rank)), strict=True):
        if key not in stored:
            raise CheckpointError(f"{file} lacks {key}; fetch the adapter again")
        if stored[key].shape != shape:
            raise CheckpointError(
                f"{file}: {key} has the shape {list(stored[key].shape)}, not {list(shape)}; give "
                "the preset that the adapter belongs to"
            )
    return [stored[key].array().astype(np.float32) for key in keys]
