"""The splash kernels, run step by step on this machine, against XLA."""

import functools

import jax
import numpy as np
import pytest

from chexjax.ops import attention
from chexjax.ops import splash as kernels
from chexjax.ops.attention import Segment, attend, why_xla
from chexjax.testing import assert_close


@pytest.fixture(autouse=True)
def interpreted(monkeypatch):
    """Blocks are small, so that some are skipped and some cut across segments."""
    monkeypatch.setattr(attention, "splash", functools.partial(kernels.splash, interpret=True))
    monkeypatch.setattr(kernels, "_BLOCK", 128)


def run(q, chain, slopes, mask, backend):
    """Output, and gradients along `slopes`."""

    def value(floats):
        moved = [
            Segment(k=k, v=v, positions=s.positions, valid=s.valid)
            for s, (k, v) in zip(chain, floats[1], strict=True)
        ]
        out = attend(floats[0], chain[-1].positions, moved, backend=backend, **mask)
        return (out * slopes).sum(), out

    quickly = {"xla_backend_optimization_level": 0}  # half of the compile time
    gradient = jax.jit(jax.grad(value, has_aux=True), compiler_options=quickly)
    return gradient((q, [(s.k, s.v) for s in chain]))


def check(q, chain, **mask):
    assert why_xla("splash", q, chain, **{"window": None, **mask}) is None
    some = np.stack([segment.valid.any(-1).reshape(len(q), -1).any(-1) for segment in chain])
    sees = some.any(0)  # studies that are not all padding
    slopes = np.random.default_rng(1).standard_normal(q.shape).astype(np.float32)
    slopes[~sees] = 0
    gradient, out = run(q, chain, slopes, mask, "splash")
    expected_gradient, expected = run(q, chain, slopes, mask, "xla")
    assert_close(out[sees], expected[sees], rtol=1e-5)
    assert_close(gradient, expected_gradient, rtol=1e-4)
    assert np.isfinite(out).all()


@pytest.mark.parametrize(
    ("room", "heads", "kv_heads", "lengths"),
    [
        (70, 4, 2, [[3, 70], [0, 20], [0, 0]]),
        (40, 2, 1, [[40, 1, 0, 7], [0, 0, 0, 0], [0, 0, 0, 0]]),
    ],
)
def test_responses_over_a_shared_prefix_are_one_softmax(make_chain, room, heads, kv_heads, lengths):
    """Ragged prompts and responses, grouped heads, responses and a study that are padding."""
    sizes = {"heads": heads, "kv_heads": kv_heads}
    check(*make_chain(prompts=[90, 150, 0], lengths=lengths, room=room, **sizes), causal=True)


@pytest.mark.parametrize("mask", [{"causal": True, "window": 100}, {"causal": False}])
def test_a_run_reads_itself(make_chain, mask):
    """A prompt through a window, and an image."""
    check(*make_chain(lengths=[200, 130], room=200), **mask)
