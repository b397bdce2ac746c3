"""What a model family is made of: numbers and texts, no code.

Every value here can be read off a published config; `models/` turns it into modules and
`data/tokens.py` into prompts.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

Axes = tuple[str | None, ...]
"""Mesh axis of each dimension of a parameter, counted from the last one."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class BlockSpec:
    """One transformer layer.

    Attributes:
      width: Model width D.
      heads: Attention heads H; D / H is the head size.
      mlp: Hidden width of the MLP.
      epsilon: Added to the variance in LayerNorm.
      parallel: Attention and MLP read the same LayerNorm and are added together (Phi);
        otherwise one after the other with a norm each (ViT).
      causal: A token sees itself and what stands before it.
      rotary: Leading dimensions of a head that are rotated, half-split; 0 for none.
      theta: Base of the rotary frequencies.
    """

    width: int
    heads: int
    mlp: int
    epsilon: float
    parallel: bool
    causal: bool
    rotary: int = 0
    theta: float = 10_000.0

    @property
    def head(self) -> int:
        """Size of one attention head."""
        return self.width // self.heads


@dataclasses.dataclass(frozen=True, kw_only=True)
class VisionSpec:
    """A ViT whose last hidden state, before any final norm, is the feature map (SigLIP)."""

    block: BlockSpec
    layers: int
    patch: int
    size: int
    channels: int = 3

    @property
    def tokens(self) -> int:
        """Visual tokens of one image."""
        return (self.size // self.patch) ** 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecoderSpec:
    """A decoder-only language model; `context` is the number of positions it is used for."""

    block: BlockSpec
    layers: int
    vocabulary: int
    context: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageSpec:
    """How pixels reach the model: resized to a square, scaled to 0..1, then normalised."""

    mean: float
    std: float
    resample: Literal["bicubic", "bilinear"] = "bicubic"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Template:
    """The text around a study. Fields of `question` are filled by name.

    The prompt is `opening`, then for every image `image` (with `{number}` from 1, where it is
    asked for, and the placeholders in place of `{pixels}`), then `question` with `{indication}`,
    then `closing`.
    """

    opening: str
    image: str
    question: str
    closing: str
    placeholder: str
    end: str
    special: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Family:
    """One vision-language model: its parts, its texts, and where its parameters live.

    Attributes:
      name: Name of the preset, as written in configs.
      vision: The image encoder.
      connector: Hidden width of the per-token MLP between encoder and decoder.
      decoder: The language model.
      image: Pixel transform.
      template: Prompt texts and special tokens.
      max_images: Images of a study that are used, in their order.
      sharding: (regex over the parameter path, axes); the first match counts, and a
        parameter without a match is an error.
      frozen: Regexes of what alignment leaves untouched by default.
    """

    name: str
    vision: VisionSpec
    connector: int
    decoder: DecoderSpec
    image: ImageSpec
    template: Template
    max_images: int
    sharding: tuple[tuple[str, Axes], ...]
    frozen: tuple[str, ...]
