"""SigLIP's image tower: pre-norm ViT, learned positions, no class token."""

from __future__ import annotations

from chexjax.families.spec import BlockSpec, VisionSpec


def vision(*, layers: int, width: int, heads: int, mlp: int, patch: int, size: int) -> VisionSpec:
    """A tower of the family."""
    block = BlockSpec(width=width, heads=heads, mlp=mlp, epsilon=1e-6, causal=False)
    return VisionSpec(block=block, layers=layers, patch=patch, size=size)


def vision_modules(prefix: str) -> tuple[tuple[str, str], ...]:
    """Names of its modules, behind `prefix`."""
    layer = f"{prefix}encoder.layers.*"
    return (
        ("vision/patch", f"{prefix}embeddings.patch_embedding"),
        ("vision/layers/*/norm1", f"{layer}.layer_norm1"),
        ("vision/layers/*/norm2", f"{layer}.layer_norm2"),
        ("vision/layers/*/attention/query", f"{layer}.self_attn.q_proj"),
        ("vision/layers/*/attention/key", f"{layer}.self_attn.k_proj"),
        ("vision/layers/*/attention/value", f"{layer}.self_attn.v_proj"),
        ("vision/layers/*/attention/out", f"{layer}.self_attn.out_proj"),
        ("vision/layers/*/mlp/fc1", f"{layer}.mlp.fc1"),
        ("vision/layers/*/mlp/fc2", f"{layer}.mlp.fc2"),
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
