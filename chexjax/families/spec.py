"""The numbers of a model: every value can be read off a published config."""

from __future__ import annotations

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True, kw_only=True)
class BlockSpec:
    """One transformer layer.

    Attributes:
      width: Model width D.
      heads: Attention heads H; D / H is the head size.
      mlp: Hidden width of the MLP.
      epsilon: Added to the variance in norms.
      causal: A token sees itself and what stands before it.
      layout: Where the norms stand. `pre`: one before attention, one before the MLP (ViT, LLaMA);
        `post`: one behind each sum (BERT); `parallel`: attention and MLP read the same norm and
        are added together (Phi); `parallel_two`: the same with a norm each (GPT-NeoX).
      kv_heads: Heads of keys and values K, each shared by H / K query heads; None for H.
      norm: `layer` has scale and bias, `rms` a scale.
      activation: Of the MLP; `gelu` is exact, `gelu_tanh` its approximation.
      gated: The MLP multiplies by an activated gate (SwiGLU).
      biases: Which linear layers have one.
      rotary: Leading dimensions of a head that are rotated, half-split; 0 for none.
      theta: Base of the rotary frequencies.
      rotary_rebuilt_at: Only to reproduce official results; see `ops.rotary.rotate`.
      window: Positions that a causal query looks back, its own included; None for all.
    """

    width: int
    heads: int
    mlp: int
    epsilon: float
    causal: bool
    layout: Literal["pre", "post", "parallel", "parallel_two"] = "pre"
    kv_heads: int | None = None
    norm: Literal["layer", "rms"] = "layer"
    activation: Literal["gelu_tanh", "gelu", "silu"] = "gelu_tanh"
    gated: bool = False
    biases: tuple[Literal["qkv", "out", "mlp"], ...] = ("qkv", "out", "mlp")
    rotary: int = 0
    theta: float = 10_000.0
    rotary_rebuilt_at: int | None = None
    window: int | None = None

    @property
    def head(self) -> int:
        """Size of one attention head."""
        return self.width // self.heads

    @property
    def kv(self) -> int:
        """Width of keys and of values."""
        return (self.kv_heads or self.heads) * self.head


@dataclasses.dataclass(frozen=True, kw_only=True)
class VisionSpec:
    """A ViT with learned positions.

    Attributes:
      block: Its layers.
      layers: How many.
      patch: Side of a patch, pixels.
      size: Side of an image, pixels.
      channels: Of an image.
      class_token: Whether a learned token stands in front of the patches.
      final_norm: Whether the last hidden state is normed; CheXagent-2 reads SigLIP's before.
      pooled: Whether a learned query behind it sums an image up in one vector.
    """

    block: BlockSpec
    layers: int
    patch: int
    size: int
    channels: int = 3
    class_token: bool = False
    final_norm: bool = False
    pooled: bool = False

    @property
    def patches(self) -> int:
        """Patches of one image."""
        return (self.size // self.patch) ** 2

    @property
    def tokens(self) -> int:
        """Features of one image."""
        return self.patches + self.class_token


@dataclasses.dataclass(frozen=True, kw_only=True)
class MLPSpec:
    """A connector that maps every feature on its own.

    Attributes:
      hidden: Its inner width.
      bare: Two linear layers with a GELU between them and nothing else, as in LLaVA-1.5.
    """

    hidden: int
    bare: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class QFormerSpec:
    """A connector of learned queries that read the features of all images of a study together.

    Attributes:
      block: Its layers, norms behind each sum; every even one reads the images too.
      layers: How many; an even number.
      queries: Learned queries, and so visual tokens of a study.
    """

    block: BlockSpec
    layers: int
    queries: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecoderSpec:
    """A decoder-only language model.

    Attributes:
      block: Its layers.
      layers: How many.
      vocabulary: Embedding rows.
      context: Positions it is used for.
      head: The vocabulary projection: a linear layer with or without bias, or `tied` to the
        embedding.
    """

    block: BlockSpec
    layers: int
    vocabulary: int
    context: int
    head: Literal["bias", "plain", "tied"] = "bias"


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncoderSpec:
    """A text encoder that sees the whole text at once.

    Attributes:
      block: Its layers.
      layers: How many.
      vocabulary: Embedding rows.
      positions: Rows of the table of learned positions.
      offset: Row of the first token's position (RoBERTa: 2).
      types: Rows of the table of segments, of which the first is used; 0 for no such table.
      heads: Outputs of each linear head over one token.
      reads: Which token that is; `last` is the last one of the array, padding or not (SigLIP).
    """

    block: BlockSpec
    layers: int
    vocabulary: int
    positions: int
    offset: int = 0
    types: int = 0
    heads: tuple[int, ...] = ()
    reads: Literal["first", "last"] = "first"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpanSpec:
    """What finds spans of words, and relations between them, in the words of an encoder (DyGIE++).

    Attributes:
      encoder: The encoder.
      longest: Words of the longest span.
      feature: Width of the embedding of a span's length.
      hidden: Widths of the layers in front of each scorer.
      entities: Kinds of spans; that a span is none of them always scores 0.
      relations: Kinds of relations; that there is none always scores 0.
      kept: Spans between which relations are looked for, per word of the text.
    """

    encoder: EncoderSpec
    longest: int
    feature: int
    hidden: tuple[int, ...]
    entities: tuple[str, ...]
    relations: tuple[str, ...]
    kept: float

    @property
    def width(self) -> int:
        """Width of a span: its first word, its last word, its length."""
        return 2 * self.encoder.block.width + self.feature


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageSpec:
    """How pixels reach the model: resized to a square, scaled to 0..1, then normalised."""

    mean: float | tuple[float, float, float]
    std: float | tuple[float, float, float]
    resample: Literal["bicubic", "bilinear"] = "bicubic"
