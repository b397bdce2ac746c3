"""Values that can be worked out on paper, of losses or options that TRL does not have."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chexjax.losses import (
    CPO,
    DPO,
    FDPO,
    KTO,
    LCDPO,
    LDDPO,
    LNDPO,
    NLL,
    ORPO,
    Mismatched,
    Mixture,
    PromptTokens,
    Responses,
    SLiC,
)


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def one_row(*texts, **more):
    """Responses of one prompt, each given by its log-ratios; the reference finds a token e^-1.5."""
    tokens = max(map(len, texts))
    ratios = np.zeros((1, len(texts), tokens), np.float32)
    for n, text in enumerate(texts):
        ratios[0, n, : len(text)] = text
    lengths = np.asarray([[len(text) for text in texts]])
    return Responses(
        logps=jnp.asarray(ratios - 1.5),
        ref_logps=jnp.full_like(ratios, -1.5),
        mask=jnp.asarray(np.arange(tokens) < lengths[..., None]),
        valid=jnp.asarray([True]),
        rewards=jnp.zeros((1, len(texts))),
        **more,
    )


# Log-ratios 0.5 + 0.25 + 0.25 = 1 of three tokens, and -2 of one.
PAIR = one_row((0.5, 0.25, 0.25), (-2.0,))


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        # 0.5 * (1 + 2) + 0.25 * (3 - 1) = 2
        (LCDPO(beta=0.5, alpha=0.25), -math.log(sigmoid(2.0))),
        (LCDPO(beta=0.5, alpha=0.0), -math.log(sigmoid(1.5))),
        # 3 * (1/3 + 2) = 7
        (LNDPO(beta=3.0), -math.log(sigmoid(7.0))),
        # The second and third token of the chosen one count 0.2: 0.5 * (0.5 + 0.1 + 2) = 1.3
        (LDDPO(beta=0.5, alpha=0.2), -math.log(sigmoid(1.3))),
        (LDDPO(beta=0.5, alpha=1.0), -math.log(sigmoid(1.5))),
        (FDPO(beta=0.5, divergence="reverse_kl"), -math.log(sigmoid(1.5))),
        (
            FDPO(beta=0.5, divergence="chi_squared"),
            -math.log(sigmoid(0.5 * (math.e + 1 - math.exp(-2) + 2))),
        ),
        (
            FDPO(beta=0.5, divergence="forward_kl"),
            -math.log(sigmoid(0.5 * (math.exp(2) - math.exp(-1)))),
        ),
        # Of order 1 the alpha divergence is the forward KL.
        (
            FDPO(beta=0.5, divergence="alpha", order=1.0),
            -math.log(sigmoid(0.5 * (math.exp(2) - math.exp(-1)))),
        ),
        # Log-probabilities: chosen -4.5 + 1 = -3.5, rejected -1.5 - 2 = -3.5.
        (SLiC(delta=2.0, weight=0.1), 2.0 + 0.35),
        (CPO(beta=0.1, alpha=0.6), math.log(2) + 0.6 * 3.5 / 3),
        (NLL(), 3.5 / 3),
        (
            Mixture(losses={"dpo": DPO(beta=0.5), "nll": NLL()}, weights={"dpo": 2.0, "nll": 0.3}),
            -2 * math.log(sigmoid(1.5)) + 0.3 * 3.5 / 3,
        ),
    ],
)
def test_the_value_of_a_pair(loss, expected):
    np.testing.assert_allclose(loss(PAIR).value, [expected], rtol=1e-6)


def test_a_longer_chosen_response_is_learnt_from_less_under_lc_dpo():
    """d loss / d logp = -beta sigmoid(-margin), the margin 2 here and 1.5 without the length."""

    def slope(loss):
        grad = jax.grad(lambda x: loss(dataclasses.replace(PAIR, logps=x)).value.sum())
        return float(grad(PAIR.logps)[0, 0, 0])

    assert slope(LCDPO(beta=0.5, alpha=0.25)) == pytest.approx(-0.5 * sigmoid(-2.0))
    assert slope(LCDPO(beta=0.5, alpha=0.0)) == pytest.approx(-0.5 * sigmoid(-1.5))


def test_the_odds_of_orpo():
    """Mean log-probabilities -7/6 and -3.5."""
    chosen, rejected = -3.5 / 3, -3.5
    odds = [m - math.log(1 - math.exp(m)) for m in (chosen, rejected)]
    expected = -chosen - 0.4 * math.log(sigmoid(odds[0] - odds[1]))
    np.testing.assert_allclose(ORPO(beta=0.4)(PAIR).value, [expected], rtol=1e-6)


def test_orpo_counts_the_prompt_where_it_is_asked_to():
    """-(-3.5 - 9) / (3 + 7) in the place of 3.5 / 3."""
    prompt = PromptTokens(logps=jnp.asarray([-9.0]), count=jnp.asarray([7.0]))
    rows = ORPO(nll="prompt")(dataclasses.replace(PAIR, prompt=prompt))
    np.testing.assert_allclose(rows.value - ORPO()(PAIR).value, [1.25 - 3.5 / 3], rtol=1e-4)
    assert ORPO(nll="prompt").needs == {"prompt"} and not ORPO().needs
    with pytest.raises(ValueError, match="prompt's log-probs"):
        ORPO(nll="prompt")(PAIR)


def test_orpo_stays_finite_for_a_response_that_is_certain():
    certain = one_row((1.5, 1.5), (-1.0,))
    value, gradient = jax.value_and_grad(
        lambda x: ORPO()(dataclasses.replace(certain, logps=x)).value.sum()
    )(certain.logps)
    assert np.isfinite(value) and np.isfinite(gradient).all()


def mismatched(*ratios, valid=True):
    count = len(ratios)
    return Mismatched(
        logps=jnp.asarray(ratios) - 9.0,
        ref_logps=jnp.full(count, -9.0),
        valid=jnp.broadcast_to(jnp.asarray(valid), (count,)),
    )


def test_kto_of_unpaired_responses():
    """One response a row: r = 1, and the reference point is the mean of 0.5 and 0.1."""
    row = one_row((0.5, 0.25, 0.25), mismatched=mismatched(0.5, 0.1))
    good = dataclasses.replace(row, desirable=jnp.asarray([[True]]))
    bad = dataclasses.replace(row, desirable=jnp.asarray([[False]]))
    loss = KTO(beta=0.5, desirable_weight=2.0)
    np.testing.assert_allclose(loss(good).value, [2 * (1 - sigmoid(0.5 * 0.7))], rtol=1e-6)
    np.testing.assert_allclose(loss(bad).value, [1 - sigmoid(-0.5 * 0.7)], rtol=1e-6)
    assert set(loss(bad).metrics) == {
        "kto/reference_point",
        "rewards/desirable",
        "rewards/undesirable",
    }


def test_kto_s_reference_point_is_at_least_0_leaves_out_padding_and_has_no_gradient():
    def point(given):
        row = dataclasses.replace(PAIR, mismatched=given)
        total, count = KTO()(row).metrics["kto/reference_point"]
        return float(total / count)

    assert point(mismatched(-3.0, 1.0)) == 0
    assert point(mismatched(3.0, 1.0)) == 2
    assert point(mismatched(3.0, 1.0, valid=[False, True])) == 1

    def value(logps):
        given = dataclasses.replace(mismatched(3.0, 1.0), logps=logps)
        return KTO()(dataclasses.replace(PAIR, mismatched=given)).value.sum()

    np.testing.assert_array_equal(jax.grad(value)(jnp.asarray([-6.0, -8.0])), 0)


def test_kto_without_mismatched_responses_says_what_is_missing():
    with pytest.raises(ValueError, match="mismatched"):
        KTO()(PAIR)


def test_probability_ratios_beyond_float32_stay_finite():
    far = one_row((90.0,), (-90.0,))
    for divergence in ("chi_squared", "forward_kl", "alpha", "jensen_shannon"):
        loss = FDPO(divergence=divergence)
        gradient = jax.grad(lambda x, f=loss: f(dataclasses.replace(far, logps=x)).value.sum())
        assert np.isfinite(gradient(far.logps)).all(), divergence
