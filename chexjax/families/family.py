"""A model family: its specs, the texts around a study, its names on disk, its place on a mesh.

Data alone: `models/` turns it into modules, `data/tokens.py` into prompts, `weights/` into keys.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

from chexjax.families.spec import (
    DecoderSpec,
    EncoderSpec,
    ImageSpec,
    MLPSpec,
    QFormerSpec,
    SpanSpec,
    VisionSpec,
)

Axes = tuple[str | None, ...]
"""Mesh axis of each dimension of a parameter, counted from the last one."""

BLOCK_SHARDING: tuple[tuple[str, Axes], ...] = (
    (r"(norm|bias)", ()),
    (r"(query|key|value|fc1|gate)/kernel", ("fsdp", "tensor")),
    (r"(out|fc2)/kernel", ("tensor", "fsdp")),
    (r"(lora/gain|/step)$", ()),
    (r"lora/a$", ("fsdp", None)),
    (r"lora/b$", (None, "fsdp")),
)
"""Rows of every family's sharding table: the layers, and what may be put on any linear one."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Template:
    """The text around a study. Fields of `question` are filled by name.

    The prompt is `opening`, then for every image `image` (with `{number}` from 1, where it is
    asked for, and the placeholders in place of `{pixels}`), then `question` with `{indication}`,
    then `closing`. Where all images become one run of visual tokens, `{pixels}` is in `opening`.
    A policy that sees no images has neither `image` nor `placeholder`.
    A report that is trained on stands between `answer` and, behind the end token, `after`.
    """

    opening: str
    image: str = ""
    question: str
    closing: str
    placeholder: str = ""
    end: str
    special: tuple[str, ...]
    answer: str = ""
    after: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chat:
    """The text around the turns of a conversation, without images.

    Attributes:
      start: What stands in front of all turns.
      turn: A turn, with `{role}` and `{text}`.
      answer: What the model continues.
    """

    start: str
    turn: str
    answer: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Names:
    """What a checkpoint calls the parameters; `*` stands for the number of a layer.

    Layers are numbered as in the checkpoint, however they are stacked here. The leaves of a
    module follow from what it is: a linear layer's `weight` is our `kernel` transposed, an
    embedding's our `embedding`, a norm's our `scale`.

    Attributes:
      modules: (our module, their module).
      tensors: (our parameter, their tensor), stored as it is here up to its shape.
      packed: (our attention module, their module, order) where query, key and value are one
        matrix: `parts` has all queries first, `heads` interleaves them head by head. Torch's own
        attention has no module for it: `in_proj_` stands for `in_proj_weight` and `in_proj_bias`.
      unused: (key, shape) of what is stored and read by nothing.
      buffers: Regexes over what some versions store and anybody can compute again.
    """

    modules: tuple[tuple[str, str], ...] = ()
    tensors: tuple[tuple[str, str], ...] = ()
    packed: tuple[tuple[str, str, Literal["parts", "heads"]], ...] = ()
    unused: tuple[tuple[str, tuple[int, ...]], ...] = ()
    buffers: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnyFamily:
    """One model: its names on disk, and where its parameters live.

    Attributes:
      name: Name of the preset, as written in configs.
      sharding: (regex over the parameter path, axes); the first match counts, and a
        parameter without a match is an error.
      names: What checkpoints of the family call the parameters.
      model_type: What transformers calls the architecture; empty where it has none.
    """

    name: str
    sharding: tuple[tuple[str, Axes], ...]
    names: Names = Names()
    model_type: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncoderFamily(AnyFamily):
    """One text encoder."""

    encoder: EncoderSpec


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpanFamily(AnyFamily):
    """One model of spans and their relations.

    Attributes:
      spans: Its shapes and labels.
    """

    spans: SpanSpec


@dataclasses.dataclass(frozen=True, kw_only=True)
class DualFamily(AnyFamily):
    """Two towers, one of images and one of texts, that meet in one space of vectors.

    Attributes:
      vision: The image encoder, pooled.
      text: The text encoder; its one head gives the vector.
      image: Pixel transform.
    """

    vision: VisionSpec
    text: EncoderSpec
    image: ImageSpec


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextFamily(AnyFamily):
    """One language model.

    Attributes:
      decoder: Its shapes.
      chat: How it is talked to; None for a model that only continues text.
    """

    decoder: DecoderSpec
    chat: Chat | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class PolicyFamily(TextFamily):
    """One language model that writes reports of studies; as it stands here, of text alone.

    Attributes:
      template: Prompt texts and special tokens, in training as when the model is asked.
      reference_template: Those of preference training in CheXalign's code, where they are known.
      max_images: Images of a study that are used, in their order.
      frozen: Regexes of what alignment leaves untouched by default.
    """

    template: Template
    reference_template: Template | None = None
    max_images: int = 0
    frozen: tuple[str, ...] = ()

    def visual_tokens(self, images: int) -> int:
        """Visual tokens of a study that shows `images` images."""
        return 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Family(PolicyFamily):
    """One vision-language model: a language model with an image tower in front.

    Attributes:
      vision: The image encoder.
      connector: What stands between encoder and decoder.
      image: Pixel transform.
    """

    vision: VisionSpec
    connector: MLPSpec | QFormerSpec
    image: ImageSpec

    def visual_tokens(self, images: int) -> int:
        """Visual tokens of a study that shows `images` images."""
        if isinstance(self.connector, QFormerSpec):
            return self.connector.queries if images else 0
        return images * self.vision.tokens
