"""CheXagent-8b: EVA-CLIP-g at 448 pixels, Q-Former, Mistral-7B.

All images of a study become 128 visual tokens, which stand in front of the whole prompt.
"""

from __future__ import annotations

from chexjax.families import llama
from chexjax.families.family import Family, Names, Template
from chexjax.families.spec import BlockSpec, ImageSpec, QFormerSpec, VisionSpec

# Mistral's vocabulary has no token to spare; no text becomes the unknown one, since what is in no
# piece is spelt in bytes.
_PLACEHOLDER = "<unk>"

TEMPLATE = Template(
    opening="{pixels}<s> USER: <s>",
    image="",
    question=(
        'Given the indication: "{indication}", write a structured findings section for the CXR.'
    ),
    closing=" ASSISTANT: <s>",
    placeholder=_PLACEHOLDER,
    end="</s>",
    special=("<s>", "</s>", _PLACEHOLDER),
)

_CLIP = ImageSpec(
    mean=(0.48145466, 0.4578275, 0.40821073), std=(0.26862954, 0.26130258, 0.27577711)
)

SHARDING = (
    (r"(token|position|queries)$", ()),
    (r"vision/patch/kernel", ("fsdp", None)),
    (r"connector/project/kernel", ("fsdp", "tensor")),
    *llama.SHARDING,
)

_VISION = "vision_model.encoder.layers.*"
_QFORMER = "qformer.encoder.layer.*"
_LAYER = "connector/pairs/layers/*"

NAMES = Names(
    modules=(
        ("vision/patch", "vision_model.embeddings.patch_embedding"),
        ("vision/layers/*/norm1", f"{_VISION}.layer_norm1"),
        ("vision/layers/*/attention/out", f"{_VISION}.self_attn.projection"),
        ("vision/layers/*/norm2", f"{_VISION}.layer_norm2"),
        ("vision/layers/*/mlp/fc1", f"{_VISION}.mlp.fc1"),
        ("vision/layers/*/mlp/fc2", f"{_VISION}.mlp.fc2"),
        ("vision/norm", "vision_model.post_layernorm"),
        ("connector/norm", "qformer.layernorm"),
        (f"{_LAYER}/attention/query", f"{_QFORMER}.attention.attention.query"),
        (f"{_LAYER}/attention/key", f"{_QFORMER}.attention.attention.key"),
        (f"{_LAYER}/attention/value", f"{_QFORMER}.attention.attention.value"),
        (f"{_LAYER}/attention/out", f"{_QFORMER}.attention.output.dense"),
        (f"{_LAYER}/norm1", f"{_QFORMER}.attention.output.LayerNorm"),
        (f"{_LAYER}/cross/query", f"{_QFORMER}.crossattention.attention.query"),
        (f"{_LAYER}/cross/key", f"{_QFORMER}.crossattention.attention.key"),
        (f"{_LAYER}/cross/value", f"{_QFORMER}.crossattention.attention.value"),
        (f"{_LAYER}/cross/out", f"{_QFORMER}.crossattention.output.dense"),
        (f"{_LAYER}/norm_cross", f"{_QFORMER}.crossattention.output.LayerNorm"),
        (f"{_LAYER}/mlp/fc1", f"{_QFORMER}.intermediate_query.dense"),
        (f"{_LAYER}/mlp/fc2", f"{_QFORMER}.output_query.dense"),
        (f"{_LAYER}/norm2", f"{_QFORMER}.output_query.LayerNorm"),
        ("connector/project", "language_projection"),
        *((ours, f"language_model.{theirs}") for ours, theirs in llama.NAMES.modules),
    ),
    tensors=(
        ("vision/token", "vision_model.embeddings.class_embedding"),
        ("vision/position", "vision_model.embeddings.position_embedding"),
        ("connector/queries", "query_tokens"),
    ),
    packed=(("vision/layers/*/attention", f"{_VISION}.self_attn.qkv", "parts"),),
    buffers=(*llama.NAMES.buffers, r"embeddings\.position_ids$"),
)


def _family(
    name: str, *, vision: VisionSpec, qformer: tuple[int, int, int, int], base: llama.TextFamily
) -> Family:
    """The family at any size; `qformer` is (layers, width, heads, queries)."""
    layers, width, heads, queries = qformer
    block = BlockSpec(
        width=width,
        heads=heads,
        mlp=4 * width,
        epsilon=1e-12,
        causal=False,
        layout="post",
        activation="gelu",
    )
    return Family(
        name=name,
        vision=vision,
        connector=QFormerSpec(block=block, layers=layers, queries=queries),
        decoder=base.decoder,
        image=_CLIP,
        template=TEMPLATE,
        max_images=2,
        sharding=SHARDING,
        frozen=(r"vision/", r"connector/"),
        names=NAMES,
        model_type="mistral",
    )


def eva(*, layers: int, width: int, heads: int, mlp: int, patch: int, size: int) -> VisionSpec:
    """A tower of EVA-CLIP."""
    block = BlockSpec(
        width=width, heads=heads, mlp=mlp, epsilon=1e-6, causal=False, activation="gelu"
    )
    return VisionSpec(
        block=block, layers=layers, patch=patch, size=size, class_token=True, final_norm=True
    )


PRESETS = (
    _family(
        "chexagent_8b",
        vision=eva(layers=40, width=1408, heads=16, mlp=6144, patch=14, size=448),
        qformer=(12, 768, 12, 128),
        base=llama.MISTRAL_7B,
    ),
    _family(
        "chexagent_nano",
        vision=eva(layers=2, width=32, heads=2, mlp=96, patch=8, size=32),
        qformer=(4, 32, 2, 6),
        base=llama.llama(
            "",
            layers=3,
            width=32,
            heads=4,
            kv_heads=2,
            mlp=96,
            vocabulary=768,
            context=512,
            window=64,
        ),
    ),
)
