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
    hidden = rng.standard_normal((2, 12, WIDTH)).astype(np.float32)
    return kernel, hidden, rng.integers(0, VOCABULARY, (2, 12))


def head(kernel, scale, rows):
    return scale * (rows @ kernel)


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("chunk", [1, 5, 6, 12, 1000])
def test_chunks_do_not_change_values_or_gradients(chunk, keep):
    """12 rows a group; chunks that divide them, that do not, and that are larger."""
    kernel, hidden, targets = inputs()
    weights = np.random.default_rng(1).standard_normal(targets.shape).astype(np.float32)

    def chunked(kernel, hidden):
        logps = token_logprobs(head, kernel, 2.0, hidden, targets, chunk=chunk, keep=keep)
        return (logps * weights).sum(), logps

    (_, logps), gradients = jax.jit(jax.value_and_grad(chunked, (0, 1), has_aux=True))(
        kernel, hidden
    )
    logits = 2 * hidden.astype(np.float64) @ kernel
    log_softmax = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    assert_close(logps, np.take_along_axis(log_softmax, targets[..., None], -1)[..., 0])

    # By hand: d logp[target] / d logits = one-hot(target) - softmax.
    slope = 2 * weights[..., None] * (np.eye(VOCABULARY)[targets] - np.exp(log_softmax))
    expected = (np.einsum("gmd,gmv->dv", hidden, slope), slope @ kernel.T.astype(np.float64))
    assert_close(gradients, expected, rtol=1e-4)


def test_log_probs_are_float32_whatever_the_compute_dtype():
    kernel, hidden, targets = inputs()

    @jax.jit
    def run(kernel, hidden):
        return token_logprobs(head, kernel, 1.0, hidden, targets)

    half = run(kernel.astype(jnp.bfloat16), hidden.astype(jnp.bfloat16))
    assert half.dtype == jnp.float32
    full = run(kernel, hidden)
    assert_close(half, full, rtol=0.02)


def compiled(rows, vocabulary, wrt=(0, 1), **options):
    """The gradient at a size, for the parameters (0), for the rows (1), or both."""
    targets = jnp.zeros((1, rows), jnp.int32)

    def total(kernel, hidden):
        return token_logprobs(head, kernel, 1.0, hidden, targets, **options).sum()

    shapes = [jax.ShapeDtypeStruct(s, jnp.float32) for s in ((64, vocabulary), (1, rows, 64))]
    return jax.jit(jax.grad(total, wrt)).lower(*shapes).compile()


def test_memory_does_not_grow_with_tokens_times_vocabulary():
    """The published size: 64 rows of 512 tokens, 51,200 words; all logits would be 6.7 GB."""
    chunk, words = 512, 51_200
    large = compiled(64 * 512, words, chunk=chunk).memory_analysis().temp_size_in_bytes
    small = compiled(8 * 512, words, chunk=chunk).memory_analysis().temp_size_in_bytes
    # Eight times the tokens cost their hidden states; a few chunks of logits are all there is.
    assert large - small < 6 * 4 * 64 * (64 - 8) * 512
    assert large < 6 * 4 * chunk * words


def test_nothing_is_computed_for_a_vocabulary_that_is_frozen():
    """Chunked: logits, logits again and the gradient of the rows: three products and not four."""
    options = {"rows": 256, "vocabulary": 1024, "chunk": 64}
    counts = [compiled(wrt=wrt, **options).cost_analysis()["flops"] for wrt in ((1,), (0, 1))]
    assert counts[0] < 0.8 * counts[1]
