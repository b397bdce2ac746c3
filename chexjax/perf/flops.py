"""Floating-point operations of the policy, counted from its shapes.

A matmul of `[m, k]` by `[k, n]` is `2 m k n`. Norms, activations and rotations are left out, and
tokens are counted as executed, padding included: this is what a stage costs, not what is useful.
"""

from __future__ import annotations

import dataclasses

from chexjax.families import BlockSpec, Family, MLPSpec, TextFamily


@dataclasses.dataclass(frozen=True, kw_only=True)
class Work:
    """Tokens that one forward pass runs.

    Attributes:
      images: Images encoded; 0 where visual tokens are read from a cache.
      prefixes: Prompts of `prefix` tokens each.
      prefix: Tokens of a prompt.
      responses: Streams that each attend to one of the prompts.
      response: Tokens of a response.
      rows: Response tokens that linear layers see; all of them where it is None.
    """

    images: float
    prefixes: int
    prefix: float
    responses: int
    response: float
    rows: float | None = None

    @property
    def answered(self) -> float:
        """Response tokens that linear layers see."""
        return self.responses * self.response if self.rows is None else self.rows


def forward(family: TextFamily, work: Work) -> float:
    """One forward pass: tower, connector, decoder over prompts and responses, head."""
    return images(family, work) + text(family, work)


def images(family: TextFamily, work: Work) -> float:
    """Tower and connector; neither runs without images."""
    if not work.images or not isinstance(family, Family):
        return 0.0
    vision = family.vision
    layers = vision.layers * (_linear(vision.block) + _attention(vision.block, vision.tokens))
    tower = work.images * vision.tokens * layers + _patches(family, work.images)
    return float(tower + _bridge(family, work))


def _bridge(family: Family, work: Work) -> float:
    """The connector: over every feature, or over the queries of every prompt."""
    spec, inputs, width = family.connector, family.vision.block.width, family.decoder.block.width
    features = work.images * family.vision.tokens
    if isinstance(spec, MLPSpec):
        projection = 0 if spec.bare else 2 * width**2
        return features * (2 * (inputs + width) * spec.hidden + projection)
    block, queries = spec.block, spec.queries
    each = spec.layers * (_linear(block) + _attention(block, queries))
    each += spec.layers // 2 * 2 * 2 * block.width**2 + 2 * block.width * width
    keys = spec.layers // 2 * (2 * 2 * inputs * block.width + queries * _attention(block, 1))
    return work.prefixes * queries * each + features * keys


def text(family: TextFamily, work: Work) -> float:
    """Decoder and head; the prompt's last layer needs keys and values only."""
    decoder = family.decoder
    block, layers = decoder.block, decoder.layers
    prompt = work.prefixes * work.prefix
    in_prompt = (layers - 1) * (_linear(block) + _attention(block, work.prefix))
    last = 2 * 2 * block.width * block.kv
    in_answer = work.answered * _linear(block)
    in_answer += work.responses * work.response * _attention(block, work.prefix + work.response)
    return float(prompt * (in_prompt + last) + layers * in_answer) + head(family, work)


def train_step(
    family: TextFamily, work: Work, *, frozen_vision: bool, adapters: bool = False
) -> float:
    """Forward and backward, layers not rematerialised.

    The backward pass costs twice the forward of what is trained, and one more head, whose logits
    are computed again. Pixels have no gradient. Where adapters alone are trained, kernels have no
    gradient either; the few operations of adapters themselves are left out.

    Args:
      family: Shapes.
      work: Tokens.
      frozen_vision: Nothing is trained in tower and connector.
      adapters: Nothing but adapters is trained; a tower that has some counts as trained whole.
    """
    seen = images(family, work)
    if isinstance(family, Family) and not frozen_vision:
        seen = 3 * seen - _patches(family, work.images)
    return seen + text_step(family, work, adapters=adapters)


def text_step(family: TextFamily, work: Work, *, adapters: bool = False) -> float:
    """The decoder's share of `train_step`."""
    spared = text(family, work) - _text_attention(family, work) if adapters else 0.0
    return 3 * text(family, work) - spared + head(family, work)


def _text_attention(family: TextFamily, work: Work) -> float:
    """Scores and mixing in the decoder."""
    decoder = family.decoder
    prompt = (decoder.layers - 1) * _attention(decoder.block, work.prefix)
    answer = decoder.layers * _attention(decoder.block, work.prefix + work.response)
    return float(work.prefixes * work.prefix * prompt + work.responses * work.response * answer)


def _patches(family: Family, count: float) -> float:
    """Projection of the patches of `count` images."""
    vision = family.vision
    pixels = vision.patch**2 * vision.channels
    return 2.0 * count * vision.patches * pixels * vision.block.width


def head(family: TextFamily, work: Work) -> float:
    """Vocabulary projection of all response tokens."""
    decoder = family.decoder
    return 2.0 * work.answered * decoder.block.width * decoder.vocabulary


def reading(family: TextFamily, start: int, tokens: int) -> float:
    """Keys and values of one prompt's tokens behind `start` others, by a causal decoder.

    Each token is counted with the keys that it sees; the last layer needs no more than its own.
    """
    block, layers = family.decoder.block, family.decoder.layers
    passes = (layers - 1) * _causal(block, start, tokens)
    return float(passes + tokens * 2 * 2 * block.width * block.kv)


def writing(family: TextFamily, start: int, tokens: int) -> float:
    """Tokens written one by one, the first of them from the token behind `start` others."""
    decoder = family.decoder
    passes = decoder.layers * _causal(decoder.block, start, tokens)
    return float(passes + tokens * 2 * decoder.block.width * decoder.vocabulary)


def matmul_parameters(family: TextFamily) -> int:
    """Numbers in the decoder's matrices and in its head."""
    decoder = family.decoder
    return decoder.layers * _linear(decoder.block) // 2 + decoder.block.width * decoder.vocabulary


def _causal(block: BlockSpec, start: int, tokens: int) -> float:
    """One layer over tokens behind `start` others, each against those up to itself."""
    keys = tokens * start + tokens * (tokens + 1) // 2
    return tokens * _linear(block) + _attention(block, keys)


def _linear(block: BlockSpec) -> int:
    """Projections and MLP of one token in one layer."""
    projections = 2 * block.width**2 + 2 * block.width * block.kv
    return 2 * (projections + (3 if block.gated else 2) * block.width * block.mlp)


def _attention(block: BlockSpec, keys: float) -> float:
    """Scores and mixing of one token against `keys` tokens, masked ones included."""
    return 2 * 2 * block.width * keys
