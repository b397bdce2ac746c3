"""For every kind of policy: what is trained is what is served."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from chexjax.families import Family, preset
from chexjax.models import Prefix
from chexjax.testing import assert_close, random_batch, random_policy


@pytest.fixture(scope="module")
def case():
    """Studies of no, one and two images; two ragged responses to each."""
    family = preset("chexagent_nano", Family)
    model = random_policy(family)
    graph, params = nnx.split(model)
    return graph, params, random_batch(family, images=(0, 1, 2), responses=2, length=7, padding=2)


def logits(graph, params, batch):
    model = nnx.merge(graph, params)
    hidden = model.score(Prefix(**batch["prefix"]), batch["inputs"], batch["mask"])
    return jnp.where(batch["mask"][..., None], model.logits(hidden), 0.0)


def one_response(batch, n):
    keep = {key: batch[key][:, n : n + 1] for key in ("inputs", "mask")}
    return {"prefix": batch["prefix"], **keep}


def test_decoding_token_by_token_equals_the_training_forward(case):
    graph, params, batch = case

    @jax.jit
    def decode(params, batch):
        model = nnx.merge(graph, params)
        prefix = Prefix(**batch["prefix"])
        chain, out = [model.prefill(prefix)], []
        for t in range(batch["inputs"].shape[-1]):
            tokens, valid = batch["inputs"][..., t : t + 1], batch["mask"][..., t : t + 1]
            start = jnp.broadcast_to(prefix.length[:, None] + t, tokens.shape[:-1])
            hidden, own = model.extend(start, tokens, valid, chain)
            chain.append(own)
            out.append(model.logits(hidden))
        steps = jnp.concatenate(out, axis=-2)
        return jnp.where(batch["mask"][..., None], steps, 0.0)

    expected = jax.jit(lambda p, b: logits(graph, p, b))(params, batch)
    assert_close(decode(params, batch), expected, rtol=1e-5)


def test_responses_side_by_side_equal_each_on_its_own_values_and_gradients(case):
    graph, params, batch = case
    weights = np.random.default_rng(0).standard_normal((3, 2, 9, 768)).astype(np.float32)

    @jax.jit
    def together(params):
        return (logits(graph, params, batch) * weights).sum()

    @jax.jit
    def apart(params):
        parts = [logits(graph, params, one_response(batch, n)) for n in range(2)]
        return (jnp.concatenate(parts, axis=1) * weights).sum()

    one, other = (jax.value_and_grad(f)(params) for f in (together, apart))
    assert_close(one[0], other[0], rtol=1e-5)
    assert_close(one[1], other[1], rtol=1e-4, atol=1e-5)


def test_an_empty_slot_changes_nothing(case):
    graph, params, batch = case
    images = batch["prefix"]["images"]
    model = nnx.merge(graph, params)
    run = jax.jit(lambda images: model.encode_images(images))
    single = run(images[1:2, :1])
    padded = run(np.concatenate([images[1:2, :1], np.zeros_like(images[1:2, :1])], axis=1))
    assert_close(padded, single, rtol=1e-5)
    assert np.abs(np.asarray(run(images[2:3])) - np.asarray(single)).max() > 1e-2
