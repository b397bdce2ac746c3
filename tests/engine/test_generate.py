"""What the engine writes is what the policy's training forward says it would."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from chexjax.engine import Sampler, make_generate
from chexjax.families import Family, preset
from chexjax.models import Prefix
from chexjax.testing import assert_close, random_batch, random_policy

FAMILY = preset("chexagent2_nano", Family)
LIMIT, DRAWS, NEVER = 8, 3, -1


@pytest.fixture(scope="module")
def model():
    return random_policy(FAMILY)


@pytest.fixture(scope="module")
def prompts():
    """Prefix arrays and last prompt tokens of three studies with 0, 1 and 2 images."""
    batch = random_batch(FAMILY, images=(0, 1, 2), responses=DRAWS, length=LIMIT)
    return batch["prefix"], batch["inputs"][:, 0, 0]


def make_keys(rows):
    return jax.random.split(jax.random.key(7), (rows, DRAWS))


def written(model, prompts, sampler, end):
    prefix, last = prompts
    generate = make_generate(model, sampler, end=end, limit=LIMIT)
    return jax.device_get(generate(Prefix(**prefix), last, make_keys(len(last))))


@pytest.fixture(scope="module")
def endless(model, prompts):
    return written(model, prompts, Sampler(), NEVER)


@pytest.fixture(scope="module")
def teacher(model, prompts):
    """Logits of the training forward over given tokens, `f32[B, N, R, V]`."""
    graph, params = nnx.split(model)
    prefix, last = prompts

    @jax.jit
    def run(params, tokens):
        policy = nnx.merge(graph, params)
        starts = jnp.broadcast_to(last[:, None, None], (*tokens.shape[:2], 1))
        inputs = jnp.concatenate([starts, tokens[..., :-1]], -1)
        return policy.logits(policy.score(Prefix(**prefix), inputs, jnp.ones(inputs.shape, bool)))

    return lambda tokens: np.asarray(run(params, tokens))


def test_greedy_writes_the_most_likely_token_at_every_step(model, prompts, teacher):
    result = written(model, prompts, Sampler(temperature=0.0), NEVER)
    np.testing.assert_array_equal(teacher(result.tokens).argmax(-1), result.tokens)
    assert (result.tokens == result.tokens[:, :1]).all()  # draws do not differ when greedy
    assert len(np.unique(result.tokens, axis=0)) == 3  # studies do


def test_log_probs_are_those_of_the_training_forward(endless, teacher):
    log_softmax = jax.nn.log_softmax(teacher(endless.tokens))
    expected = np.take_along_axis(np.asarray(log_softmax), endless.tokens[..., None], -1)[..., 0]
    assert_close(endless.logps, expected, rtol=1e-5)


def test_log_probs_are_of_the_policy_not_of_the_sampler(model, prompts, teacher):
    """Tempered and truncated draws are weighed by the probabilities that losses use."""
    result = written(model, prompts, Sampler(temperature=0.7, top_k=5, top_p=0.9), NEVER)
    logits = teacher(result.tokens)
    ranks = (logits > np.take_along_axis(logits, result.tokens[..., None], -1)).sum(-1)
    assert ranks.max() < 5
    log_softmax = np.asarray(jax.nn.log_softmax(logits))
    expected = np.take_along_axis(log_softmax, result.tokens[..., None], -1)[..., 0]
    assert_close(result.logps, expected, rtol=1e-5)


def test_draws_of_a_study_differ(endless):
    for study in endless.tokens:
        assert len(np.unique(study, axis=0)) == DRAWS


def test_reports_end_with_the_end_token_or_at_the_limit(model, prompts, endless):
    """With a token that was drawn midway as the end token, the same draws stop there."""
    end = int(endless.tokens[1, 2, 3])
    result = written(model, prompts, Sampler(), end)
    for row in np.ndindex(3, DRAWS):
        free = endless.tokens[row].tolist()
        finished = end in free
        length = free.index(end) + 1 if finished else LIMIT
        assert result.lengths[row] == length
        assert result.finished[row] == finished
        assert result.tokens[row].tolist() == free[:length] + [end] * (LIMIT - length)
        assert_close(result.logps[row][:length], endless.logps[row][:length], rtol=1e-5)
        assert not result.logps[row][length:].any()
    assert result.finished[1, 2] and not result.finished.all()


def test_a_study_is_written_the_same_alone_and_in_a_batch(model, prompts, endless):
    prefix, last = prompts
    generate = make_generate(model, Sampler(), end=NEVER, limit=LIMIT)
    for k in range(3):
        alone = jax.tree.map(lambda leaf, k=k: leaf[k : k + 1], prefix)
        result = generate(Prefix(**alone), last[k : k + 1], make_keys(3)[k : k + 1])
        np.testing.assert_array_equal(result.tokens[0], endless.tokens[k])
        assert_close(result.logps[0], endless.logps[k], rtol=1e-5)
