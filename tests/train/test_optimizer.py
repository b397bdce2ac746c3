"""AdamW: optax's numbers, without a second copy of its moments."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from chexjax.train import OptimizerConfig
from chexjax.train.optimizer import make_optimizer

SHAPE = (256, 512)


def drawn(seed):
    one, two = jax.random.split(jax.random.key(seed))
    return {"kernel": jax.random.normal(one, SHAPE), "bias": jax.random.normal(two, SHAPE[1:])}


def updater(optimizer, **extra):
    """A jitted step in the memory of its parameters and its state."""

    def update(params, state, grads):
        directions, state = optimizer.update(grads, state, params, **extra)
        return jax.tree.map(lambda p, d: p - 0.01 * d, params, directions), state

    return jax.jit(update, donate_argnums=(0, 1))


def test_the_numbers_are_those_of_optax():
    """Weight decay is on kernels alone."""
    ours = make_optimizer(OptimizerConfig(b1=0.8, b2=0.95, weight_decay=0.1, clip=1.0))
    theirs = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adamw(-1.0, b1=0.8, b2=0.95, weight_decay=0.1, mask={"kernel": True, "bias": False}),
    )
    found = []
    for optimizer, extra in ((ours, {"finite": jnp.asarray(True)}), (theirs, {})):
        params, step = drawn(0), updater(optimizer, **extra)
        state = optimizer.init(params)
        for seed in range(1, 5):
            params, state = step(params, state, drawn(seed))
        found.append(params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), *found)


@pytest.mark.parametrize("first", [True, False], ids=["first step", "later step"])
def test_moments_and_count_stay_where_a_step_is_not_finite(first):
    optimizer, params = make_optimizer(OptimizerConfig()), drawn(0)
    state = optimizer.init(params)
    if not first:
        _, state = optimizer.update(drawn(1), state, params, finite=jnp.asarray(True))
    bad = jax.tree.map(lambda x: x * jnp.nan, drawn(2))
    _, after = optimizer.update(bad, state, params, finite=jnp.asarray(False))
    jax.tree.map(np.testing.assert_array_equal, after, state)


def test_the_update_keeps_no_copy_of_the_moments():
    params = drawn(0)
    optimizer = make_optimizer(OptimizerConfig())
    step = updater(optimizer, finite=jnp.asarray(True))
    compiled = step.lower(params, optimizer.init(params), drawn(1)).compile()
    assert f"f32[{SHAPE[0]},{SHAPE[1]}]" in compiled.as_text()
    copies = [line for line in compiled.as_text().splitlines() if " copy(" in line]
    assert not [line for line in copies if f"f32[{SHAPE[0]},{SHAPE[1]}]" in line]
