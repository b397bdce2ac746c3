import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chexjax.ops.attention import Segment, attend
from chexjax.testing import assert_close

GROUPS, RESPONSES, HEADS, SIZE = 2, 3, 2, 4


def make_segment(rng, batch, length, start, *, kept):
    """Random keys and values behind position `start`; a share `kept` of them is valid."""
    k, v = rng.standard_normal((2, *batch, length, HEADS, SIZE)).astype(np.float32)
    valid = rng.random((*batch, length)) < kept
    valid[..., 0] = True
    positions = np.broadcast_to(start + np.arange(length, dtype=np.int32), (*batch, length))
    return Segment(k=k, v=v, positions=positions, valid=valid)


def make_chain(seed=0):
    """Segments of all studies, of a study, and of a response, as judging nests them."""
    rng = np.random.default_rng(seed)
    own = make_segment(rng, (1, GROUPS, RESPONSES), 4, 8, kept=0.7)
    chain = [
        make_segment(rng, (1,), 5, 0, kept=0.7),
        make_segment(rng, (1, GROUPS), 3, 5, kept=0.7),
        own,
    ]
    q = rng.standard_normal(own.k.shape).astype(np.float32)
    return q, own.positions, chain


def plain_attention(q, positions, chain, causal):
    """Softmax over all keys side by side, one query at a time, in float64."""
    batch = q.shape[:3]

    def whole(x, axes):
        x = np.asarray(x)
        x = x.reshape(*x.shape[:axes], *[1] * (3 - axes), *x.shape[axes:])
        return np.broadcast_to(x, (*batch, *x.shape[3:]))

    axes = [segment.positions.ndim - 1 for segment in chain]
    k, v, where, valid = (
        np.concatenate(
            [whole(getattr(s, name), n) for s, n in zip(chain, axes, strict=True)], axis=3
        )
        for name in ("k", "v", "positions", "valid")
    )
    out = np.zeros(q.shape)
    for row in np.ndindex(*batch):
        for t in range(q.shape[3]):
            seen = valid[row] & ((where[row] <= positions[row][t]) | (not causal))
            for head in range(HEADS):
                scores = k[row][seen, head].astype(float) @ q[row][t, head] / np.sqrt(SIZE)
                weights = np.exp(scores - scores.max())
                out[row][t, head] = weights / weights.sum() @ v[row][seen, head]
    return out


@pytest.mark.parametrize("causal", [True, False])
def test_a_chain_is_one_softmax_over_all_its_keys(causal):
    q, positions, chain = make_chain()
    out = jax.jit(attend, static_argnames="causal")(q, positions, chain, causal=causal)
    assert_close(out, plain_attention(q, positions, chain, causal))


@pytest.mark.parametrize("causal", [True, False])
def test_the_gradient_of_a_chain_is_that_of_the_softmax(causal):
    """Central differences of the plain attention along random directions."""
    q, positions, chain = make_chain()
    rng = np.random.default_rng(1)
    cotangent = rng.standard_normal(q.shape)

    def value(floats, attention):
        moved = [
            Segment(k=k, v=v, positions=s.positions, valid=s.valid)
            for s, (k, v) in zip(chain, floats[1], strict=True)
        ]
        return (attention(floats[0], positions, moved, causal=causal) * cotangent).sum()

    floats = (q, [(s.k, s.v) for s in chain])
    gradient = jax.jit(jax.grad(lambda floats: value(floats, attend)))(floats)
    leaves, tree = jax.tree.flatten(floats)
    for _ in range(8):
        direction = [rng.standard_normal(leaf.shape) for leaf in leaves]
        ahead, behind = (
            value(
                tree.unflatten([x + h * d for x, d in zip(leaves, direction, strict=True)]),
                plain_attention,
            )
            for h in (1e-5, -1e-5)
        )
        along = sum(
            (g * d).sum() for g, d in zip(jax.tree.leaves(gradient), direction, strict=True)
        )
        np.testing.assert_allclose(along, (ahead - behind) / 2e-5, rtol=1e-4, atol=1e-4)


def test_padding_keys_have_no_influence_and_get_no_gradient():
    q, positions, chain = make_chain()

    def total(v, filler):
        segment = chain[0]
        k = jnp.where(segment.valid[..., None, None], segment.k, filler)
        first = Segment(k=k, v=v, positions=segment.positions, valid=segment.valid)
        return attend(q, positions, [first, *chain[1:]], causal=True).sum()

    run = jax.jit(jax.value_and_grad(total))
    value, gradient = run(chain[0].v, 0.0)
    assert run(chain[0].v, 50.0)[0] == value
    hidden = np.asarray(gradient)[~chain[0].valid]
    assert hidden.size and not hidden.any()


def test_a_query_that_sees_nothing_is_finite():
    q, positions, chain = make_chain()
    blind = [
        Segment(k=s.k, v=s.v, positions=s.positions, valid=np.zeros_like(s.valid)) for s in chain
    ]
    run = jax.jit(jax.value_and_grad(lambda q: attend(q, positions, blind, causal=True).sum()))
    assert all(np.isfinite(x).all() for x in run(jnp.asarray(q)))


def test_half_precision_streams_are_softmaxed_in_float32():
    """Large scores: in bfloat16 the sum of weights would lose most of its digits."""
    keys = 4096
    q = jnp.ones((1, 1, 1, 16), jnp.bfloat16)
    segment = Segment(
        k=jnp.zeros((1, keys, 1, 16), jnp.bfloat16),
        v=jnp.ones((1, keys, 1, 16), jnp.bfloat16),
        positions=jnp.zeros((1, keys), jnp.int32),
        valid=jnp.ones((1, keys), bool),
    )
    run = jax.jit(attend, static_argnames="causal")
    out = run(q, jnp.zeros((1, 1), jnp.int32), [segment], causal=True)
    assert out.dtype == jnp.bfloat16
    np.testing.assert_array_equal(np.asarray(out, np.float32), 1.0)
