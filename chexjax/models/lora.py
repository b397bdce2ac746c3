"""LoRA adapters on the linear layers of any model."""

from __future__ import annotations

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from chexjax.models.layers import Place, places
from chexjax.ops.linear import Linear, LoRA, linears
from chexjax.rng import hash_words

LORA_TRAINED = r"/lora/[ab]$"
"""Regex over the paths of what is trained of a model with adapters."""

_TARGET = re.compile(r"(?P<module>.+?)(@(?P<first>-?\d*):(?P<end>-?\d*))?")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoRAConfig:
    """Which linear layers get an adapter, and how large it is.

    Attributes:
      rank: Inner width; 0 for no adapters.
      alpha: An adapter's output is scaled by alpha / rank.
      targets: Regexes over names like `decoder/layers/17/attention/query`. `REGEX@FIRST:END` takes
        only those of the layers FIRST <= k < END, which may be left out, or count from the end
        when negative, as in a slice.
    """

    rank: int = 0
    alpha: float = 16.0
    targets: tuple[str, ...] = (r"decoder/layers/.*",)

    def __post_init__(self) -> None:
        """Checks the numbers and the regexes."""
        if self.rank < 0:
            raise ValueError(f"rank={self.rank} must be 0, for no adapters, or more")
        if self.alpha <= 0:
            raise ValueError(f"alpha={self.alpha} must be above 0")
        for target in self.targets:
            try:
                re.compile(_parsed(target)[0])
            except re.error as error:
                raise ValueError(f"targets: {target!r} is no regex: {error}") from None


def _parsed(target: str) -> tuple[str, slice]:
    found = _TARGET.fullmatch(target)
    if found is None:
        raise ValueError(f"targets: {target!r} is not REGEX or REGEX@FIRST:END")
    first, end = (int(found[name]) if found[name] else None for name in ("first", "end"))
    return found["module"], slice(first, end)


def add_lora(model: nnx.Module, config: LoRAConfig, *, seed: int) -> None:
    """Puts adapters on a model, which computes what it did: `b` is 0, `a` normal.

    Raises:
      ValueError: a target matches no linear layer.
    """
    layers = linears(model)
    for name, hit in _chosen(layers, config).items():
        *stack, inputs, outputs = layers[name].kernel.shape
        rng = np.random.default_rng([seed, *hash_words(name)])
        a = inputs**-0.5 * rng.standard_normal((*stack, inputs, config.rank), np.float32)
        gain = np.where(hit, config.alpha / config.rank, 0.0).astype(np.float32)
        b = jnp.zeros((*stack, config.rank, outputs))
        layers[name].lora = LoRA(jnp.asarray(a), b, jnp.asarray(gain.reshape(stack)))


def _chosen(modules: dict[str, Linear], config: LoRAConfig) -> dict[str, np.ndarray]:
    """For each linear module with a target, which of its layers are one, `bool[layers]`."""
    held = places({name: linear.kernel.shape for name, linear in modules.items()})
    every = [(name, place) for name, found in held.items() for place in found]
    depths: dict[str, int] = {}
    for _, place in every:
        depths[_tower(place)] = max(depths.get(_tower(place), 0), place.number + 1)
    hits = {name: np.zeros(len(found), bool) for name, found in held.items()}
    for target in config.targets:
        regex, layers = _parsed(target)
        wanted = [
            (name, place)
            for name, place in every
            if re.search(regex, place.name.replace("*", str(place.number)))
            and place.number in range(depths[_tower(place)])[layers]
        ]
        if not wanted:
            name = every[0][1].name.replace("*", "0")
            raise ValueError(f"targets: {target!r} matches no linear layer; names look like {name}")
        for name, place in wanted:
            hits[name][place.row or 0] = True
    return {name: hit for name, hit in hits.items() if hit.any()}


def _tower(place: Place) -> str:
    """The part of a model whose layers are numbered together."""
    return place.name.partition("/layers/")[0]


def merge_lora(model: nnx.Module) -> None:
    """Adds every adapter to its kernel and takes it off."""
    for linear in linears(model).values():
        if linear.lora is not None:
            kernel = jnp.asarray(linear.kernel[...])
            merge = jax.jit(_merged, donate_argnums=0, out_shardings=kernel.sharding)
            linear.kernel = nnx.Param(merge(kernel, linear.lora))
            linear.lora = None


def _merged(kernel: jax.Array, lora: LoRA) -> jax.Array:
    return (kernel.astype(jnp.float32) + lora.delta()).astype(kernel.dtype)
