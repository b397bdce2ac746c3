"""Random parameters, made on the host.

Values follow from (seed, parameter path) alone, so they are the same on any mesh, and nothing has
to be compiled for them.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np
from flax import nnx

from chexjax.mesh import path_name
from chexjax.rng import hash_words


def random_params(state: nnx.State, *, layers: int, seed: int) -> nnx.State:
    """Fills an abstract state with float32 numbers.

    Kernels are normal with variance 1 / inputs, and those that write to the residual stream are
    divided by sqrt(2 layers) besides (GPT-2); embeddings are normal with standard deviation 0.02;
    image positions start as the sine-cosine table, so that the tower knows where a patch is from
    the first step on; scales are 1, biases 0.

    Args:
      state: Shapes, from `nnx.eval_shape`.
      layers: Depth that the residual kernels are scaled for.
      seed: Of the numbers.
    """

    def fill(path: Any, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        name = path_name(path)
        if name.endswith("bias"):
            return np.zeros(leaf.shape, np.float32)
        if name.endswith("scale"):
            return np.ones(leaf.shape, np.float32)
        if name.endswith(("position", "table")):
            return _positions(leaf.shape)
        deviation = 0.02
        if name.endswith("kernel"):
            residual = name.endswith(("out/kernel", "fc2/kernel"))
            deviation = leaf.shape[-2] ** -0.5 * ((2 * layers) ** -0.5 if residual else 1.0)
        rng = np.random.default_rng([seed, *hash_words(name)])
        return deviation * rng.standard_normal(leaf.shape, np.float32)

    return jax.tree_util.tree_map_with_path(fill, state)


def _positions(shape: tuple[int, ...]) -> np.ndarray:
    """The table of a square of patches; a class token in front of them stands nowhere."""
    *_, rows, width = shape
    table = sincos_table(math.isqrt(rows), width)
    return np.pad(table, ((rows - len(table), 0), (0, 0))).reshape(shape)


def sincos_table(grid: int, width: int) -> np.ndarray:
    """2-D sine-cosine position table, `f32[grid * grid, width]`, row by row.

    The first half of the width encodes the column, the second the row; each half is sines,
    then cosines, with frequencies 10000^(-i / (width / 4)) (MAE, arXiv 2111.06377).
    """
    frequencies = 10_000.0 ** (-np.arange(width // 4) / (width // 4))
    rows, columns = np.divmod(np.arange(grid * grid), grid)
    halves = [np.outer(index, frequencies) for index in (columns, rows)]
    parts = [wave(half) for half in halves for wave in (np.sin, np.cos)]
    return np.concatenate(parts, axis=1).astype(np.float32)
