"""Adapters: what they add, where they sit, and that they alone are trained."""

import jax
import numpy as np
import pytest
from flax import nnx

from chexjax.families import Family, preset
from chexjax.mesh import MeshConfig, make_mesh, parameter_shardings, path_name
from chexjax.models import LoRAConfig, Prefix, add_lora, merge_lora
from chexjax.ops.linear import LoRA
from chexjax.testing import assert_close, random_batch, random_policy
from chexjax.train import SFT
from chexjax.train.step import split_params

NANO, EIGHT = (preset(name, Family) for name in ("chexagent2_nano", "chexagent_nano"))
EVERYWHERE = LoRAConfig(rank=3, alpha=6.0, targets=(".",))


@nnx.jit
def hidden(model, batch):
    return model.score(Prefix(**batch["prefix"]), batch["inputs"], batch["mask"])


def adapters(model):
    return {
        "/".join(map(str, path)).removesuffix("/lora"): module
        for path, module in nnx.iter_modules(model)
        if isinstance(module, LoRA)
    }


def adapted(family, config):
    model = random_policy(family)
    add_lora(model, config, seed=1)
    return model


def randomise(model):
    for number, lora in enumerate(adapters(model).values()):
        rng = np.random.default_rng(number)
        lora.b[...] = rng.normal(size=lora.b.shape).astype(np.float32)


@pytest.mark.parametrize("family", [NANO, EIGHT], ids=lambda family: family.name)
def test_new_adapters_change_nothing_and_merged_ones_what_they_changed_before(family):
    batch = random_batch(family, images=(0, 1, 2), responses=2)
    bare = hidden(random_policy(family), batch)
    model = adapted(family, EVERYWHERE)
    assert_close(hidden(model, batch), bare, rtol=1e-5)
    randomise(model)
    beside = hidden(model, batch)
    assert np.abs(beside - bare).max() > 0.1
    merge_lora(model)
    assert not adapters(model)
    assert_close(hidden(model, batch), beside, rtol=1e-4)


def test_an_adapter_adds_alpha_over_rank_times_the_product():
    model = adapted(NANO, LoRAConfig(rank=2, alpha=5.0, targets=("decoder/head",)))
    randomise(model)
    lora, kernel = model.decoder.head.lora, np.array(model.decoder.head.kernel[...])
    expected = kernel + 2.5 * np.array(lora.a[...]) @ np.array(lora.b[...])
    merge_lora(model)
    np.testing.assert_allclose(model.decoder.head.kernel[...], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (r"decoder/.*/(query|value)$", {0, 1, 2}),
        (r"decoder/.*/(query|value)$@1:", {1, 2}),
        (r"decoder/.*/(query|value)$@:-1", {0, 1}),
        (r"decoder/.*/(query|value)$@-1:", {2}),
        (r"decoder/layers/[02]/attention/(query|value)", {0, 2}),
    ],
)
def test_a_layer_outside_of_the_range_is_left_alone(target, expected):
    model = adapted(EIGHT, LoRAConfig(rank=2, targets=(target,)))
    gains = {name: np.atleast_1d(lora.gain[...]) for name, lora in adapters(model).items()}
    assert {name.rsplit("/", 1)[1] for name in gains} == {"query", "value"}
    of_query = {k: v for k, v in gains.items() if k.endswith("query")}
    of_layer = [
        *of_query.get("decoder/body/attention/query", np.zeros(2)),
        *of_query.get("decoder/last/attention/query", np.zeros(1)),
    ]
    assert {layer for layer, gain in enumerate(of_layer) if gain} == expected


def test_a_q_formers_layers_are_numbered_as_in_its_checkpoint():
    model = adapted(EIGHT, LoRAConfig(rank=2, targets=(r"connector/.*/attention/query@1:3",)))
    gains = {name: lora.gain[...].tolist() for name, lora in adapters(model).items()}
    assert gains == {
        "connector/pairs/even/attention/query": [0.0, 8.0],
        "connector/pairs/odd/attention/query": [8.0, 0.0],
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"targets": ("decoder/.*/qeury",)}, "'decoder/.*/qeury' matches no linear layer; names"),
        ({"targets": (r"decoder/layers@9:",)}, "'decoder/layers@9:' matches no linear layer"),
        ({"targets": ("de(coder",)}, "'de\\(coder' is no regex"),
        ({"rank": -1}, "rank=-1 must be 0"),
        ({"alpha": 0.0}, "alpha=0.0 must be above 0"),
    ],
)
def test_adapters_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        adapted(NANO, LoRAConfig(**{"rank": 2} | options))


def test_nothing_but_adapters_has_a_gradient_and_layers_outside_a_range_have_none():
    model = adapted(NANO, LoRAConfig(rank=2, targets=("decoder/layers/.*/fc1@1:",)))
    randomise(model)
    graph, trainable, frozen = split_params(model, ())
    batch = random_batch(NANO, images=(1, 2))

    def loss(trainable):
        return SFT()(nnx.merge(graph, trainable, frozen), batch).value.sum()

    grads = jax.tree_util.tree_leaves_with_path(jax.jit(jax.grad(loss))(trainable))
    size = {path_name(path): float(np.abs(grad).max()) for path, grad in grads}
    assert {name: value > 0 for name, value in size.items()} == {
        "decoder/last/mlp/fc1/lora/a": True,
        "decoder/last/mlp/fc1/lora/b": True,
    }


def test_every_family_places_its_adapters():
    mesh = make_mesh(MeshConfig())
    for family in (NANO, EIGHT):
        state = nnx.state(adapted(family, EVERYWHERE))
        parameter_shardings(state, family.sharding, mesh)
