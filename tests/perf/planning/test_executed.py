import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from chexjax.families import Family, preset
from chexjax.models import VLM
from chexjax.perf import flops
from chexjax.perf.planning.executed import executed_flops
from chexjax.perf.planning.step import StepShape, batch_shapes
from chexjax.train import SFT, TrainConfig
from chexjax.train.optimizer import make_optimizer
from chexjax.train.step import init_state, make_step, split_params

OF = jax.ShapeDtypeStruct
A, B = OF((3, 4), jnp.float32), OF((4, 5), jnp.float32)


def count(function, *shapes):
    return executed_flops(jax.make_jaxpr(function)(*shapes))


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda a, b: a @ b, 2 * 3 * 4 * 5),
        (lambda a, b: jnp.einsum("ij,jk->ki", a, b) + 1, 2 * 3 * 4 * 5),
        (lambda a, b: jax.jit(jnp.matmul)(a, b), 2 * 3 * 4 * 5),
        (lambda a, b: jax.vmap(lambda x: x @ b)(a), 2 * 3 * 4 * 5),
        (lambda a, b: jax.lax.scan(lambda c, _: (c, a @ b), 0, None, length=7), 7 * 120),
        (lambda a, b: jax.lax.cond(a[0, 0] > 0, lambda: (a @ b).sum(), lambda: 0.0), 120),
        (lambda a, b: a + b[:, :4].sum(), 0),
    ],
)
def test_matmuls_by_hand(function, expected):
    assert count(function, A, B) == expected


def test_a_convolution_by_hand():
    """Six outputs a picture and channel, each of 2 x 2 places of 3 channels."""
    x, kernel = OF((2, 3, 4, 3), jnp.float32), OF((2, 2, 3, 5), jnp.float32)
    numbers = ("NHWC", "HWIO", "NHWC")

    def run(x, kernel):
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=numbers)

    assert count(run, x, kernel) == 2 * (2 * 2 * 3 * 5) * (2 * 2 * 3)


def test_what_is_made_again_for_the_gradient_is_counted_again():
    """Forward, both gradients, and with rematerialisation the first product once more."""

    def product(a, b):
        return jnp.sin(a @ b)

    def value(remat):
        inner = (
            jax.checkpoint(lambda a, b: jnp.sin(a @ b)) if remat else lambda a, b: jnp.sin(a @ b)
        )
        return jax.grad(lambda a, b: inner(a, b).sum(), argnums=(0, 1))

    assert count(value(False), A, B) == 3 * 120
    assert count(value(True), A, B) == 4 * 120


def test_a_step_executes_what_its_shapes_say():
    """Counted from the trace, and by `flops` from widths and lengths: other code, one number."""
    family, config = preset("chexagent2_nano", Family), TrainConfig(remat="none", total_steps=1)
    shape = StepShape(rows=4, images=1, prefix=40, responses=1, response=16)
    model = nnx.merge(*VLM.abstract(family, remat="none"))
    graph, trainable, frozen = split_params(model, ())
    optimizer = make_optimizer(config.optimizer)
    state = jax.eval_shape(lambda t, f: init_state(t, f, optimizer), trainable, frozen)
    step = make_step(graph, SFT(), optimizer, accumulate=1)
    rate = OF((), jnp.float32)
    found = executed_flops(step.trace(state, batch_shapes(family, SFT(), shape), rate).jaxpr)
    work = flops.Work(images=4, prefixes=4, prefix=40, responses=4, response=16)
    assert found == pytest.approx(flops.train_step(family, work, frozen_vision=False), rel=0.03)
