import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chexjax.ops.logprobs import token_logprobs
from chexjax.testing import assert_close

WIDTH, VOCABULARY = 8, 23


def inputs():
    rng = np.random.default_rng(0)
    kernel = 3 * rng.standard_normal((WIDTH, VOCABULARY)).astype(np.float32)
    hidden = rng.standard_normal((2, 3, 4, WIDTH)).astype(np.float32)
    return kernel, hidden, rng.integers(0, VOCABULARY, (2, 3, 4))


@pytest.mark.parametrize("chunk", [1, 5, 8, 24, 1000])
def test_chunks_do_not_change_values_or_gradients(chunk):
    """24 rows; chunks that divide them, that do not, and that are larger."""
    kernel, hidden, targets = inputs()
    weights = np.random.default_rng(1).standard_normal(targets.shape).astype(np.float32)

    def chunked(kernel, hidden):
        logps = token_logprobs(lambda rows: rows @ kernel, hidden, targets, chunk=chunk)
        return (logps * weights).sum(), logps

    (_, logps), gradients = jax.jit(jax.value_and_grad(chunked, (0, 1), has_aux=True))(
        kernel, hidden
    )
    logits = hidden.astype(np.float64) @ kernel
    log_softmax = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    assert_close(logps, np.take_along_axis(log_softmax, targets[..., None], -1)[..., 0])

    # By hand: d logp[target] / d logits = one-hot(target) - softmax.
    slope = weights[..., None] * (np.eye(VOCABULARY)[targets] - np.exp(log_softmax))
    expected = (np.einsum("bnrd,bnrv->dv", hidden, slope), slope @ kernel.T.astype(np.float64))
    assert_close(gradients, expected, rtol=1e-4)


def test_log_probs_are_float32_whatever_the_compute_dtype():
    kernel, hidden, targets = inputs()

    @jax.jit
    def run(kernel, hidden):
        return token_logprobs(lambda rows: rows @ kernel, hidden, targets)

    half = run(kernel.astype(jnp.bfloat16), hidden.astype(jnp.bfloat16))
    assert half.dtype == jnp.float32
    full = run(kernel, hidden)
    assert_close(half, full, rtol=0.02)


def test_logits_of_the_whole_batch_never_exist():
    rows, vocabulary, chunk = 512, 1000, 16
    compiled = (
        jax.jit(
            jax.grad(
                lambda hidden, kernel: token_logprobs(
                    lambda rows: rows @ kernel, hidden, jnp.zeros(rows, jnp.int32), chunk=chunk
                ).sum()
            )
        )
        .lower(jnp.ones((rows, 4)), jnp.ones((4, vocabulary)))
        .compile()
    )
    assert compiled.memory_analysis().temp_size_in_bytes < rows * vocabulary * 4 / 4
