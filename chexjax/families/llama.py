"""LLaMA and what is built like it: RMS norms, gated MLP, grouped heads, no biases."""

from __future__ import annotations

import dataclasses

from chexjax.families.family import (
    BLOCK_SHARDING,
    Chat,
    Names,
    PolicyFamily,
    Template,
    TextFamily,
)
from chexjax.families.spec import BlockSpec, DecoderSpec

SHARED = (
    ("decoder/embed", "model.embed_tokens"),
    ("decoder/layers/*/norm1", "model.layers.*.input_layernorm"),
    ("decoder/layers/*/attention/query", "model.layers.*.self_attn.q_proj"),
    ("decoder/layers/*/attention/key", "model.layers.*.self_attn.k_proj"),
    ("decoder/layers/*/attention/value", "model.layers.*.self_attn.v_proj"),
)
"""Names that other decoders took over."""

NAMES = Names(
    modules=(
        *SHARED,
        ("decoder/layers/*/attention/out", "model.layers.*.self_attn.o_proj"),
        ("decoder/layers/*/norm2", "model.layers.*.post_attention_layernorm"),
        ("decoder/layers/*/mlp/gate", "model.layers.*.mlp.gate_proj"),
        ("decoder/layers/*/mlp/fc1", "model.layers.*.mlp.up_proj"),
        ("decoder/layers/*/mlp/fc2", "model.layers.*.mlp.down_proj"),
        ("decoder/norm", "model.norm"),
        ("decoder/head", "lm_head"),
    ),
    buffers=(r"rotary_emb\.inv_freq$",),
)

SHARDING = (
    *BLOCK_SHARDING,
    (r"decoder/embed/embedding", ("tensor", "fsdp")),
    (r"decoder/head/kernel", ("fsdp", "tensor")),
)


_CONCLUDING = Template(
    opening="<|im_start|>user\n",
    question="Write the impression of these findings of a chest X-ray: {indication}",
    closing="<|im_end|>\n<|im_start|>assistant\n",
    end="<|im_end|>",
    special=("<|im_start|>", "<|im_end|>"),
)
"""As SmolLM2 was tuned to be asked, without a system's turn; for the indication stand findings."""


def llama(
    name: str,
    *,
    layers: int,
    width: int,
    heads: int,
    kv_heads: int,
    mlp: int,
    vocabulary: int,
    context: int,
    epsilon: float = 1e-5,
    theta: float = 10_000.0,
    window: int | None = None,
    tied: bool = False,
    model_type: str = "llama",
    chat: Chat | None = None,
) -> TextFamily:
    """A preset of the family."""
    block = BlockSpec(
        width=width,
        heads=heads,
        kv_heads=kv_heads,
        mlp=mlp,
        epsilon=epsilon,
        causal=True,
        norm="rms",
        activation="silu",
        gated=True,
        biases=(),
        rotary=width // heads,
        theta=theta,
        window=window,
    )
    return TextFamily(
        name=name,
        decoder=DecoderSpec(
            block=block,
            layers=layers,
            vocabulary=vocabulary,
            context=context,
            head="tied" if tied else "plain",
        ),
        sharding=SHARDING,
        names=NAMES,
        model_type=model_type,
        chat=chat,
    )


def concluding(model: TextFamily) -> PolicyFamily:
    """A model in SmolLM2's turns that is asked for the impression of findings."""
    own = {field.name: getattr(model, field.name) for field in dataclasses.fields(model)}
    return PolicyFamily(**own, template=_CONCLUDING)


def green_chat(start: str, end: str) -> Chat:
    """GREEN's turns. It is asked with an empty answer of its own in front of the one to write."""
    opening = "<|assistant|>\n"
    return Chat(
        start=start, turn="<|{role}|>\n{text}" + f"{end}\n", answer=f"{opening}{end}\n{opening}"
    )


MISTRAL_7B = llama(
    "mistral_7b",
    layers=32,
    width=4096,
    heads=32,
    kv_heads=8,
    mlp=14_336,
    vocabulary=32_000,
    context=32_768,
    window=4096,
    model_type="mistral",
)

PRESETS = (
    # Karpathy's model of TinyStories, small enough to check numbers with anywhere.
    llama(
        "stories260k",
        layers=5,
        width=64,
        heads=8,
        kv_heads=4,
        mlp=172,
        vocabulary=512,
        context=512,
        tied=True,
    ),
    concluding(
        llama(
            "smollm2_135m",
            layers=30,
            width=576,
            heads=9,
            kv_heads=3,
            mlp=1536,
            vocabulary=49_152,
            context=8192,
            theta=100_000.0,
            tied=True,
        )
    ),
    # Its shape at toy size.
    concluding(
        llama(
            "smollm2_nano",
            layers=2,
            width=32,
            heads=4,
            kv_heads=2,
            mlp=64,
            vocabulary=768,
            context=512,
            tied=True,
        )
    ),
    MISTRAL_7B,
    # The judge that is shipped with chexjax, and one of seconds, for tests.
    llama(
        "green_nano",
        layers=5,
        width=128,
        heads=4,
        kv_heads=4,
        mlp=320,
        vocabulary=1024,
        context=2048,
        tied=True,
    ),
    llama(
        "green_pico",
        layers=2,
        width=32,
        heads=2,
        kv_heads=1,
        mlp=64,
        vocabulary=512,
        context=1024,
        tied=True,
    ),
    # The judge GREEN; its tokenizer has 64 ids beyond these rows.
    llama(
        "green_llama2_7b",
        layers=32,
        width=4096,
        heads=32,
        kv_heads=32,
        mlp=11_008,
        vocabulary=32_000,
        context=4096,
        chat=green_chat("<s>", "</s>"),
    ),
)
