"""One training step: what its loss and gradient depend on, and what it leaves alone."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from chexjax.families import Family, preset
from chexjax.losses import DPO, KTO, Rows
from chexjax.mesh import path_name
from chexjax.models import Prefix
from chexjax.testing import assert_close, packed, random_batch, random_policy
from chexjax.train import SFT, Objective, OptimizerConfig, Preference
from chexjax.train.optimizer import learning_rates, make_optimizer
from chexjax.train.step import init_state, make_step, split_params

FAMILY = preset("chexagent2_nano", Family)
RATE = np.float32(0.01)
UNCLIPPED = OptimizerConfig(clip=1e9)
NO_PICTURE = ("vision/", "connector/")


def prepare(objective, *, freeze=(), accumulate=1, config=UNCLIPPED):
    """A fresh state and the step on it."""
    graph, trainable, frozen = split_params(random_policy(FAMILY), freeze)
    optimizer = make_optimizer(config)
    state = init_state(trainable, frozen, optimizer)
    return state, make_step(graph, objective, optimizer, accumulate=accumulate)


def gradient_of(state):
    """The first step's gradient: Adam's first moment is a tenth of it."""
    moment = optax.tree_utils.tree_get(state.optimizer, "mu")
    return jax.tree.map(lambda leaf: 10 * leaf, nnx.to_pure_dict(moment))


def named(tree):
    return {path_name(p): np.array(x) for p, x in jax.tree_util.tree_leaves_with_path(tree)}


def padded(batch):
    """As many rows again that stand for nothing, one behind each real one."""
    nothing = {"mask": np.zeros_like(batch["mask"]), "real": np.zeros_like(batch["real"])}
    return jax.tree.map(
        lambda row, pad: np.stack([row, pad], 1).reshape(-1, *row.shape[1:]),
        batch,
        {**batch, **nothing},
    )


OBJECTIVES = {
    "sft": (SFT(), 2),
    "dpo": (Preference(DPO()), 2),
    "kto": (Preference(KTO()), 3),
}


@pytest.mark.parametrize(("objective", "responses"), OBJECTIVES.values(), ids=OBJECTIVES)
def test_neither_micro_batches_nor_padding_rows_change_a_step(objective, responses):
    """Rows of 1 to 8 tokens: means over micro-batches would not add up to the mean."""
    batch = random_batch(FAMILY, images=(0, 1, 2, 1), responses=responses)
    batch["ref_logps"] -= 8 * batch["mask"]  # KTO's reference point is then above 0

    def run(batch, accumulate):
        state, step = prepare(objective, freeze=NO_PICTURE, accumulate=accumulate)
        state, metrics = step(state, batch, RATE)
        return gradient_of(state), metrics

    gradient, metrics = run(batch, 1)
    for other, accumulate in ((batch, 4), (padded(batch), 2)):
        cut = {"groups": accumulate, "accumulate": accumulate}
        again = run(packed(other, **cut, scored_only=objective.scored_only), accumulate)
        assert_close(again[1], metrics, rtol=1e-5)
        assert_close(again[0], gradient, rtol=1e-4)


def test_sft_is_the_mean_cross_entropy_of_report_tokens():
    """Against log-softmax over the model's own logits, in numpy."""
    batch = random_batch(FAMILY, images=(0, 1, 2, 1))
    model = random_policy(FAMILY)
    graph, params = nnx.split(model)

    @jax.jit
    def logits(params):
        policy = nnx.merge(graph, params)
        return policy.logits(
            policy.score(Prefix(**batch["prefix"]), batch["inputs"], batch["mask"])
        )

    values = np.asarray(logits(params), np.float64)
    log_softmax = values - np.log(np.exp(values).sum(-1, keepdims=True))
    picked = np.take_along_axis(log_softmax, batch["targets"][..., None], -1)[..., 0]
    state, step = prepare(SFT(), freeze=NO_PICTURE)
    metrics = step(state, batch, RATE)[1]
    np.testing.assert_allclose(metrics["loss"], -picked[batch["mask"]].mean(), rtol=1e-5)


def test_frozen_parameters_do_not_move_and_have_no_moments():
    state, step = prepare(SFT(), freeze=(*NO_PICTURE, "embed"))
    frozen, trainable = named(state.frozen), named(state.trainable)
    assert all(name.startswith(("vision", "connector", "decoder/embed")) for name in frozen)
    assert not set(frozen) & set(trainable)
    moments = [name for name in named(state.optimizer) if "/mu/" in name or "/nu/" in name]
    assert len(moments) == 2 * len(trainable)
    assert not any(part in name for name in moments for part in ("vision", "connector", "embed"))
    state, _ = step(state, random_batch(FAMILY, images=(0, 1, 2, 1)), RATE)
    for name, values in named(state.frozen).items():
        np.testing.assert_array_equal(values, frozen[name], err_msg=name)
    moved = [name for name, v in named(state.trainable).items() if (v != trainable[name]).any()]
    assert set(moved) == set(trainable)


@pytest.mark.parametrize(
    ("freeze", "message"),
    [
        (("visoin/",), "'visoin/' matches no parameter; names look like connector/fc1/bias"),
        (("decoder/", "vision", "connector"), "leaves nothing to train"),
    ],
)
def test_freezing_nothing_or_everything_is_an_error(freeze, message):
    with pytest.raises(ValueError, match=message):
        split_params(random_policy(FAMILY), freeze)


# The optimiser, on an objective that compiles at once: it sees one bias and one kernel.


class Toy(Objective):
    """`sum(x * bias) + sum(x * kernel) / 10`: gradients that are known beforehand."""

    def __call__(self, model, batch, shared=None):
        bias, kernel = model.decoder.head.bias[...], model.decoder.head.kernel[...]
        value = batch["x"] * (bias.sum() + kernel.sum() / 10)
        return Rows(value, jnp.ones_like(value), {})


def toy(x):
    return {"x": np.full((2,), x, np.float32)}


def head_of(state):
    params = nnx.to_pure_dict(state.trainable)["decoder"]["head"]
    return jax.tree.map(np.array, params)


def test_the_first_update_by_hand():
    """Adam's first direction is the gradient's sign; kernels are decayed besides, biases not."""
    state, step = prepare(Toy(), config=OptimizerConfig(weight_decay=0.5, clip=1e9))
    before = head_of(state)
    state, metrics = step(state, toy(3.0), RATE)
    after = head_of(state)
    np.testing.assert_allclose(after["bias"], before["bias"] - RATE, rtol=1e-5, atol=1e-6)
    decayed = before["kernel"] * (1 - 0.5 * RATE) - RATE
    np.testing.assert_allclose(after["kernel"], decayed, rtol=1e-5, atol=1e-6)
    rows, columns = before["kernel"].shape
    np.testing.assert_allclose(metrics["grad_norm"], 3 * np.sqrt(columns + rows * columns / 100))
    assert metrics["lr"] == RATE and state.step == 1


def test_gradients_are_clipped_by_their_global_norm():
    state, step = prepare(Toy(), config=OptimizerConfig(clip=1.0))
    state, metrics = step(state, toy(3.0), RATE)
    assert metrics["grad_norm"] > 1
    np.testing.assert_allclose(optax.tree.norm(gradient_of(state)), 1.0, rtol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_step_that_is_not_finite_is_skipped_and_counted(bad):
    state, step = prepare(Toy())
    state, _ = step(state, toy(1.0), RATE)
    before = named((state.trainable, state.optimizer))
    state, metrics = step(state, toy(bad), RATE)
    assert (int(metrics["skipped"]), int(state.skipped), int(state.step)) == (1, 1, 2)
    for name, values in named((state.trainable, state.optimizer)).items():
        np.testing.assert_array_equal(values, before[name], err_msg=name)
    state, metrics = step(state, toy(1.0), RATE)
    assert metrics["skipped"] == 1 and np.isfinite(metrics["loss"])
    assert (head_of(state)["bias"] != before["0/decoder/head/bias"]).all()


def test_a_gradient_that_is_not_finite_is_skipped_though_the_loss_is():
    """sqrt has no slope at 0."""

    class Root(Objective):
        def __call__(self, model, batch, shared=None):
            value = jnp.sqrt(batch["x"] * model.decoder.head.bias[...].sum() * 0)
            return Rows(value, jnp.ones_like(value), {})

    state, step = prepare(Root())
    before = head_of(state)
    state, metrics = step(state, toy(1.0), RATE)
    assert metrics["loss"] == 0 and metrics["skipped"] == 1
    np.testing.assert_array_equal(head_of(state)["bias"], before["bias"])


def test_learning_rates_compile_nothing():
    state, step = prepare(Toy())
    traces = step._cache_size
    for rate in learning_rates(OptimizerConfig(), 5):
        state, _ = step(state, toy(1.0), rate)
    assert traces() == 1


def test_metrics_are_means_over_what_they_count():
    class Counting(Objective):
        def __call__(self, model, batch, shared=None):
            value = batch["x"] + 0 * model.decoder.head.bias[...].sum()
            ones = jnp.ones_like(value)
            nothing = (0 * value.sum(), 0.0)
            return Rows(value, ones, {"x": (value.sum(), ones.sum()), "none": nothing})

    state, step = prepare(Counting(), accumulate=2)
    metrics = step(state, {"x": np.asarray([1, 2, 3, 6], np.float32)}, RATE)[1]
    assert (metrics["x"], metrics["loss"], metrics["none"]) == (3.0, 3.0, 0.0)


# Learning rates.


def test_warm_up_is_linear_and_decay_a_cosine():
    rates = learning_rates(OptimizerConfig(learning_rate=2.0, warmup_share=0.1), 100)
    assert rates.shape == (100,)
    np.testing.assert_allclose(rates[[0, 5, 10, 55]], [0, 1, 2, 1], atol=1e-6)
    np.testing.assert_allclose(rates[99], 1 + np.cos(np.pi * 89 / 90), rtol=1e-3)
    floor = learning_rates(OptimizerConfig(learning_rate=2.0, final_share=0.25), 1000)
    np.testing.assert_allclose(floor[-1], 0.5, rtol=1e-4)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("steps", [0, 1, 2, 7])
def test_runs_of_any_length_have_rates(share, steps):
    rates = learning_rates(OptimizerConfig(learning_rate=2.0, warmup_share=share), steps)
    assert rates.shape == (steps,) and ((rates >= 0) & (rates <= 2)).all()
    assert steps < 2 or rates.max() > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"warmup_share": 1.5}, "warmup_share=1.5"),
        ({"final_share": -0.1}, "final_share=-0.1"),
        ({"learning_rate": 0.0}, "learning_rate=0.0"),
    ],
)
def test_values_out_of_range_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        OptimizerConfig(**options)


def test_steps_too_small_for_bfloat16_are_not_lost():
    """Computed in bfloat16; parameters, moments and log-probabilities stay float32."""
    model = random_policy(FAMILY, dtype=jnp.bfloat16)
    graph, trainable, frozen = split_params(model, ("vision/", "connector/", "body|embed|last"))
    optimizer = make_optimizer(UNCLIPPED)
    before = jax.tree.map(np.array, trainable)
    step = make_step(graph, Preference(DPO()), optimizer, accumulate=1)
    batch = packed(random_batch(FAMILY, images=(0, 1)))
    state, metrics = step(init_state(trainable, frozen, optimizer), batch, np.float32(1e-6))
    assert metrics["loss"].dtype == np.float32
    assert metrics["loss"].dtype == np.float32
    for old, new in zip(jax.tree.leaves(before), jax.tree.leaves(state.trainable), strict=True):
        assert new.dtype == np.float32
        moved = np.abs(np.asarray(new) - old)
        assert 0 < moved.max() < 2e-6  # in bfloat16 the number next to 0.3 is 0.002 away
