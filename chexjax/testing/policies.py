"""Models with random parameters."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from chexjax.families import AnyFamily, Family
from chexjax.mesh import path_name
from chexjax.models import VLM, model_class
from chexjax.rng import hash_words


@functools.cache
def _abstract(family: AnyFamily, **options: Any) -> tuple[nnx.GraphDef, nnx.State]:
    abstract: tuple[nnx.GraphDef, nnx.State] = model_class(family).abstract(family, **options)
    return abstract


def random_policy(
    family: Family, *, seed: int = 0, dtype: Any = jnp.float32, remat: str = "none"
) -> VLM:
    """A policy in which every parameter matters; see `random_model`."""
    policy: VLM = random_model(family, seed=seed, dtype=dtype, remat=remat)
    return policy


def random_model(family: AnyFamily, *, seed: int = 0, **options: Any) -> Any:
    """A model of any family in which every parameter matters.

    Unlike a fresh model's, biases and norm scales are random too, so that one which is forgotten
    or exchanged shows in the output. Kernels have the variance 1 / inputs.

    Args:
      family: Shapes.
      seed: Of the numbers.
      options: Of the model's constructor.
    """
    graph, shapes = _abstract(family, **options)

    def fill(path: Any, leaf: jax.ShapeDtypeStruct) -> jax.Array:
        name = path_name(path)
        noise = np.random.default_rng([seed, *hash_words(name)]).standard_normal(leaf.shape)
        if name.endswith("kernel"):
            values = leaf.shape[-2] ** -0.5 * noise
        else:
            values = name.endswith("scale") + 0.3 * noise
        return jnp.asarray(values, jnp.float32)

    return nnx.merge(graph, jax.tree_util.tree_map_with_path(fill, shapes))
