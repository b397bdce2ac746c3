import jax
import jax.numpy as jnp
import numpy as np

from chexjax.ops.linear import matmul
from chexjax.testing import assert_close


def test_gradients_of_a_matmul_are_those_of_jax():
    rng = np.random.default_rng(0)
    x, kernel = rng.standard_normal((2, 3, 4)), rng.standard_normal((4, 5))
    given = jnp.asarray(x, jnp.float32), jnp.asarray(kernel, jnp.float32)

    def gradients(product):
        return jax.grad(lambda x, k: jnp.sin(product(x, k)).sum(), (0, 1))(*given)

    assert_close(gradients(matmul), gradients(jnp.matmul), rtol=1e-6)
