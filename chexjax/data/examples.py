"""What the policy reads and writes about one study, and how a batch of it becomes arrays.

Everything that trains or scores the policy (SFT, reference, alignment, sampling) makes
`Example`s and collates them here, with N responses side by side on their own axis.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from chexjax.data.batches import PADDING, Bucket, PlannedBatch, pad_rows, valid_rows
from chexjax.data.images import pixel_stacks
from chexjax.data.packing import Packer
from chexjax.data.study import Study
from chexjax.data.tokens import Tokens
from chexjax.data.visual import VisualTokens
from chexjax.families import Family

Batch = dict[str, Any]


class UnusableExample(ValueError):
    """A row that does not fit the policy; its message is the reason kept in `rejects.jsonl`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Example:
    """One row of policy input, without its pixels.

    Attributes:
      id: Study id.
      row: Index of the study in its artefact, where the images are read when needed.
      images: Images that the prompt shows.
      prompt: Prompt ids.
      responses: N reports as ids, each with its end token.
      columns: Further numbers of the N responses, ragged in tokens or one each.
    """

    id: str
    row: int
    images: int
    prompt: Sequence[int]
    responses: Sequence[Sequence[int]]
    columns: Mapping[str, Sequence[Any]] = dataclasses.field(default_factory=dict)

    @property
    def lengths(self) -> tuple[int, int]:
        """Prefix tokens before the last one, and tokens of the longest response."""
        return len(self.prompt) - 1, max((len(r) for r in self.responses), default=0)


def make_example(
    study: Study, row: int, reports: Sequence[str], tokens: Tokens, **columns: Sequence[Any]
) -> Example:
    """Tokenises a study and reports about it.

    Raises:
      UnusableExample: prompt and longest report exceed the policy's context.
    """
    asked = ask(study.id, row, len(study.images), tokens, indication=study.indication)
    responses = [tokens.report(report) for report in reports]
    example = dataclasses.replace(asked, responses=responses, columns=columns)
    check_context(example, tokens)
    return example


def ask(
    name: str, row: int, images: int, tokens: Tokens, *, question: str = "", indication: str = ""
) -> Example:
    """A prompt without a response; how long that may be is for the caller to check.

    Args:
      name: Of the example.
      row: Where its images are found.
      images: How many there are; no more are shown than the policy takes.
      tokens: The policy's tokenizer.
      question: What is asked; empty for the policy's own request for a report.
      indication: The clinical question, which stands in that request.
    """
    shown = min(images, tokens.family.max_images)
    prompt = tokens.question(shown, question) if question else tokens.prompt(shown, indication)
    return Example(id=name, row=row, images=shown, prompt=prompt, responses=[])


def check_context(example: Example, tokens: Tokens, room: int = 0) -> None:
    """Raises UnusableExample where prompt, responses and `room` exceed the context."""
    prefix, response = example.lengths
    context = tokens.family.decoder.context
    response = max(response, room)
    if prefix + 1 + response > context:
        raise UnusableExample(
            f"a prompt of {prefix + 1} tokens and a report of {response} exceed the "
            f"context of {context} positions of {tokens.family.name}"
        )


def response_lengths(examples: Sequence[Example]) -> np.ndarray:
    """Tokens of each response, `i32[M, N]`."""
    return np.asarray([[len(r) for r in e.responses] for e in examples], np.int32)


def lengths_of(examples: Sequence[Example]) -> np.ndarray:
    """Lengths of all examples for the batch plan, `i32[M, 2]`."""
    return np.asarray([example.lengths for example in examples], np.int32).reshape(-1, 2)


@dataclasses.dataclass(frozen=True)
class Pictures:
    """What a policy that sees is shown of examples.

    Attributes:
      studies: Rows with the images, found by `Example.row`.
      tokens: The policy's tokenizer.
      family: Its shapes.
      slots: Image slots of each example.
      visual: What a cache has of the images, in their place.
    """

    studies: Sequence[Mapping[str, Any]]
    tokens: Tokens
    family: Family
    slots: int
    visual: VisualTokens | None = None

    def __call__(self, examples: Sequence[Example], ids: np.ndarray) -> Batch:
        """Images `u8[B, I, S, S, C]` or visual tokens `[B, K, D]`, and where in `ids` they go."""
        placed = {"placeholder": ids == self.tokens.placeholder}
        if self.visual is not None:
            return placed | {"visual": self.visual([example.id for example in examples])}
        files = [self.studies[example.row]["images"] for example in examples]
        stacks = pixel_stacks(files, self.slots, self.family.vision, self.family.image)
        return placed | {"images": stacks}


def pictures_of(
    examples: Sequence[Example],
    studies: Sequence[Mapping[str, Any]],
    tokens: Tokens,
    visual: VisualTokens | None = None,
) -> Pictures | None:
    """Pictures with slots that hold every example; None for a policy that sees nothing.

    There is one slot at least, so that shapes stay the same where no study has an image.
    """
    if not isinstance(tokens.family, Family):
        return None
    slots = max(1, max(example.images for example in examples))
    return Pictures(studies, tokens, tokens.family, slots, visual)


def image_slots(pictures: Pictures | None) -> int:
    """Image slots of each example."""
    return 0 if pictures is None else pictures.slots


@dataclasses.dataclass(frozen=True)
class Collator:
    """Makes the arrays of planned batches.

    The result holds `prefix` (tokens `i32[B, P]`, valid `bool[B, P]`, and what `pictures` add),
    `inputs` and `targets` `i32[B, N, R]`, `mask` `bool[B, N, R]`, `real` `bool[B]`, one array per
    column, `f32[B, N]` or `f32[B, N, R]`, and the packer's row indices.

    Attributes:
      examples: What batches are made of.
      pictures: What they show; None for text alone.
      packer: Packs the responses; without one there are no row indices.
    """

    examples: Sequence[Example]
    pictures: Pictures | None = None
    packer: Packer | None = None

    def __call__(self, planned: PlannedBatch) -> Batch:
        """Pads and stacks; a padding row repeats row 0 with nothing to learn."""
        real = planned.rows != PADDING
        examples = [self.examples[k] for k in np.where(real, planned.rows, 0)]
        prompts, length = [example.prompt[:-1] for example in examples], planned.bucket.prefix
        ids = pad_rows(prompts, length, np.int32)
        prefix = {"tokens": ids, "valid": valid_rows(prompts, length)}
        if self.pictures is not None:
            prefix |= self.pictures(examples, ids)
        batch: Batch = {"prefix": prefix, "real": real}
        if examples[0].responses:
            batch |= _response_arrays(examples, planned.bucket)
            batch["mask"] &= real[:, None, None]
            if self.packer is not None:
                batch |= self.packer(batch["mask"], planned.bucket)
        return batch


def _response_arrays(examples: Sequence[Example], bucket: Bucket) -> Batch:
    """Response tokens shifted by one: a response starts from the last prompt token."""
    count, length = len(examples[0].responses), bucket.response
    shape = (len(examples), count, length)

    def stacked(rows: list[Sequence[Any]], dtype: Any) -> np.ndarray:
        return pad_rows(rows, length, dtype).reshape(shape)

    pairs = [(e.prompt[-1], r) for e in examples for r in e.responses]
    arrays = {
        "inputs": stacked([[last, *r[:-1]] for last, r in pairs], np.int32),
        "targets": stacked([r for _, r in pairs], np.int32),
        "mask": valid_rows([r for _, r in pairs], length).reshape(shape),
    }
    for name, column in examples[0].columns.items():
        if np.ndim(column[0]) == 0:
            arrays[name] = np.asarray([e.columns[name] for e in examples], np.float32)
        else:
            arrays[name] = stacked([row for e in examples for row in e.columns[name]], np.float32)
    return arrays
