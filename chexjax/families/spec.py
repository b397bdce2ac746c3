"""What a model family is made of: numbers and texts, no code.

Every value here can be read off a published config; `models/` turns it into modules and
`data/tokens.py` into prompts.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

Axes = tuple[str | None, ...]
"""Mesh axis of each dimension of a parameter, counted from the last one."""


ON_LINEAR: tuple[tuple[str, Axes], ...] = (
    (r"(lora/gain|/step)$", ()),
    (r"lora/a$", ("fsdp", None)),
    (r"lora/b$", (None, "fsdp")),
)
"""Rows of every family's sharding table: what may be put on any linear layer."""


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
    """A connector that maps every feature on its own; `hidden` is its inner width."""

    hidden: int


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
class ImageSpec:
    """How pixels reach the model: resized to a square, scaled to 0..1, then normalised."""

    mean: float | tuple[float, float, float]
    std: float | tuple[float, float, float]
    resample: Literal["bicubic", "bilinear"] = "bicubic"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Template:
    """The text around a study. Fields of `question` are filled by name.

    The prompt is `opening`, then for every image `image` (with `{number}` from 1, where it is
    asked for, and the placeholders in place of `{pixels}`), then `question` with `{indication}`,
    then `closing`. Where all images become one run of visual tokens, `{pixels}` is in `opening`.
    A report that is trained on stands between `answer` and, behind the end token, `after`.
    """

    opening: str
    image: str
    question: str
    closing: str
    placeholder: str
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
class Family(TextFamily):
    """One vision-language model: a language model with an image tower in front.

    Attributes:
      vision: The image encoder.
      connector: What stands between encoder and decoder.
      image: Pixel transform.
      template: Prompt texts and special tokens, in training as when the model is asked.
      reference_template: Those of preference training in CheXalign's code, where they are known.
      max_images: Images of a study that are used, in their order.
      frozen: Regexes of what alignment leaves untouched by default.
    """

    vision: VisionSpec
    connector: MLPSpec | QFormerSpec
    image: ImageSpec
    template: Template
    max_images: int
    frozen: tuple[str, ...]
    reference_template: Template | None = None

    def visual_tokens(self, images: int) -> int:
        """Visual tokens of a study that shows `images` images."""
        if isinstance(self.connector, QFormerSpec):
            return self.connector.queries if images else 0
        return images * self.vision.tokens
