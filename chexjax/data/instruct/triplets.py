"""What instruction tuning learns from: images, an instruction and its answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, overload

from chexjax.data.examples import Example, ask, check_context
from chexjax.data.tokens import Tokens


@dataclasses.dataclass(frozen=True, kw_only=True)
class Triplet:
    """One thing to be asked, with its answer.

    Attributes:
      id: Name of the triplet, unique in its mixture.
      split: As a study's; what is not `train` is never trained on.
      dataset: Data set that it belongs to: the run's source, or a table of the user's.
      task: What is asked.
      studies: Ids of the studies that it is about.
      pictures: (row, number) of images of the run's studies, which keep them.
      images: Encoded files of its own, where it is not about the run's studies.
      instruction: What is asked, in words; empty for the policy's own request for a report.
      indication: The clinical question, which stands in the policy's own request.
      answer: What is to be answered.
    """

    id: str
    split: str
    dataset: str
    task: str
    studies: tuple[str, ...] = ()
    pictures: tuple[tuple[int, int], ...] = ()
    images: tuple[bytes, ...] = ()
    instruction: str = ""
    indication: str = ""
    answer: str

    def to_row(self) -> dict[str, Any]:
        """The triplet as a row of the `mixture` artefact."""
        row = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        lists = {name: list(row[name]) for name in ("studies", "images")}
        return row | lists | {"pictures": [list(picture) for picture in self.pictures]}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Triplet:
        """Inverse of `to_row`."""
        tuples = {name: tuple(row[name]) for name in ("studies", "images")}
        pictures = tuple((int(place), int(number)) for place, number in row["pictures"])
        return cls(**{**row, **tuples, "pictures": pictures})


def triplet_example(triplet: Triplet, row: int, tokens: Tokens) -> Example:
    """Tokenises a triplet: of what the policy reads, the answer alone is a response.

    Raises:
      UnusableExample: it exceeds the policy's context.
    """
    asked = triplet_prompt(triplet, row, tokens)
    example = dataclasses.replace(asked, responses=[tokens.report(triplet.answer)])
    check_context(example, tokens)
    return example


def triplet_prompt(triplet: Triplet, row: int, tokens: Tokens) -> Example:
    """What a triplet asks, without a response; how long it may be is for the caller to check."""
    return ask(
        triplet.id,
        row,
        len(triplet.pictures) + len(triplet.images),
        tokens,
        question=triplet.instruction,
        indication=triplet.indication,
    )


class Shown(Sequence[Mapping[str, Any]]):
    """The images of triplets, row by row, wherever they are kept."""

    def __init__(
        self, triplets: Sequence[Mapping[str, Any]], studies: Sequence[Mapping[str, Any]]
    ) -> None:
        """Takes the rows of a mixture, and of the studies that it was made from."""
        self._triplets, self._studies = triplets, studies

    def __len__(self) -> int:
        return len(self._triplets)

    @overload
    def __getitem__(self, index: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Mapping[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> Mapping[str, Any] | Sequence[Mapping[str, Any]]:
        if isinstance(index, slice):
            return [self[k] for k in range(*index.indices(len(self)))]
        triplet = self._triplets[index]
        kept = [self._studies[row]["images"][number] for row, number in triplet["pictures"]]
        return {"images": [*kept, *triplet["images"]]}
