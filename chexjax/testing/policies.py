"""Policies with random parameters."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from chexjax.families import Family
from chexjax.mesh import path_name
from chexjax.models import VLM
from chexjax.rng import hash_words

_abstract = functools.cache(VLM.abstract)


def random_policy(
    family: Family, *, seed: int = 0, dtype: Any = jnp.float32, remat: str = "none"
) -> VLM:
    """A policy in which every parameter matters.

    Unlike a fresh model's, biases and norm scales are random too, so that one which is forgotten
    or exchanged shows in the output. Kernels have the variance 1 / inputs.
    """
    graph, shapes = _abstract(family, dtype=dtype, remat=remat)

    def fill(path: Any, leaf: jax.ShapeDtypeStruct) -> jax.Array:
        name = path_name(path)
        noise = np.random.default_rng([seed, *hash_words(name)]).standard_normal(leaf.shape)
        if name.endswith("kernel"):
            values = leaf.shape[-2] ** -0.5 * noise
        else:
            values = name.endswith("scale") + 0.3 * noise
        return jnp.asarray(values, jnp.float32)

    return nnx.merge(graph, jax.tree_util.tree_map_with_path(fill, shapes))
