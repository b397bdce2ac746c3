"""Int8 kernels: their rounding, their bytes, and what a model loses by them."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from chexjax.families import Family, preset
from chexjax.models import Prefix, quantize_int8
from chexjax.ops.linear import Linear, linears
from chexjax.testing import random_batch, random_policy

FAMILIES = [preset(name, Family) for name in ("chexagent2_nano", "chexagent_nano")]


def test_a_layer_by_hand():
    linear = Linear(3, 2, dtype=jnp.float32)
    linear.kernel[...] = jnp.array([[1.27, 0.0], [-0.634, 0.0], [0.0, 0.0]])
    linear.bias[...] = jnp.array([0.5, -1.0])
    quantize_int8(linear)
    assert linear.kernel[...].dtype == jnp.int8
    np.testing.assert_array_equal(linear.kernel[...], [[127, 0], [-63, 0], [0, 0]])
    np.testing.assert_allclose(linear(jnp.ones(3)), [1.27 - 0.63 + 0.5, -1.0], rtol=1e-6)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_no_weight_moves_by_more_than_half_a_step(family):
    model, before = random_policy(family), linears(random_policy(family))
    quantize_int8(model)
    for name, linear in linears(model).items():
        step = np.asarray(linear.step[...])[..., None, :]
        error = np.abs(np.asarray(linear.kernel[...]) * step - before[name].kernel[...])
        assert (error <= 0.501 * step).all(), name
        assert np.abs(np.asarray(linear.kernel[...], int)).max() == 127, name


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_quantised_policy_computes_nearly_the_same(family):
    batch = random_batch(family, images=(0, 1, 2), responses=2)
    model = random_policy(family)

    @nnx.jit
    def logits(model):
        return model.logits(model.score(Prefix(**batch["prefix"]), batch["inputs"], batch["mask"]))

    exact = logits(model)
    quantize_int8(model)
    error = np.asarray(logits(model) - exact)
    assert 0 < error.std() < 0.05 * np.std(exact)


def test_layers_can_be_kept():
    model = random_policy(FAMILIES[0])
    quantize_int8(model, keep=("decoder/head", "connector/"))
    kept = {name for name, linear in linears(model).items() if linear.step is None}
    assert kept == {"decoder/head", "connector/fc1", "connector/fc2", "connector/project"}
    with pytest.raises(ValueError, match="'decodr/' matches no linear layer"):
        quantize_int8(random_policy(FAMILIES[0]), keep=("decodr/",))


def test_twice_is_refused():
    model = random_policy(FAMILIES[0])
    quantize_int8(model)
    with pytest.raises(ValueError, match="is int8 already"):
        quantize_int8(model)
