"""Phi-2: parallel blocks with one norm, partial rotation, biases everywhere."""

from __future__ import annotations

from chexjax.families.family import Names, TextFamily
from chexjax.families.llama import SHARDING, SHARED, green_chat
from chexjax.families.spec import BlockSpec, DecoderSpec

NAMES = Names(
    modules=(
        *SHARED,
        ("decoder/layers/*/attention/out", "model.layers.*.self_attn.dense"),
        ("decoder/layers/*/mlp/fc1", "model.layers.*.mlp.fc1"),
        ("decoder/layers/*/mlp/fc2", "model.layers.*.mlp.fc2"),
        ("decoder/norm", "model.final_layernorm"),
        ("decoder/head", "lm_head"),
    ),
    buffers=(r"rotary_emb\.inv_freq$",),
)


def decoder(
    *, layers: int, width: int, heads: int, mlp: int, vocabulary: int, context: int, rotary: int
) -> DecoderSpec:
    """A decoder of the family; `rotary` is the number of dimensions of a head that rotate."""
    block = BlockSpec(
        width=width,
        heads=heads,
        mlp=mlp,
        epsilon=1e-5,
        causal=True,
        layout="parallel",
        rotary=rotary,
    )
    return DecoderSpec(block=block, layers=layers, vocabulary=vocabulary, context=context)


PHI2 = decoder(
    layers=32, width=2560, heads=32, mlp=10_240, vocabulary=51_200, context=2048, rotary=32
)

PRESETS = (
    TextFamily(
        name="green_phi2",
        decoder=PHI2,
        sharding=SHARDING,
        names=NAMES,
        model_type="phi",
        chat=green_chat("", "<|endoftext|>"),
    ),
)
