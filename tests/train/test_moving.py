"""A reference policy that runs in the step, beside one that was cached."""

import functools

import jax
import numpy as np
import pytest
from flax import nnx

from chexjax.families import Family, preset
from chexjax.losses import DPO, KTO
from chexjax.testing import assert_close, packed, random_batch, random_policy
from chexjax.train import OptimizerConfig, Preference, Reference, make_scorer
from chexjax.train.optimizer import make_optimizer
from chexjax.train.step import init_state, make_step, split_params

FAMILY = preset("chexagent2_nano", Family)
RATE = np.float32(0.01)
ALL_BUT_THE_VOCABULARY = ("vision/", "connector/", "decoder/(embed|body|last|norm)")
"""What is frozen here, so that a step compiles quickly."""


def steps(objective, batch, *, number=2, accumulate=1):
    """The states and metrics of a run on one batch."""
    graph, trainable, frozen = split_params(random_policy(FAMILY), ALL_BUT_THE_VOCABULARY)
    optimizer = make_optimizer(OptimizerConfig())
    beside = objective.reference is not None
    first = functools.partial(init_state, optimizer=optimizer, reference=beside)
    state = jax.jit(first)(trainable, frozen)
    step = make_step(graph, objective, optimizer, accumulate=accumulate)
    for _ in range(number):
        state, metrics = step(state, batch, RATE)
        yield jax.tree.map(np.asarray, nnx.to_pure_dict(state.trainable)), metrics, state


@pytest.mark.parametrize("loss", [DPO(), KTO()], ids=["dpo", "kto"])
def test_the_starting_policy_in_the_step_is_the_cached_one(loss):
    """With two micro-batches, whose responses are packed apart."""
    scored = int("mismatched" in loss.needs)
    batch = random_batch(FAMILY, images=(0, 1, 2, 1), responses=2 + scored)
    del batch["ref_logps"]
    cached = batch | {"ref_logps": np.asarray(make_scorer(random_policy(FAMILY))(batch))}
    cut = {"groups": 2, "accumulate": 2, "scored_only": scored}
    runs = (
        steps(Preference(loss), packed(cached, **cut), accumulate=2),
        steps(Preference(loss, reference=Reference()), packed(batch, **cut), accumulate=2),
    )
    for (params, metrics, _), (ours, our_metrics, _) in zip(*runs, strict=True):
        for name in ("loss", "grad_norm"):  # margins of the first step are rounding alone
            assert_close(our_metrics[name], metrics[name], rtol=1e-5)
        assert_close(ours, params, rtol=1e-4)


def test_a_reference_follows_the_policy_as_it_is_told():
    old, new = nnx.State({"a": np.float32(1)}), nnx.State({"a": np.float32(5)})

    def after(step, **options):
        return float(Reference(**options).followed(old, new, np.int32(step))["a"])

    assert [after(step) for step in (1, 3)] == [1, 1]
    assert [after(step, every=3) for step in (1, 2, 3, 4, 6)] == [1, 1, 5, 1, 5]
    assert after(1, decay=0.75) == 2.0


def test_a_synchronised_reference_is_the_policy_of_that_step():
    batch = packed(random_batch(FAMILY, images=(0, 1)))
    objective = Preference(DPO(), reference=Reference(every=2))
    losses = []
    for number, (params, metrics, state) in enumerate(steps(objective, batch, number=3), 1):
        losses.append(float(metrics["loss"]))
        if number == 2:
            reference = jax.tree.map(np.asarray, nnx.to_pure_dict(state.reference))
            assert_close(reference, params, rtol=0)
    # Where policy and reference are one, all margins are zero.
    np.testing.assert_allclose([losses[0], losses[2]], np.log(2), rtol=1e-5)
    assert losses[1] < 0.99 * np.log(2)
