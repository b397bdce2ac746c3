import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chexjax.ops.packing import ALL, Packing

MASK = np.arange(4) < np.asarray([[2, 0], [4, 1], [1, 1], [0, 3]])[..., None]  # [4, 2, 4]


def packing(groups, capacity):
    grid = MASK.reshape(groups, -1)
    rows = np.full((groups, capacity), grid.shape[1], np.int32)
    for row, real in zip(rows, grid, strict=True):
        row[: real.sum()] = np.flatnonzero(real)
    return Packing.of(jnp.asarray(MASK), jnp.asarray(rows))


@pytest.mark.parametrize(("groups", "capacity"), [(1, 12), (1, 15), (2, 7), (4, 6)])
def test_packing_and_unpacking_keep_every_real_token(groups, capacity):
    x = np.random.default_rng(0).standard_normal((*MASK.shape, 3)).astype(np.float32)
    packed = packing(groups, capacity).pack(jnp.asarray(x))
    assert packed.shape == (groups, capacity, 3)
    rows = packed.reshape(-1, 3)[np.asarray((packed != 0).any(-1)).ravel()]
    np.testing.assert_array_equal(rows, x[MASK])  # in their order, group after group
    back = packing(groups, capacity).unpack(packed, MASK.shape)
    np.testing.assert_array_equal(back, x * MASK[..., None])


def test_gradients_go_the_other_way():
    x = np.random.default_rng(1).standard_normal(MASK.shape).astype(np.float32)
    given = packing(2, 8)
    slopes = np.arange(16, dtype=np.float32).reshape(2, 8)
    gradient = jax.grad(lambda x: (given.pack(x) * slopes).sum())(jnp.asarray(x))
    expected = np.zeros(MASK.shape, np.float32)
    for group, pairs in enumerate((slice(0, 2), slice(2, 4))):
        inside = MASK[pairs]
        expected[pairs][inside] = slopes[group, : inside.sum()]
    np.testing.assert_array_equal(gradient, expected)
    of_rows = jax.grad(lambda y: (given.unpack(y, MASK.shape) * x).sum())(jnp.asarray(slopes))
    assert of_rows[0].tolist()[:7] == x[:2][MASK[:2]].tolist()
    assert of_rows[0, 7] == 0


def test_without_indices_every_slot_is_a_row():
    x = jnp.arange(32.0).reshape(MASK.shape)
    assert ALL.pack(x).shape == (4, 8)
    np.testing.assert_array_equal(ALL.unpack(ALL.pack(x), MASK.shape), x)
