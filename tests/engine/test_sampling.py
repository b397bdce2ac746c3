import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chexjax.engine import Sampler
from chexjax.engine.sampling import fold_step

PROBABILITIES = np.asarray([0.05, 0.4, 0.0, 0.25, 0.1, 0.2])
DRAWS = 20_000


def frequencies(sampler, logits, draws=DRAWS):
    keys = jax.random.split(jax.random.key(0), draws)
    drawn = jax.jit(lambda keys: sampler.draw(keys, jnp.tile(logits, (draws, 1))))(keys)
    return np.bincount(drawn, minlength=len(logits)) / draws


def check_distribution(sampler, expected):
    with np.errstate(divide="ignore"):
        logits = jnp.asarray(np.log(PROBABILITIES) + 3.0, jnp.float32)
    expected = np.asarray(expected) / np.sum(expected)
    drawn = frequencies(sampler, logits)
    assert not drawn[expected == 0].any()
    # Five standard deviations of a count.
    assert (np.abs(drawn - expected) <= 5 * np.sqrt(expected / DRAWS)).all(), drawn


def test_temperature_one_draws_from_the_policy():
    check_distribution(Sampler(), PROBABILITIES)


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_temperature_raises_probabilities_to_its_inverse(temperature):
    check_distribution(Sampler(temperature=temperature), PROBABILITIES ** (1 / temperature))


@pytest.mark.parametrize(
    ("k", "kept"), [(1, [1]), (3, [1, 3, 5]), (5, [0, 1, 3, 4, 5]), (6, range(6)), (99, range(6))]
)
def test_top_k_keeps_the_k_most_likely(k, kept):
    check_distribution(Sampler(top_k=k), np.where(np.isin(np.arange(6), [*kept]), PROBABILITIES, 0))


@pytest.mark.parametrize(
    ("p", "kept"),
    [(0.01, [1]), (0.39, [1]), (0.41, [1, 3]), (0.66, [1, 3, 5]), (0.94, [1, 3, 4, 5])],
)
def test_top_p_keeps_the_smallest_set_that_reaches_p(p, kept):
    """Sorted: 0.4, 0.25, 0.2, 0.1, 0.05."""
    check_distribution(Sampler(top_p=p), np.where(np.isin(np.arange(6), kept), PROBABILITIES, 0))


@pytest.mark.parametrize("p", [0.05, 0.5, 0.8, 0.999])
def test_top_p_draws_from_what_a_sort_would_keep(p):
    logits = 4 * np.random.default_rng(0).standard_normal((32, 500)).astype(np.float32)
    probabilities = np.exp(logits.astype(np.float64))
    probabilities /= probabilities.sum(-1, keepdims=True)
    ordered = -np.sort(-probabilities, -1)
    kept = (ordered.cumsum(-1) - ordered < p).sum(-1)
    ranks = (-probabilities).argsort(-1).argsort(-1)
    draw = jax.jit(Sampler(top_p=p).draw)
    for key in range(20):
        drawn = draw(jax.random.split(jax.random.key(key), 32), jnp.asarray(logits))
        assert (ranks[np.arange(32), drawn] < kept).all()


def test_top_p_is_of_what_top_k_left():
    """Of 0.4, 0.25, 0.2 the first has 0.47: enough for 0.45, where all six together are not."""
    check_distribution(Sampler(top_k=3, top_p=0.45), [0, 1, 0, 0, 0, 0])
    check_distribution(Sampler(top_p=0.45), [0, 0.4, 0, 0.25, 0, 0])


def test_top_p_is_of_the_tempered_probabilities():
    """At temperature 0.5 the first has 0.16 / 0.275 = 0.58."""
    check_distribution(Sampler(temperature=0.5, top_p=0.55), [0, 1, 0, 0, 0, 0])


def test_greedy_takes_the_most_likely_whatever_the_key():
    np.testing.assert_array_equal(
        frequencies(Sampler(temperature=0.0), jnp.asarray([0.0, 2.0, 1.0]), draws=8), [0, 1, 0]
    )


def test_a_row_s_draw_depends_on_its_own_key_and_logits():
    logits = jnp.asarray(np.random.default_rng(0).standard_normal((2, 3, 50)), jnp.float32)
    keys = jax.random.split(jax.random.key(1), (2, 3))
    draw = jax.jit(Sampler(top_k=20, top_p=0.9).draw)
    whole = draw(keys, logits)
    assert whole.shape == (2, 3)
    for row in np.ndindex(2, 3):
        assert whole[row] == draw(keys[row], logits[row])


def test_each_step_has_keys_of_its_own():
    keys = jax.random.split(jax.random.key(1), (2, 3))
    steps = [jax.random.key_data(fold_step(keys, t)) for t in range(4)]
    assert len(np.unique(np.concatenate(steps).reshape(-1, steps[0].shape[-1]), axis=0)) == 24


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -0.1}, "temperature=-0.1"),
        ({"top_k": -1}, "top_k=-1"),
        ({"top_p": 0.0}, "top_p=0.0"),
        ({"top_p": 1.1}, "top_p=1.1"),
    ],
)
def test_values_out_of_range_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        Sampler(**options)
