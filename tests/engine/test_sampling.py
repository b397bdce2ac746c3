import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chexjax.engine import Sampler
from chexjax.engine.sampling import Draws

PROBABILITIES = np.asarray([0.05, 0.4, 0.0, 0.25, 0.1, 0.2])
DRAWS = 20_000


def draw(samplers, seeds, logits, steps=0):
    """One token a row; the rows' samplers are one for all or one each."""
    batch = logits.shape[:-1]
    samplers = np.broadcast_to(np.asarray(samplers, object), batch)

    def each(name, dtype):
        return np.vectorize(lambda sampler: getattr(sampler, name), [dtype])(samplers)

    keys = np.stack([np.zeros(batch, np.uint32), np.broadcast_to(seeds, batch)], -1)
    draws = Draws(
        temperature=each("temperature", np.float32),
        top_k=each("top_k", np.int32),
        top_p=each("top_p", np.float32),
        keys=keys.astype(np.uint32),
    )
    return np.asarray(_drawn(draws, np.broadcast_to(steps, batch).astype(np.int32), logits))


@jax.jit
def _drawn(draws, steps, logits):
    return draws.tokens(steps[..., None], logits[..., None, :])[..., 0]


def frequencies(sampler, logits, draws=DRAWS):
    drawn = draw(sampler, np.arange(draws), jnp.tile(logits, (draws, 1)))
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
    for step in range(20):
        drawn = draw(Sampler(top_p=p), np.arange(32), jnp.asarray(logits), step)
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


def test_rows_are_drawn_each_in_its_own_way():
    """What a row gets is what it gets alone, whatever the others are drawn with."""
    logits = np.random.default_rng(0).standard_normal((5, 50)).astype(np.float32)
    samplers = [
        Sampler(),
        Sampler(temperature=0.0),
        Sampler(top_k=3),
        Sampler(top_p=0.3),
        Sampler(temperature=2.0, top_k=20, top_p=0.9),
    ]
    seeds = np.arange(5)
    whole = [draw(samplers, seeds, logits, step) for step in range(30)]
    for row, sampler in enumerate(samplers):
        alone = [
            draw([sampler], seeds[row : row + 1], logits[row : row + 1], step) for step in range(30)
        ]
        np.testing.assert_array_equal(np.concatenate(alone), np.asarray(whole)[:, row])
        assert (len(np.unique(alone)) == 1) == (sampler.temperature == 0)


def test_a_draw_depends_on_seed_and_step():
    logits = np.zeros((1, 1000), np.float32)
    drawn = {
        (seed, step): int(draw(Sampler(), np.array([seed]), logits, step)[0])
        for seed in range(6)
        for step in range(6)
    }
    assert len(set(drawn.values())) > 30  # of 36 draws from a thousand


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
