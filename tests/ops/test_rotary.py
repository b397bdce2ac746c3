import jax
import jax.numpy as jnp
import numpy as np

from chexjax.ops import rotary
from chexjax.testing import assert_close

rotate = jax.jit(rotary.rotate, static_argnames=("dims", "theta", "rebuilt_at"))


def test_dimension_pairs_turn_as_complex_numbers():
    """Dimensions k and k + dims/2 are one complex number, turned by position * theta^(-2k/dims)."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 5, 3, 10)).astype(np.float32)
    positions = rng.integers(0, 300, (2, 5))
    dims, theta = 6, 100.0
    expected = x.astype(np.float64)
    for k in range(3):
        turned = x[..., k] + 1j * x[..., k + 3]
        turned = turned * np.exp(1j * positions[..., None] * theta ** (-2 * k / dims))
        expected[..., k], expected[..., k + 3] = turned.real, turned.imag
    assert_close(rotate(jnp.asarray(x), positions, dims=dims, theta=theta), expected)


def test_scores_depend_on_distance_only():
    rng = np.random.default_rng(1)
    q, k = rng.standard_normal((2, 1, 1, 1, 8)).astype(np.float32)

    def score(q_position, k_position):
        turned = (
            rotate(jnp.asarray(x), jnp.full((1, 1), position), dims=8, theta=1e4)
            for x, position in ((q, q_position), (k, k_position))
        )
        return float(jnp.vdot(*turned))

    np.testing.assert_allclose(score(7, 3), score(507, 503), rtol=1e-4)


def test_angles_are_exact_for_half_precision_streams():
    """bfloat16 holds no odd integers above 256: a table in the dtype of `x` would mix positions."""
    x = jnp.zeros((1, 2, 1, 2), jnp.bfloat16).at[..., 0].set(1)
    out = rotate(x, jnp.asarray([[4000, 4001]]), dims=2, theta=1e4)
    assert out.dtype == jnp.bfloat16
    expected = [[np.cos(p), np.sin(p)] for p in (4000, 4001)]
    np.testing.assert_allclose(np.asarray(out, np.float32)[0, :, 0], expected, atol=2**-8)


def test_no_rotary_dimensions_leave_the_stream():
    x = jnp.ones((1, 2, 1, 4))
    assert rotary.rotate(x, jnp.asarray([[3, 4]]), dims=0, theta=1e4) is x


def test_the_official_table_in_half_precision_is_reproduced_past_its_end():
    """Measured on the original code: of 2,100 positions 644 are left, cosines up to 1.997 off."""
    dims = 32
    x = jnp.zeros((2, 2100, 1, dims)).at[..., : dims // 2].set(1)
    positions = jnp.stack([jnp.arange(2100), jnp.minimum(jnp.arange(2100), 2047)])
    coarse = rotate(x, positions, dims=dims, theta=1e4, rebuilt_at=2048)
    exact = rotate(x, positions, dims=dims, theta=1e4)
    table = np.asarray(coarse)[0, :, 0]
    assert len(np.unique(table, axis=0)) == 644
    error = np.abs(table - exact[0, :, 0])[:, : dims // 2]
    np.testing.assert_allclose([error.max(), error.mean()], [1.997, 0.135], rtol=0.01)
    # A stream that ends before keeps the exact one.
    np.testing.assert_array_equal(coarse[1], exact[1])
