import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chexjax.losses import DPO, LOSSES, Responses, build
from chexjax.testing import random_responses

LN2 = float(np.log(2))


def pairs(chosen, rejected, *, valid=True, ref=(0.0, 0.0)):
    """One pair of responses of two and one tokens; the third token of each is padding."""
    return Responses(
        logps=jnp.asarray([[[*chosen, -99.0], [rejected, -99.0, -99.0]]]),
        ref_logps=jnp.asarray([[[*ref, 7.0], [ref[0], 7.0, 7.0]]]),
        mask=jnp.asarray([[[True, True, False], [True, False, False]]]),
        valid=jnp.asarray([valid]),
        rewards=jnp.asarray([[1.0, 0.0]]),
    )


def test_the_value_by_hand():
    """D = (-1 - 2) - (-4) - [(-1 - 1) - (-1)] = 1 + 1 = 2, and sigmoid(0.5 * 2) = 0.7310586."""
    rows = DPO(beta=0.5)(pairs((-1.0, -2.0), -4.0, ref=(-1.0, -1.0)))
    np.testing.assert_allclose(rows.value, [-np.log(0.7310585786)], rtol=1e-6)
    np.testing.assert_array_equal(rows.weight, [1.0])


def test_a_policy_that_is_its_reference_has_loss_ln_2():
    responses = random_responses(4)
    same = jax.tree.map(lambda x: x, responses)
    rows = DPO()(
        Responses(
            logps=same.logps,
            ref_logps=same.logps,
            mask=same.mask,
            valid=same.valid,
            rewards=same.rewards,
        )
    )
    np.testing.assert_allclose(rows.value, [LN2] * 4, rtol=1e-6)
    total, count = rows.metrics["rewards/accuracies"]
    assert (total, count) == (0.0, 4.0)


def test_the_gradient_by_hand():
    """d loss / d logp = -beta * sigmoid(-beta D) for tokens of the chosen, + for the rejected."""
    responses = pairs((-1.0, -2.0), -4.0, ref=(-1.0, -1.0))

    def loss(logps):
        return DPO(beta=0.5)(
            Responses(
                logps=logps,
                ref_logps=responses.ref_logps,
                mask=responses.mask,
                valid=responses.valid,
                rewards=responses.rewards,
            )
        ).value.sum()

    slope = 0.5 * 0.2689414214  # sigmoid(-1)
    expected = [[[-slope, -slope, 0], [slope, 0, 0]]]
    np.testing.assert_allclose(jax.grad(loss)(responses.logps), expected, rtol=1e-6)


def test_metrics_by_hand():
    rows = DPO(beta=0.5)(pairs((-1.0, -2.0), -4.0, ref=(-1.0, -1.0)))
    expected = {
        "rewards/chosen": 0.5 * (-3 + 2),
        "rewards/rejected": 0.5 * (-4 + 1),
        "rewards/margins": 1.0,
        "rewards/accuracies": 1.0,
        "logps/chosen": -3.0,
        "logps/rejected": -4.0,
    }
    assert {name: (float(s), float(n)) for name, (s, n) in rows.metrics.items()} == {
        name: (pytest.approx(value), 1.0) for name, value in expected.items()
    }


def test_huge_margins_stay_finite():
    """log sigmoid of -300 is -300, not log(0)."""
    responses = pairs((-400.0, -200.0), 0.0)
    value, gradient = jax.value_and_grad(
        lambda beta: DPO(beta=beta)(responses).value.sum(), allow_int=False
    )(0.5)
    np.testing.assert_allclose([value, gradient], [300.0, 600.0], rtol=1e-6)


def test_configs_build_losses_by_name():
    assert build("dpo", {"beta": 0.3}) == DPO(beta=0.3)
    assert LOSSES["dpo"] is DPO


def test_a_loss_cannot_be_changed_once_built():
    with pytest.raises(AttributeError):
        DPO().beta = 1.0
    with pytest.raises(TypeError):
        DPO(0.1)
