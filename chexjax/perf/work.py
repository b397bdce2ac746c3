"""The work that alignment is measured by: a DPO step on a LLaVA-shaped policy, at three sizes.

A SigLIP tower, frozen; two linear layers; a decoder of Phi-2's shape. Everything is explicit, so
that any framework can do the same work: float32, AdamW at a constant rate, no clipping, no decay.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from chexjax.data.batches import Bucket, PlannedBatch
from chexjax.data.packing import Groups, Packer
from chexjax.families import Family, ImageSpec, MLPSpec, Names, Template, phi, siglip

VOCABULARY, PROMPT, BETA, RATE = 51_200, 32, 0.1, 1e-5
"""Words, prompt tokens behind the image, DPO's beta, learning rate."""

_TEXT = 10  # the first id that is no special token

NAMES = Names(
    modules=(
        *siglip.vision_modules("model.vision_tower."),
        ("connector/fc1", "model.multi_modal_projector.linear_1"),
        ("connector/fc2", "model.multi_modal_projector.linear_2"),
        *(
            (ours, theirs.replace("model.", "model.language_model."))
            for ours, theirs in phi.NAMES.modules
        ),
    ),
    tensors=siglip.vision_tensors("model.vision_tower."),
    buffers=phi.NAMES.buffers,
)
"""What transformers' LLaVA calls the policy's parameters."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Work:
    """One size of a step.

    Attributes:
      vision: Layers, width, heads, pixels of a side, pixels of a patch's side.
      decoder: Layers, width, heads, dimensions of a head that rotate.
      chosen: Tokens of the chosen response of each pair.
      rejected: Tokens of the rejected one.
    """

    vision: tuple[int, int, int, int, int]
    decoder: tuple[int, int, int, int]
    chosen: tuple[int, ...]
    rejected: tuple[int, ...]

    @property
    def pairs(self) -> int:
        """Pairs of a step."""
        return len(self.chosen)

    @property
    def visual(self) -> int:
        """Visual tokens of an image."""
        *_, size, patch = self.vision
        return (size // patch) ** 2

    @property
    def prefix(self) -> int:
        """Visual and text tokens that both responses of a pair share."""
        return self.visual + PROMPT

    @property
    def tokens(self) -> int:
        """Real response tokens of a step."""
        return sum(self.chosen) + sum(self.rejected)


SIZES = {
    "S": Work(
        vision=(4, 192, 6, 128, 16),
        decoder=(4, 256, 8, 12),
        chosen=(88, 112, 72, 104, 120, 80, 100, 92),
        rejected=(124, 148, 96, 160, 116, 140, 108, 132),
    ),
    "M": Work(
        vision=(8, 384, 6, 224, 14),
        decoder=(6, 512, 16, 12),
        chosen=(88, 112, 72, 112),
        rejected=(124, 148, 96, 144),
    ),
    "L": Work(
        vision=(12, 512, 8, 384, 16),
        decoder=(8, 768, 8, 38),
        chosen=(84, 108),
        rejected=(112, 144),
    ),
}


def family(work: Work) -> Family:
    """The policy of a size."""
    layers, width, heads, size, patch = work.vision
    depth, inner, count, rotary = work.decoder
    tower = siglip.vision(
        layers=layers, width=width, heads=heads, mlp=4 * width, patch=patch, size=size
    )
    decoder = phi.decoder(
        layers=depth,
        width=inner,
        heads=count,
        mlp=4 * inner,
        vocabulary=VOCABULARY,
        context=4096,
        rotary=rotary,
    )
    return Family(
        name="bench",
        vision=tower,
        connector=MLPSpec(hidden=inner, bare=True),
        decoder=dataclasses.replace(decoder, head="plain"),
        image=ImageSpec(mean=0.5, std=0.5),
        template=Template(
            opening="", image="", question="", closing="", placeholder="", end="", special=()
        ),
        max_images=1,
        sharding=(*siglip.SHARDING, *phi.SHARDING),
        frozen=(r"vision/",),
        names=NAMES,
    )


def batch(work: Work, seed: int = 0) -> dict[str, Any]:
    """Random pairs of a size, as `data.examples.Collator` makes them; the image comes first."""
    rng = np.random.default_rng(seed)
    lengths = np.stack([work.chosen, work.rejected], axis=1)
    mask = np.arange(lengths.max()) < lengths[..., None]
    prompt = rng.integers(_TEXT, VOCABULARY, (work.pairs, PROMPT), np.int32)
    targets = rng.integers(_TEXT, VOCABULARY, mask.shape, np.int32) * mask
    first = np.broadcast_to(prompt[:, None, -1:], (*mask.shape[:2], 1))
    ids = np.concatenate([np.zeros((work.pairs, work.visual), np.int32), prompt[:, :-1]], axis=1)
    size = work.vision[3]
    bucket = Bucket(ids.shape[1], mask.shape[2])
    planned = PlannedBatch(bucket, np.arange(work.pairs))
    packer = Packer.of([planned], lengths, Groups(work.pairs), {"rows": slice(None)})
    return packer(mask, bucket) | {
        "prefix": {
            "images": rng.integers(1, 256, (work.pairs, 1, size, size, 3), np.uint8),
            "tokens": ids,
            "placeholder": np.broadcast_to(np.arange(ids.shape[1]) < work.visual, ids.shape),
            "valid": np.ones(ids.shape, bool),
        },
        "inputs": np.concatenate([first, targets[..., :-1]], axis=-1) * mask,
        "targets": targets,
        "mask": mask,
        "real": np.ones(work.pairs, bool),
        "rewards": np.broadcast_to(np.asarray([1, 0], np.float32), mask.shape[:2]),
    }
