"""Comparison of whole trees, for "the fast path equals the plain one"."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from chexjax.mesh import path_name


def assert_close(actual: Any, expected: Any, *, rtol: float = 1e-5, atol: float = 0.0) -> None:
    """Compares two trees of arrays, leaf by leaf.

    The error of a leaf is measured against the leaf's largest value, not entry by entry: sums
    that nearly cancel carry the rounding of their terms.

    Args:
      actual: Tree of arrays.
      expected: Tree with the same structure and shapes.
      rtol: Largest error allowed, as a share of the largest expected value of the leaf.
      atol: Error allowed besides, for leaves that are zero but for rounding.

    Raises:
      AssertionError: structures, shapes or values differ; names the leaf and its error.
    """
    here, there = (jax.tree_util.tree_leaves_with_path(tree) for tree in (actual, expected))
    names = [path_name(path) for path, _ in there]
    assert [path_name(path) for path, _ in here] == names, "the trees differ in structure"
    wrong = []
    for name, (_, a), (_, b) in zip(names, here, there, strict=True):
        error, scale = _difference(name, np.asarray(a), np.asarray(b))
        if not error <= rtol * scale + atol:  # written so that nan is wrong
            wrong.append(f"{name or 'array'}: {error:.1e} apart at a scale of {scale:.1e}")
    assert not wrong, f"not equal within {rtol:.0e}:\n" + "\n".join(wrong)


def _difference(name: str, actual: np.ndarray, expected: np.ndarray) -> tuple[float, float]:
    """Largest error and largest expected value."""
    assert actual.shape == expected.shape, f"{name}: shape {actual.shape}, not {expected.shape}"
    if not expected.size:
        return 0.0, 0.0
    actual, expected = actual.astype(np.float64), expected.astype(np.float64)
    return float(np.abs(actual - expected).max()), float(np.abs(expected).max())
