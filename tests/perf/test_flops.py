"""The counts against the matrix products that the traced programs really have."""

import dataclasses

import jax
import numpy as np
import pytest
from flax import nnx
from jax.extend.core import ClosedJaxpr, Jaxpr

from chexjax.families import Family, preset
from chexjax.models import VLM, LoRAConfig, Prefix, add_lora
from chexjax.perf import flops
from chexjax.testing import random_batch, random_policy
from chexjax.train import SFT
from chexjax.train.step import split_params

FAMILY = preset("chexagent2_nano", Family)
IMAGES, RESPONSES = (0, 1, 2), 2


def products(jaxpr: Jaxpr) -> int:
    """Operations of all matrix products, those of scanned bodies as often as they run."""
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            [contracted, _], _ = equation.params["dimension_numbers"]
            depth = np.prod([equation.invars[0].aval.shape[d] for d in contracted], dtype=int)
            total += 2 * int(np.prod(equation.outvars[0].aval.shape, dtype=int) * depth)
        times = equation.params["length"] if equation.primitive.name == "scan" else 1
        total += times * sum(products(inner) for inner in inner_programs(equation.params))
    return total


def inner_programs(params):
    for value in jax.tree.leaves(dict(params), is_leaf=lambda x: isinstance(x, Jaxpr)):
        if isinstance(value, ClosedJaxpr):
            yield value.jaxpr
        elif isinstance(value, Jaxpr):
            yield value


@pytest.fixture(scope="module")
def batch():
    return random_batch(FAMILY, images=IMAGES, responses=RESPONSES)


@pytest.fixture(scope="module")
def work(batch):
    rows, slots = batch["prefix"]["images"].shape[:2]
    return flops.Work(
        images=rows * slots,
        prefixes=rows,
        prefix=batch["prefix"]["tokens"].shape[1],
        responses=rows * RESPONSES,
        response=batch["inputs"].shape[-1],
    )


def test_the_counter_of_this_test_by_hand():
    def program(a, b):
        return jax.lax.scan(lambda x, _: (x @ b, None), a, None, length=5)[0]

    traced = jax.make_jaxpr(program)(np.ones((2, 3)), np.ones((3, 3)))
    assert products(traced.jaxpr) == 5 * 2 * (2 * 3 * 3)


def test_a_forward_pass_is_counted_to_the_last_product(batch, work):
    graph, params = VLM.abstract(FAMILY)

    def forward(params):
        model = nnx.merge(graph, params)
        return model.logits(model.score(Prefix(**batch["prefix"]), batch["inputs"], batch["mask"]))

    assert flops.forward(FAMILY, work) == products(jax.make_jaxpr(forward)(params).jaxpr)


def from_cache(batch, family):
    """The batch with visual tokens in place of images."""
    prefix = dict(batch["prefix"])
    rows, slots = prefix.pop("images").shape[:2]
    shape = (rows, family.visual_tokens(slots), family.decoder.block.width)
    return batch | {"prefix": prefix | {"visual": np.ones(shape, np.float32)}}


@pytest.mark.parametrize("cached", [False, True])
def test_a_q_former_is_counted_to_the_last_product(cached):
    family = preset("chexagent_nano", Family)
    batch = random_batch(family, images=IMAGES, responses=RESPONSES)
    rows, slots = batch["prefix"]["images"].shape[:2]
    batch = from_cache(batch, family) if cached else batch
    work = flops.Work(
        images=0 if cached else rows * slots,
        prefixes=rows,
        prefix=batch["prefix"]["tokens"].shape[1],
        responses=rows * RESPONSES,
        response=batch["inputs"].shape[-1],
    )
    graph, params = VLM.abstract(family)

    def forward(params):
        model = nnx.merge(graph, params)
        return model.logits(model.score(Prefix(**batch["prefix"]), batch["inputs"], batch["mask"]))

    assert flops.forward(family, work) == products(jax.make_jaxpr(forward)(params).jaxpr)


def test_the_tower_is_counted_to_the_last_product(batch, work):
    graph, params = VLM.abstract(FAMILY)

    def encode(params):
        return nnx.merge(graph, params).encode_images(batch["prefix"]["images"])

    counted = products(jax.make_jaxpr(encode)(params).jaxpr)
    assert flops.images(FAMILY, work) == counted


@pytest.mark.parametrize("frozen", [True, False])
def test_a_training_step_is_counted_to_the_last_product(batch, work, frozen):
    freeze = ("vision/", "connector/") if frozen else ()
    graph, trainable, rest = split_params(random_policy(FAMILY), freeze)

    def loss(trainable):
        return SFT()(nnx.merge(graph, trainable, rest), batch).value.sum()

    counted = products(jax.make_jaxpr(jax.grad(loss))(trainable).jaxpr)
    assert flops.train_step(FAMILY, work, frozen_vision=frozen) == counted


def test_a_step_from_cached_tokens_has_no_product_of_the_tower(batch, work):
    graph, trainable, rest = split_params(random_policy(FAMILY), ("vision/", "connector/"))
    cached = from_cache(batch, FAMILY)

    def loss(trainable):
        return SFT()(nnx.merge(graph, trainable, rest), cached).value.sum()

    counted = products(jax.make_jaxpr(jax.grad(loss))(trainable).jaxpr)
    work = dataclasses.replace(work, images=0)
    assert flops.train_step(FAMILY, work, frozen_vision=True) == counted


def test_a_step_of_adapters_has_no_gradient_of_a_kernel(batch, work):
    """What adapters cost themselves is linear in their rank, and so falls out of two ranks."""

    def counted(rank):
        model = random_policy(FAMILY)
        add_lora(model, LoRAConfig(rank=rank), seed=0)
        graph, trainable, rest = split_params(model, ())

        def loss(trainable):
            return SFT()(nnx.merge(graph, trainable, rest), batch).value.sum()

        return products(jax.make_jaxpr(jax.grad(loss))(trainable).jaxpr)

    expected = flops.train_step(FAMILY, work, frozen_vision=True, adapters=True)
    assert 2 * counted(1) - counted(2) == expected
