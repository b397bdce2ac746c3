"""CheXagent-2: SigLIP tower at 512 pixels, per-token MLP connector, Phi-2 decoder.

The tiny presets keep the shape and shrink the numbers, and the prompt to its moving parts: the
pictures and the indication.
"""

from __future__ import annotations

import dataclasses

from chexjax.families import phi, siglip
from chexjax.families.family import BLOCK_SHARDING, Family, Names, Template
from chexjax.families.spec import ImageSpec, MLPSpec, VisionSpec

TEMPLATE = Template(
    opening="<|system|>\nYou are a helpful assistant.<|endoftext|>\n<|user|>\n",
    image="Picture {number}:<|img|>{pixels}<|/img|>\n",
    question=(
        'Given the indication: "{indication}", write a structured findings section for the CXR.'
    ),
    closing="<|endoftext|>\n<|assistant|>\n",
    placeholder="<|imgpad|>",
    end="<|endoftext|>",
    special=("<|endoftext|>", "<|img|>", "<|/img|>", "<|imgpad|>"),
)
"""As the released model was trained and is asked for findings; role marks are ordinary text."""

REFERENCE_TEMPLATE = dataclasses.replace(
    TEMPLATE,
    closing="<|endoftext|>\n",
    answer="<|user|>\n",
    after="\n",
)
"""CheXalign's code renders a pair's reports as turns of the user, with no assistant's mark."""

TINY_TEMPLATE = Template(
    opening="",
    image="<|img|>{pixels}<|/img|>\n",
    question='Given the indication: "{indication}"',
    closing="\n",
    placeholder="<|imgpad|>",
    end="<|endoftext|>",
    special=("<|endoftext|>", "<|img|>", "<|/img|>", "<|imgpad|>"),
)

SHARDING = (
    *BLOCK_SHARDING,
    (r"(position|table)", ()),
    (r"(patch|connector/project)/kernel", ("fsdp", None)),
    (r"decoder/embed/embedding", ("tensor", "fsdp")),
    (r"decoder/head/kernel", ("fsdp", "tensor")),
)


_TOWER = "model.visual.model."


def _names(vision: VisionSpec) -> Names:
    return Names(
        modules=(
            *phi.NAMES.modules,
            *siglip.vision_modules(_TOWER),
            ("connector/fc1", "model.visual.attn_pool.0"),
            ("connector/fc2", "model.visual.attn_pool.2"),
            ("connector/norm", "model.visual.ln_post"),
        ),
        tensors=(
            *siglip.vision_tensors(_TOWER),
            ("connector/table", "model.visual.pos_embed"),
            # Stored the way it is multiplied, unlike every linear layer.
            ("connector/project/kernel", "model.visual.proj"),
        ),
        # The features are read before the tower's last norm, so its pooling head is idle.
        unused=siglip.pooling_head(_TOWER, vision.block),
        buffers=phi.NAMES.buffers,
    )


def _tiny(
    name: str, *, vision: tuple[int, int, int], decoder: tuple[int, int, int], size: int, patch: int
) -> Family:
    """The family at toy size; `vision` and `decoder` are (layers, width, heads)."""
    width, heads = decoder[1], decoder[2]
    layers, side, count = vision
    tower = siglip.vision(
        layers=layers, width=side, heads=count, mlp=4 * side, patch=patch, size=size
    )
    return Family(
        name=name,
        vision=dataclasses.replace(tower, channels=1),
        connector=MLPSpec(hidden=4 * width),
        decoder=phi.decoder(
            layers=decoder[0],
            width=width,
            heads=heads,
            mlp=4 * width,
            vocabulary=768,  # all that the phantoms' reports can fill
            context=512,
            # Phi-2 rotates 0.4 of each head; rounded to the next multiple of four.
            rotary=-(-int(0.4 * width // heads) // 4) * 4,
        ),
        image=ImageSpec(mean=0.5, std=0.5),
        template=TINY_TEMPLATE,
        max_images=2,
        sharding=SHARDING,
        frozen=FROZEN,
        model_type="phi",  # as its config says; the images' part is not transformers' own
        names=_names(tower),
    )


FROZEN = (r"vision/", r"connector/")

CHEXAGENT2 = Family(
    name="chexagent2_3b",
    vision=siglip.VIT_L,
    connector=MLPSpec(hidden=10_240),
    # Two pictures alone take 2,080 positions, past the 2,048 that its config declares.
    decoder=dataclasses.replace(phi.PHI2, context=4096),
    image=ImageSpec(mean=0.5, std=0.5),
    template=TEMPLATE,
    reference_template=REFERENCE_TEMPLATE,
    max_images=2,
    sharding=SHARDING,
    frozen=FROZEN,
    model_type="phi",  # as its config says; the images' part is not transformers' own
    names=_names(siglip.VIT_L),
)


def official_bf16(family: Family) -> Family:
    """The family with the angles that official code in bfloat16 gives prompts of two images.

    Cast to bfloat16 after loading, that code rebuilds its rotary table when a sequence passes 2,048
    positions, and merges most of them. For comparison with its reports alone.
    """
    block = dataclasses.replace(family.decoder.block, rotary_rebuilt_at=2048)
    decoder = dataclasses.replace(family.decoder, block=block)
    return dataclasses.replace(family, name=f"{family.name}_official_bf16", decoder=decoder)


PRESETS = (
    _tiny("chexagent2_tiny", vision=(2, 128, 4), decoder=(2, 128, 4), size=64, patch=16),
    _tiny("chexagent2_nano", vision=(2, 32, 2), decoder=(2, 32, 2), size=32, patch=8),
    CHEXAGENT2,
    official_bf16(CHEXAGENT2),
)
