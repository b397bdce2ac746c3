"""Random bits that depend on what is drawn, never on when or where.

A key is a function of (seed, stage, study id, draw). Batch composition, mesh, number of
processes and interruptions do not enter, so a run gives the same bits wherever it goes on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np


def hash_words(name: str) -> np.ndarray:
    """The 64-bit hash of a name as two words, `u32[2]`."""
    return np.frombuffer(hashlib.blake2b(name.encode(), digest_size=8).digest(), "<u4")


def stage_key(seed: int, stage: str) -> jax.Array:
    """The key of one stage of a run."""
    return _fold_words(jax.random.key(seed), jnp.asarray(hash_words(stage)))


def row_keys(seed: int, stage: str, ids: Sequence[str], draws: int) -> jax.Array:
    """One key for each draw of each row, `key[B, N]`."""
    words = np.stack([hash_words(name) for name in ids])
    return _row_keys(stage_key(seed, stage), jnp.asarray(words), draws)


def _fold_words(key: jax.Array, words: jax.Array) -> jax.Array:
    return jax.random.fold_in(jax.random.fold_in(key, words[0]), words[1])


@jax.jit(static_argnames="draws")
def _row_keys(key: jax.Array, words: jax.Array, draws: int) -> jax.Array:
    rows = jax.vmap(_fold_words, in_axes=(None, 0))(key, words)
    per_draw = jax.vmap(jax.random.fold_in, in_axes=(None, 0))
    return jax.vmap(per_draw, in_axes=(0, None))(rows, jnp.arange(draws))
