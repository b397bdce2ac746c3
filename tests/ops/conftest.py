"""Chains as training makes them: runs of tokens with padding at their end."""

import numpy as np
import pytest

from chexjax.ops.attention import Segment

SIZE = 8


def make_segment(rng, lengths, room, start, heads):
    """Random keys and values; of each run the first of `lengths: [*batch]` are real."""
    lengths = np.asarray(lengths)
    k, v = rng.standard_normal((2, *lengths.shape, room, heads, SIZE)).astype(np.float32)
    positions = np.asarray(start)[..., None] + np.arange(room, dtype=np.int32)
    positions = np.broadcast_to(positions, k.shape[:-2])
    return Segment(k=k, v=v, positions=positions, valid=np.arange(room) < lengths[..., None])


@pytest.fixture(scope="session")
def make_chain():
    """Makes queries and their chain: a prompt of ragged length, if any, and runs behind it."""

    def make(*, lengths, room, prompts=None, heads=2, kv_heads=2):
        rng = np.random.default_rng(0)
        start = np.zeros(len(lengths), np.int32) if prompts is None else np.array(prompts)
        start = start.reshape(-1, *[1] * (np.ndim(lengths) - 1))
        own = make_segment(rng, lengths, room, start, kv_heads)
        q = rng.standard_normal((*own.k.shape[:-2], heads, SIZE)).astype(np.float32)
        if prompts is None:
            return q, [own]
        return q, [make_segment(rng, prompts, max(prompts), np.zeros_like(prompts), kv_heads), own]

    return make
