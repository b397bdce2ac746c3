"""A reference policy beside the trained one, in every step, fixed or moving."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reference:
    """A reference policy that is kept beside the trained one and runs in every step.

    It stays what the policy was at the start, or follows it (Gorbatovski et al., arXiv:2404.09656).

    Attributes:
      every: Steps after which it becomes the policy, each time; None for never.
      decay: Share of itself that it keeps in every step, the rest being the policy's; None for all.
    """

    every: int | None = None
    decay: float | None = None

    def followed(self, old: nnx.State, policy: nnx.State, step: jax.Array) -> nnx.State:
        """The reference's parameters behind step number `step`, counted from 1."""
        if (decay := self.decay) is not None:
            return jax.tree.map(lambda o, p: decay * o + (1 - decay) * p, old, policy)
        if self.every is not None:
            due = step % self.every == 0
            return jax.tree.map(lambda o, p: jnp.where(due, p, o), old, policy)
        return old
