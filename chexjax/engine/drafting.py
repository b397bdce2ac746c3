"""Drafts of what comes next, looked up in what was written before (prompt lookup).

A draft changes no token: the model reads it at once with the last token, and what it would have
written itself is kept. Judges write the same labels over and over, so most of a draft often is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

_RECENT = 512
"""Tokens of earlier answers that are kept."""

NEAR = 1e-3
"""Logits that are no further apart are a near tie, which rounding may decide either way."""

_LONGEST = 4
"""Tokens that a place is searched by, at most; two at least."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Texts:
    """What drafts are looked up in.

    Attributes:
      own: Each row's prompt and what it has written, `i32[*batch, C]`.
      count: Tokens of it, `i32[*batch]`.
      shared: What many rows may repeat, `i32[E]`; ids below 0 match nothing.
      fixed: Which of that is the same whatever is asked, `bool[E]`: labels, not counts.
    """

    own: jax.Array
    count: jax.Array
    shared: jax.Array
    fixed: jax.Array

    def draft(self, size: int) -> tuple[jax.Array, jax.Array]:
        """What stood behind the latest of the longest runs that a row ends with.

        Returns:
          `i32[*batch, size]`, with ids that are no token's where no run of two is found; and
          which of it is fixed, `bool[*batch, size]`.
        """

        def look_up(own: jax.Array, count: jax.Array) -> tuple[jax.Array, jax.Array]:
            return _look_up(own, count, self.shared, self.fixed, size)

        for _ in range(self.count.ndim):
            look_up = jax.vmap(look_up)
        return look_up(self.own, self.count)

    def add(self, tokens: jax.Array, count: jax.Array) -> Texts:
        """The same with the first `count` of `tokens` behind each row's own."""

        def put(own: jax.Array, tokens: jax.Array, at: jax.Array) -> jax.Array:
            return jax.lax.dynamic_update_slice_in_dim(own, tokens, at, 0)

        for _ in range(self.count.ndim):
            put = jax.vmap(put)
        own = put(self.own, tokens, self.count)
        return dataclasses.replace(self, own=own, count=self.count + count)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Likely:
    """Text that many answers repeat.

    Attributes:
      ids: Its tokens.
      fixed: Which of them stand in every answer as they are: labels, not what is said.
    """

    ids: Sequence[int]
    fixed: Sequence[bool]


@dataclasses.dataclass
class Counts:
    """What drafting was worth.

    Attributes:
      steps: Steps of rows.
      tokens: Tokens that they wrote; as many as steps without drafts.
      near_ties: Tokens that another one came near to, which plain decoding may have written.
    """

    steps: int = 0
    tokens: int = 0
    near_ties: int = 0


class Drafts:
    """What an engine drafts from, beside the rows themselves."""

    def __init__(self, size: int, trust: float, likely: Likely) -> None:
        """Takes the tokens drafted in a step, and what every answer may repeat."""
        self.size, self.trust, self.counts = size, trust, Counts()
        recent = np.full(_RECENT, -1, np.int32)
        self._shared = np.concatenate([np.asarray(likely.ids, np.int32), recent])
        self._fixed = np.pad(np.asarray(likely.fixed, bool), (0, _RECENT))

    def texts(self, own: np.ndarray, count: np.ndarray) -> Texts:
        """What rows of tokens `i32[*batch, C]` are looked up in."""
        return Texts(own, count, self._shared, self._fixed)  # type: ignore[arg-type]

    def note(self, count: np.ndarray, margins: np.ndarray) -> None:
        """Counts the tokens that each step of a row wrote, and near ties by their margins."""
        self.counts.steps += len(count)
        self.counts.tokens += len(margins)
        self.counts.near_ties += int((margins < NEAR).sum())

    def learn(self, answer: Sequence[int]) -> None:
        """Keeps an answer, and lets go of the oldest ones."""
        kept = np.asarray(answer[-_RECENT:], np.int32)
        recent = self._shared[-_RECENT:]
        self._shared[-_RECENT:] = np.concatenate([recent, kept])[-_RECENT:]


def _look_up(
    own: jax.Array, count: jax.Array, shared: jax.Array, fixed: jax.Array, size: int
) -> tuple[jax.Array, jax.Array]:
    """The draft of one row, `i32[size]`, `bool[size]`."""
    text = jnp.concatenate([shared, own])
    end = len(shared) + count
    places = jnp.arange(len(text))  # of the token behind a run
    same, length = jnp.ones(text.shape, bool), jnp.zeros(text.shape, jnp.int32)
    for back in range(1, _LONGEST + 1):
        same = same & (jnp.roll(text, back) == text[end - back]) & (places >= back)
        length += same
    known = (places < end) & (length >= 2)
    best = jnp.argmax(jnp.where(known, length * len(text) + places, -1))
    behind = best + jnp.arange(size)
    found = known[best] & (behind < end)
    draft = jnp.where(found, text[jnp.minimum(behind, len(text) - 1)], -1)
    if not len(shared):
        return draft, jnp.zeros(size, bool)
    return draft, found & (behind < len(shared)) & fixed[jnp.minimum(behind, len(shared) - 1)]
