"""SigLIP: an image and a text tower, pre-norm, with learned positions and no class token.

CheXagent-2 takes over the image tower alone, and reads it before its last norm.
"""

from __future__ import annotations

import dataclasses

from chexjax.families.family import BLOCK_SHARDING, DualFamily, Names
from chexjax.families.spec import BlockSpec, EncoderSpec, ImageSpec, VisionSpec

SHARDING = (
    *BLOCK_SHARDING,
    (r"(vision/position|probe|logit_scale)", ()),
    (r"heads/0/kernel", ("fsdp", "tensor")),
    (r"patch/kernel", ("fsdp", None)),
    (r"(embed|position)/embedding", ("tensor", "fsdp")),
)


def vision(*, layers: int, width: int, heads: int, mlp: int, patch: int, size: int) -> VisionSpec:
    """An image tower, without what stands behind its layers."""
    block = BlockSpec(width=width, heads=heads, mlp=mlp, epsilon=1e-6, causal=False)
    return VisionSpec(block=block, layers=layers, patch=patch, size=size)


def _layers(ours: str, prefix: str) -> tuple[tuple[str, str], ...]:
    """Names of the layers of either tower."""
    layer = f"{prefix}encoder.layers.*"
    return (
        (f"{ours}/layers/*/norm1", f"{layer}.layer_norm1"),
        (f"{ours}/layers/*/norm2", f"{layer}.layer_norm2"),
        (f"{ours}/layers/*/attention/query", f"{layer}.self_attn.q_proj"),
        (f"{ours}/layers/*/attention/key", f"{layer}.self_attn.k_proj"),
        (f"{ours}/layers/*/attention/value", f"{layer}.self_attn.v_proj"),
        (f"{ours}/layers/*/attention/out", f"{layer}.self_attn.out_proj"),
        (f"{ours}/layers/*/mlp/fc1", f"{layer}.mlp.fc1"),
        (f"{ours}/layers/*/mlp/fc2", f"{layer}.mlp.fc2"),
    )


def vision_modules(prefix: str) -> tuple[tuple[str, str], ...]:
    """Names of the image tower's modules, behind `prefix`."""
    return (
        ("vision/patch", f"{prefix}embeddings.patch_embedding"),
        *_layers("vision", prefix),
    )


def vision_tensors(prefix: str) -> tuple[tuple[str, str], ...]:
    """Names of its other parameters, behind `prefix`."""
    return (("vision/position", f"{prefix}embeddings.position_embedding.weight"),)


def pooling_head(prefix: str, block: BlockSpec) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Keys and shapes of what stands behind the layers: the last norm and the pooling head."""
    width, mlp = block.width, block.mlp
    return (
        (f"{prefix}post_layernorm.weight", (width,)),
        (f"{prefix}post_layernorm.bias", (width,)),
        (f"{prefix}head.probe", (1, 1, width)),
        (f"{prefix}head.attention.in_proj_weight", (3 * width, width)),
        (f"{prefix}head.attention.in_proj_bias", (3 * width,)),
        (f"{prefix}head.attention.out_proj.weight", (width, width)),
        (f"{prefix}head.attention.out_proj.bias", (width,)),
        (f"{prefix}head.layernorm.weight", (width,)),
        (f"{prefix}head.layernorm.bias", (width,)),
        (f"{prefix}head.mlp.fc1.weight", (mlp, width)),
        (f"{prefix}head.mlp.fc1.bias", (mlp,)),
        (f"{prefix}head.mlp.fc2.weight", (width, mlp)),
        (f"{prefix}head.mlp.fc2.bias", (width,)),
    )


_VISION, _TEXT = "vision_model.", "text_model."

NAMES = Names(
    modules=(
        *vision_modules(_VISION),
        ("vision/norm", f"{_VISION}post_layernorm"),
        ("vision/head/attention/out", f"{_VISION}head.attention.out_proj"),
        ("vision/head/norm", f"{_VISION}head.layernorm"),
        ("vision/head/mlp/fc1", f"{_VISION}head.mlp.fc1"),
        ("vision/head/mlp/fc2", f"{_VISION}head.mlp.fc2"),
        ("text/embed", f"{_TEXT}embeddings.token_embedding"),
        ("text/position", f"{_TEXT}embeddings.position_embedding"),
        *_layers("text", _TEXT),
        ("text/norm", f"{_TEXT}final_layer_norm"),
        ("text/heads/0", f"{_TEXT}head"),
    ),
    tensors=(
        *vision_tensors(_VISION),
        ("vision/head/probe", f"{_VISION}head.probe"),
        ("logit_scale", "logit_scale"),
        ("logit_bias", "logit_bias"),
    ),
    packed=(("vision/head/attention", f"{_VISION}head.attention.in_proj_", "parts"),),
    buffers=(r"embeddings\.position_ids$",),
)


def dual(name: str, *, tower: VisionSpec, vocabulary: int, positions: int) -> DualFamily:
    """Both towers; the text's has the layers of the image's."""
    return DualFamily(
        name=name,
        vision=dataclasses.replace(tower, final_norm=True, pooled=True),
        text=EncoderSpec(
            block=tower.block,
            layers=tower.layers,
            vocabulary=vocabulary,
            positions=positions,
            heads=(tower.block.width,),
            reads="last",
        ),
        image=ImageSpec(mean=0.5, std=0.5),
        sharding=SHARDING,
        names=NAMES,
        model_type="siglip",
    )


VIT_L = vision(layers=24, width=1024, heads=16, mlp=4096, patch=16, size=512)

PRESETS = (
    # Where CheXagent-2's image tower comes from; the 384 of its full name is what it started as.
    dual("xraysiglip_vitl16", tower=VIT_L, vocabulary=32_000, positions=64),
)
