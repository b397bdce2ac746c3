"""GPT-NeoX: parallel blocks with two norms, query, key and value interleaved head by head."""

from __future__ import annotations

from chexjax.families.family import Names, TextFamily
from chexjax.families.llama import SHARDING
from chexjax.families.spec import BlockSpec, DecoderSpec

NAMES = Names(
    modules=(
        ("decoder/embed", "gpt_neox.embed_in"),
        ("decoder/layers/*/norm1", "gpt_neox.layers.*.input_layernorm"),
        ("decoder/layers/*/norm2", "gpt_neox.layers.*.post_attention_layernorm"),
        ("decoder/layers/*/attention/out", "gpt_neox.layers.*.attention.dense"),
        ("decoder/layers/*/mlp/fc1", "gpt_neox.layers.*.mlp.dense_h_to_4h"),
        ("decoder/layers/*/mlp/fc2", "gpt_neox.layers.*.mlp.dense_4h_to_h"),
        ("decoder/norm", "gpt_neox.final_layer_norm"),
        ("decoder/head", "embed_out"),
    ),
    packed=(
        ("decoder/layers/*/attention", "gpt_neox.layers.*.attention.query_key_value", "heads"),
    ),
    # Buffers of older versions: the causal mask, its fill value, the rotation's frequencies.
    buffers=(r"attention\.(bias|masked_bias|rotary_emb\.inv_freq)$",),
)


def neox(
    name: str, *, layers: int, width: int, heads: int, mlp: int, vocabulary: int, rotary: int
) -> TextFamily:
    """A preset of the family; `rotary` is the number of dimensions of a head that rotate."""
    block = BlockSpec(
        width=width,
        heads=heads,
        mlp=mlp,
        epsilon=1e-5,
        causal=True,
        layout="parallel_two",
        activation="gelu",
        rotary=rotary,
    )
    return TextFamily(
        name=name,
        decoder=DecoderSpec(
            block=block, layers=layers, vocabulary=vocabulary, context=2048, head="plain"
        ),
        sharding=SHARDING,
        names=NAMES,
        model_type="gpt_neox",
    )


PRESETS = (
    # The language model of LLM-CXR, before its vocabulary grows.
    neox(
        "dolly_v2_3b",
        layers=32,
        width=2560,
        heads=32,
        mlp=10_240,
        vocabulary=50_280,
        rotary=20,
    ),
)
