import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from chexjax.models import quantize_int8
from chexjax.ops.linear import Linear, LoRA, Turned, matmul
from chexjax.testing import assert_close


def test_gradients_of_a_matmul_are_those_of_jax():
    rng = np.random.default_rng(0)
    x, kernel = rng.standard_normal((2, 3, 4)), rng.standard_normal((4, 5))
    given = jnp.asarray(x, jnp.float32), jnp.asarray(kernel, jnp.float32)

    def gradients(product):
        return jax.grad(lambda x, k: jnp.sin(product(x, k)).sum(), (0, 1))(*given)

    assert_close(gradients(matmul), gradients(jnp.matmul), rtol=1e-6)


@pytest.mark.parametrize("what", ["plain", "biased", "lora", "int8"])
def test_a_turned_layer_gives_its_columns_what_it_gave_rows(what):
    rng = np.random.default_rng(0)
    linear = Linear(6, 4, bias=what != "plain", dtype=jnp.float32)
    linear.kernel[...] = rng.standard_normal((6, 4), np.float32)
    if linear.bias is not None:
        linear.bias[...] = rng.standard_normal(4, np.float32)
    if what == "lora":
        a, b = rng.standard_normal((6, 2), np.float32), rng.standard_normal((2, 4), np.float32)
        linear.lora = LoRA(jnp.asarray(a), jnp.asarray(b), jnp.asarray(0.5))
    if what == "int8":
        quantize_int8(nnx.List([linear]))
    x = rng.standard_normal((3, 6), np.float32)
    assert_close(Turned.of(linear)(x.T).T, linear(x), rtol=1e-5)
