"""What holds of every loss in the registry."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chexjax.losses import LOSSES, NEEDS, Responses, Rows, build, choice, number, register
from chexjax.losses.base import PreferenceLoss
from chexjax.testing import random_responses

MIXED = {"dpo": 1.0, "kto": 0.5, "orpo__nll": "prompt", "orpo": 0.1, "dpo__beta": 0.3}


def make(name):
    return build(name, MIXED if name == "mixture" else {})


@pytest.mark.parametrize("name", LOSSES)
def test_rows_that_pad_the_batch_weigh_nothing_and_reach_nothing(name):
    padded = random_responses(5, padding=2)
    whole = jax.tree.map(lambda x: x[:3], padded)
    nan = jnp.where(padded.valid[:, None, None], padded.logps, jnp.nan)
    rows, alone = make(name)(dataclasses.replace(padded, logps=nan)), make(name)(whole)
    np.testing.assert_array_equal(rows.weight, [1, 1, 1, 0, 0])
    np.testing.assert_allclose(rows.value, [*np.asarray(alone.value), 0, 0], rtol=1e-5)
    for metric, (total, count) in rows.metrics.items():
        np.testing.assert_allclose(total, alone.metrics[metric][0], rtol=1e-5, err_msg=metric)
        assert count == alone.metrics[metric][1], metric


@pytest.mark.parametrize("name", LOSSES)
def test_what_stands_behind_a_response_does_not_count(name):
    given = random_responses(4)

    def behind(filler):
        other = jnp.where(given.mask, given.logps, filler)
        return dataclasses.replace(given, logps=other)

    def value(logps):
        return make(name)(dataclasses.replace(given, logps=logps)).value.sum()

    near, far = make(name)(behind(-1.0)), make(name)(behind(-50.0))
    np.testing.assert_array_equal(near.value, far.value)
    gradient = jax.grad(value)(given.logps)
    np.testing.assert_array_equal(jnp.where(given.mask, 0.0, gradient), 0)
    assert np.abs(gradient).sum() > 0


@pytest.mark.parametrize("name", LOSSES)
def test_it_takes_no_more_than_it_needs(name):
    given, needs = random_responses(3), make(name).needs
    absent = {field: None for need, field in NEEDS.items() if need not in needs}
    np.testing.assert_array_equal(
        make(name)(dataclasses.replace(given, **absent)).value, make(name)(given).value
    )


@pytest.mark.parametrize("name", [name for name in LOSSES if make(name).needs])
def test_without_what_it_needs_it_says_so(name):
    given = random_responses(2)
    for need in make(name).needs:
        with pytest.raises(ValueError, match="needs"):
            make(name)(dataclasses.replace(given, **{NEEDS[need]: None}))


@pytest.mark.parametrize("name", LOSSES)
def test_another_number_is_no_other_program(name):
    traced = []

    @jax.jit
    def run(loss, responses):
        traced.append(loss)
        return loss(responses).value.sum()

    given, loss = random_responses(3), make(name)
    first = run(loss, given)
    leaves, form = jax.tree.flatten(loss)
    if leaves:
        assert run(jax.tree.unflatten(form, [leaf * 0.7 for leaf in leaves]), given) != first
    assert len(traced) == 1


@pytest.mark.parametrize("name", sorted(LOSSES.keys() - {"kto", "mixture"}))
def test_a_pairwise_loss_refuses_four_responses(name):
    with pytest.raises(ValueError, match="2 responses a row, not 4"):
        make(name)(random_responses(2, 4))


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("dpo", {"beta": 0.0}, r"DPO.beta=0.0 must be above 0"),
        ("dpo", {"beta": float("nan")}, r"DPO.beta=nan must be above 0"),
        ("dpo", {"label_smoothing": 0.6}, "at least 0 and at most 0.5"),
        ("robust_dpo", {"label_smoothing": 0.5}, "at most 0.49"),
        ("lc_dpo", {"alpha": -0.1}, "LCDPO.alpha=-0.1 must be at least 0"),
        ("orpo", {"nll": "promt"}, "ORPO.nll='promt'; did you mean prompt"),
        ("f_dpo", {"divergence": "kl"}, "FDPO.divergence='kl'"),
        ("dpo", {"bta": 0.1}, "'dpo' has no option 'bta'; did you mean beta"),
        ("dpoo", {}, "no loss 'dpoo'; did you mean dpo"),
        ("mixture", {}, "no losses"),
        ("mixture", {"dpo": 1, "nl": 1}, "no loss 'nl'"),
        ("mixture", {"dpo": 1, "dpo__bta": 1}, "did you mean beta"),
        ("mixture", {"dpo": 1, "ipo__beta": 1}, "'ipo__beta' is of a loss without weight"),
    ],
)
def test_a_mistake_in_a_config_is_named(name, options, words):
    with pytest.raises(ValueError, match=words):
        build(name, options)


@pytest.fixture
def registry():
    usual = dict(LOSSES)
    yield LOSSES
    LOSSES.clear()
    LOSSES.update(usual)


def test_a_loss_of_a_user_s_own(registry):
    @register("own")
    class Own(PreferenceLoss):
        scale: float = number(2.0, least=1)
        form: str = choice("plain", "squared")

        def __call__(self, responses: Responses):
            power = 2 if self.form == "squared" else 1
            value = self.scale * responses.sums()[:, 0] ** power
            return Rows(value, responses.valid.astype(jnp.float32), {})

    given = random_responses(2)
    squared = build("own", {"form": "squared", "scale": 3})(given).value
    np.testing.assert_allclose(squared, 3 * given.sums()[:, 0] ** 2)
    with pytest.raises(ValueError, match=r"Own.scale=0.5 must be at least 1"):
        Own(scale=0.5)


def test_a_loss_that_needs_what_nobody_offers_is_refused(registry):
    @register("greedy")
    class Greedy(PreferenceLoss):
        needs = frozenset({"referense"})

    with pytest.raises(ValueError, match="'referense'; did you mean reference"):
        Greedy()
