"""AdamW whose moments are updated in place, and its learning rates."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from chexjax.mesh import path_name
from chexjax.train.config import OptimizerConfig

_EPSILON = 1e-8


def make_optimizer(config: OptimizerConfig) -> optax.GradientTransformationExtraArgs:
    """Clipping and AdamW at learning rate 1; `make_step` scales by the rate of the step.

    The rate is an input of the step and no constant in it, so that runs of different lengths
    share one compiled program. `update` takes `finite`, `bool[]`: moments stay where it is False.
    """

    def decayed(params: nnx.State) -> Any:
        return jax.tree_util.tree_map_with_path(
            lambda path, _: path_name(path).endswith("kernel"), params
        )

    return optax.chain(
        optax.clip_by_global_norm(config.clip),
        _adam(config.b1, config.b2),
        optax.add_decayed_weights(config.weight_decay, decayed),
    )


def _adam(b1: float, b2: float) -> optax.GradientTransformationExtraArgs:
    """`optax.scale_by_adam`, in the memory that the moments have.

    Left alone, XLA makes the new moments a second time inside the update of the parameters, from
    copies of the old ones that it keeps for that: as much memory again as the moments take. Behind
    the barrier the update reads the new ones.
    """
    adam = optax.scale_by_adam(b1, b2, eps=_EPSILON)

    def update(
        grads: Any, state: Any, params: Any = None, *, finite: jax.Array, **_: Any
    ) -> tuple[Any, Any]:
        _, moved = adam.update(grads, state)
        kept = jax.tree.map(lambda new, old: jnp.where(finite, new, old), moved, state)
        kept = jax.lax.optimization_barrier(kept)
        first = optax.tree.bias_correction(kept.mu, b1, kept.count)
        second = optax.tree.bias_correction(kept.nu, b2, kept.count)
        return jax.tree.map(lambda m, v: m / (jnp.sqrt(v) + _EPSILON), first, second), kept

    return optax.GradientTransformationExtraArgs(adam.init, update)


def learning_rates(config: OptimizerConfig, steps: int) -> np.ndarray:
    """Learning rate of each step, `f32[steps]`: linear warm-up, then cosine decay."""
    length = max(steps, 1)
    schedule = optax.warmup_cosine_decay_schedule(
        init_value=0.0,
        peak_value=config.learning_rate,
        # One step at least is left for the decay, or optax refuses.
        warmup_steps=min(round(config.warmup_share * length), length - 1),
        decay_steps=length,
        end_value=config.final_share * config.learning_rate,
    )
    return np.asarray(schedule(jnp.arange(steps)), np.float32)
