"""What computes attention, and why not something else."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractMesh

from chexjax.mesh import AXES
from chexjax.ops.attention import attend, backend_for, why_xla
from chexjax.ops.chain import rectangle
from chexjax.ops.cudnn import cudnn
from chexjax.testing import assert_close

run = jax.jit(attend, static_argnames=("causal", "window", "backend"))


@pytest.mark.parametrize(
    ("platform", "native"), [("tpu", "splash"), ("gpu", "cudnn"), ("cpu", "xla")]
)
def test_a_platform_runs_its_own_kernels_and_xla(platform, native):
    assert backend_for("auto", platform) == backend_for(native, platform) == native
    assert backend_for("xla", platform) == "xla"


@pytest.mark.parametrize(
    ("asked", "platform", "instead"),
    [
        ("splash", "cpu", "'auto' or 'xla'"),
        ("splash", "gpu", "'auto' or 'xla' or 'cudnn'"),
        ("cudnn", "tpu", "'auto' or 'xla' or 'splash'"),
    ],
)
def test_a_kernel_of_another_platform_is_an_error_with_a_remedy(asked, platform, instead):
    expected = f"attention='{asked}' does not run on {platform}; set it to {instead}"
    with pytest.raises(ValueError, match=f"^{expected}$"):
        backend_for(asked, platform)


def reason(q, chain, backend="splash", causal=True, window=None):
    return why_xla(backend, q, chain, causal=causal, window=window)


def test_what_kernels_do_not_take_has_a_reason(make_chain):
    q, chain = make_chain(prompts=[70, 90], lengths=[[3, 70], [0, 20]], room=70)
    own = chain[1]
    assert reason(q, chain) is None
    assert reason(q, chain, window=90 + 70) is None
    assert "a window of 159 over 160 keys" in reason(q, chain, window=159)
    assert "has 2 queries, fewer than 128" in reason(q[:, :, :1], chain)
    assert "own segment is not the chain's last" in reason(q, [own, chain[0]])
    everyone = jax.tree.map(lambda x: x[:1], chain[0])
    assert "nest by more" in reason(q, [everyone, own])
    with jax.sharding.use_abstract_mesh(AbstractMesh((2, 2, 1), AXES)):
        assert "a batch of 2 cannot be split" in reason(q, chain)
    with jax.sharding.use_abstract_mesh(AbstractMesh((2, 1, 4), AXES)):
        assert "2 heads of keys cannot be split" in reason(q, chain)


def test_cudnn_has_a_reason_of_its_own(make_chain):
    q, chain = make_chain(lengths=[200, 130], room=200)
    half = jnp.asarray(q, jnp.bfloat16)
    assert reason(half, chain, "cudnn") is None
    assert reason(q, chain, "cudnn") == "cuDNN takes bfloat16 and float16, not float32"
    assert "not 6" in reason(half[..., :6], chain, "cudnn")


def test_a_chain_that_no_kernel_takes_is_computed_all_the_same(make_chain):
    """Decoding: one token a response."""
    q, chain = make_chain(prompts=[7, 9], lengths=[[3, 1], [0, 2]], room=3)
    last = (q[:, :, -1:], chain[-1].positions[:, :, -1:], chain)
    np.testing.assert_array_equal(*(run(*last, causal=True, backend=b) for b in ("splash", "xla")))


@pytest.mark.parametrize(
    ("chain", "mask"),
    [
        ({"lengths": [77, 130], "room": 131}, {"causal": True}),
        ({"lengths": [131, 130], "room": 131}, {"causal": False}),
        ({"lengths": [90, 130], "room": 131}, {"causal": True, "window": 50}),
        ({"prompts": [70, 91], "lengths": [[3, 65], [0, 20]], "room": 65}, {"causal": True}),
    ],
)
def test_cudnn_is_asked_for_the_attention_that_xla_computes(make_chain, monkeypatch, chain, mask):
    """There is no GPU here: the same call is given to JAX's own implementation of it."""
    asked = []

    def stand_in(*args, implementation, **options):
        asked.append(implementation)
        assert all(x.shape[1] % 8 == 0 for x in args)  # its backward refuses odd sides
        return jax_attention(*args, **options)

    jax_attention = functools.partial(jax.nn.dot_product_attention, implementation="xla")
    q, chain = make_chain(**chain, heads=4)
    expected = run(q, chain[-1].positions, chain, **mask)
    monkeypatch.setattr(jax.nn, "dot_product_attention", stand_in)
    out = jax.jit(lambda: cudnn(rectangle(q, chain, **{"window": None, **mask})))()
    assert asked == ["cudnn"]
    assert_close(out.reshape(q.shape), expected)
