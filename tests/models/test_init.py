import dataclasses

import jax
import numpy as np
import pytest

from chexjax.families import Family, preset
from chexjax.mesh import path_name
from chexjax.models import VLM, random_params
from chexjax.models.init import sincos_table

NANO = preset("chexagent2_nano", Family)
FAMILY = dataclasses.replace(NANO, decoder=dataclasses.replace(NANO.decoder, layers=4))


def made(seed, family=FAMILY):
    shapes = VLM.abstract(family)[1]
    params = random_params(shapes, layers=family.decoder.layers, seed=seed)
    assert jax.tree.map(np.shape, params) == jax.tree.map(np.shape, shapes)
    return {path_name(p): np.asarray(x) for p, x in jax.tree_util.tree_leaves_with_path(params)}


@pytest.fixture(scope="module")
def params():
    return made(3)


def test_kernels_have_the_stated_spread(params):
    """Variance 1 / inputs; what is added to the residual stream, 1 / (2 layers) of that."""
    expected = {
        "decoder/body/attention/query/kernel": 32**-0.5,
        "decoder/body/attention/out/kernel": 32**-0.5 * 8**-0.5,
        "decoder/body/mlp/fc2/kernel": 128**-0.5 * 8**-0.5,
        "decoder/last/mlp/fc1/kernel": 32**-0.5,
        "vision/patch/kernel": 64**-0.5,
        "decoder/embed/embedding": 0.02,
    }
    for name, deviation in expected.items():
        np.testing.assert_allclose(params[name].std(), deviation, rtol=0.06, err_msg=name)
        assert abs(params[name].mean()) < 0.1 * deviation


def test_what_is_not_random(params):
    for name, values in params.items():
        if name.endswith("bias"):
            assert not values.any(), name
        if name.endswith("scale"):
            assert (values == 1).all(), name
    np.testing.assert_array_equal(params["vision/position"], sincos_table(4, 32))


def test_a_class_token_stands_in_front_of_the_patches():
    position = made(3, preset("chexagent_nano", Family))["vision/position"]
    np.testing.assert_array_equal(position[0, 1:], sincos_table(4, 32))
    assert not position[0, 0].any()


def test_numbers_follow_from_seed_and_path(params):
    again, other = made(3), made(4)
    for name in params:
        np.testing.assert_array_equal(params[name], again[name])
        assert not name.endswith("kernel") or (params[name] != other[name]).any()
    query, key = (params[f"decoder/last/attention/{part}/kernel"] for part in ("query", "key"))
    assert (query != key).any()
    stacked = params["decoder/body/attention/query/kernel"]
    assert (stacked[0] != stacked[1]).any()
