"""A policy's reports through the engine: what its training forward says of pictures and prompt."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from chexjax.engine import Engine, EngineConfig, Images, Request, Sampler
from chexjax.families import Family, preset
from chexjax.models import Prefix
from chexjax.testing import assert_close, random_batch, random_policy

FAMILY = preset("chexagent2_nano", Family)
LIMIT, DRAWS = 8, 3


@pytest.fixture(scope="module")
def model():
    return random_policy(FAMILY)


@pytest.fixture(scope="module")
def engine(model):
    return Engine(model, EngineConfig(slots=6, lanes=2))


@pytest.fixture(scope="module")
def batch():
    """Prompts of three studies with 0, 1 and 2 images."""
    return random_batch(FAMILY, images=(0, 1, 2), responses=DRAWS, length=LIMIT)


def asked(batch, study, **more):
    prefix, real = batch["prefix"], batch["prefix"]["valid"][study]
    last = batch["inputs"][study, 0, 0]
    return Request(
        prefix=[*prefix["tokens"][study][real].tolist(), int(last)],
        rows=[()] * DRAWS,
        limit=LIMIT,
        images=Images(
            pixels=prefix["images"][study], placeholder=prefix["placeholder"][study][real]
        ),
        **more,
    )


@pytest.fixture(scope="module")
def teacher(model, batch):
    """Log-probabilities of the training forward over given tokens, `f32[B, N, R, V]`."""
    graph, params = nnx.split(model)

    @jax.jit
    def run(params, tokens):
        policy = nnx.merge(graph, params)
        starts = jnp.broadcast_to(batch["inputs"][:, :1, :1], (*tokens.shape[:2], 1))
        inputs = jnp.concatenate([starts, tokens[..., :-1]], -1)
        prefix = Prefix(**batch["prefix"])
        hidden = policy.score(prefix, inputs, jnp.ones(inputs.shape, bool))
        return jax.nn.log_softmax(policy.logits(hidden))

    return lambda tokens: np.asarray(run(params, tokens))


def written(engine, requests):
    completions = dict(engine.run(requests))
    rows = [completions[k] for k in range(len(requests))]
    tokens = np.asarray([[one.tokens for one in row] for row in rows])
    return tokens, np.asarray([[one.logps for one in row] for row in rows])


def test_greedy_writes_the_most_likely_token_at_every_step(engine, batch, teacher):
    tokens, _ = written(engine, [asked(batch, k) for k in range(3)])
    np.testing.assert_array_equal(teacher(tokens).argmax(-1), tokens)
    assert (tokens == tokens[:, :1]).all()  # draws do not differ when greedy
    assert len(np.unique(tokens[:, 0], axis=0)) == 3  # studies do


def test_draws_differ_and_have_the_log_probs_of_the_training_forward(engine, batch, teacher):
    sampler = Sampler(temperature=0.9)
    requests = [asked(batch, k, sampler=sampler, seeds=range(5 * k, 5 * k + 3)) for k in range(3)]
    tokens, logps = written(engine, requests)
    expected = np.take_along_axis(teacher(tokens), tokens[..., None], -1)[..., 0]
    assert_close(logps, expected, rtol=1e-5)
    for study in tokens:
        assert len(np.unique(study, axis=0)) == DRAWS


def test_a_study_is_written_the_same_alone_and_beside_others(engine, batch):
    requests = [asked(batch, k, sampler=Sampler(), seeds=(1, 2, 3)) for k in range(3)]
    together = written(engine, requests)
    for k in range(3):
        alone = written(engine, requests[k : k + 1])
        np.testing.assert_array_equal(alone[0][0], together[0][k])
        np.testing.assert_array_equal(alone[1][0], together[1][k])
