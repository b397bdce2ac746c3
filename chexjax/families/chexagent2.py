"""CheXagent-2: SigLIP tower, per-token MLP connector, Phi-2 decoder.

The tiny presets keep the shape and shrink the numbers, and the prompt to its moving parts: the
pictures and the indication.
"""

from __future__ import annotations

from chexjax.families.spec import (
    BlockSpec,
    DecoderSpec,
    Family,
    ImageSpec,
    Template,
    VisionSpec,
)

TEMPLATE = Template(
    opening="",
    image="<|img|>{pixels}<|/img|>\n",
    question='Given the indication: "{indication}"',
    closing="\n",
    placeholder="<|imgpad|>",
    end="<|endoftext|>",
    special=("<|endoftext|>", "<|img|>", "<|/img|>", "<|imgpad|>"),
)

SHARDING = (
    (r"(norm|position|bias)", ()),
    (r"(query|key|value|fc1)/kernel", ("fsdp", "tensor")),
    (r"(out|fc2)/kernel", ("tensor", "fsdp")),
    (r"(patch|connector/project)/kernel", ("fsdp", None)),
    (r"decoder/embed/embedding", ("tensor", "fsdp")),
    (r"decoder/head/kernel", ("fsdp", "tensor")),
)


def _tiny(
    name: str, *, vision: tuple[int, int, int], decoder: tuple[int, int, int], size: int, patch: int
) -> Family:
    """The family at toy size; `vision` and `decoder` are (layers, width, heads)."""
    vision_block = BlockSpec(
        width=vision[1],
        heads=vision[2],
        mlp=4 * vision[1],
        epsilon=1e-6,
        parallel=False,
        causal=False,
    )
    width, heads = decoder[1], decoder[2]
    decoder_block = BlockSpec(
        width=width,
        heads=heads,
        mlp=4 * width,
        epsilon=1e-5,
        parallel=True,
        causal=True,
        # Phi-2 rotates 0.4 of each head; rounded to the next multiple of four.
        rotary=-(-int(0.4 * width // heads) // 4) * 4,
    )
    return Family(
        name=name,
        vision=VisionSpec(block=vision_block, layers=vision[0], patch=patch, size=size, channels=1),
        connector=4 * width,
        decoder=DecoderSpec(block=decoder_block, layers=decoder[0], vocabulary=1024, context=512),
        image=ImageSpec(mean=0.5, std=0.5),
        template=TEMPLATE,
        max_images=2,
        sharding=SHARDING,
        frozen=(r"vision/", r"connector/"),
    )


PRESETS = (
    _tiny("chexagent2_tiny", vision=(2, 128, 4), decoder=(2, 128, 4), size=64, patch=16),
    _tiny("chexagent2_nano", vision=(2, 32, 2), decoder=(2, 32, 2), size=32, patch=8),
)
