"""Questions about images: those with answers to choose from, and those that ask for a text.

CheXbench (Chen et al., "CheXagent", arXiv 2401.12208) is made of them. A question is asked in two
ways: as it is, so that each answer can be scored, or with lettered answers, one of which is named.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from chexjax.data.examples import Example, ask, check_context
from chexjax.data.text import plain_findings
from chexjax.data.tokens import Tokens

VIEW = "View Classification"
BINARY = "Binary Disease Classification"
SINGLE = "Single Disease Identification"
MULTIPLE = "Multiple Disease Identification"
VQA = "Visual Question Answering"
REASONING = "Image-Text Reasoning"

PERCEPTION = (VIEW, BINARY, SINGLE, MULTIPLE, VQA, REASONING)
"""The six perception tasks of CheXbench's first version, in its order."""

FINDINGS = "Findings Generation"
SUMMARY = "Findings Summarization"
TEXT = (FINDINGS, SUMMARY)
"""The tasks that ask for a text."""

MOST_OPTIONS = 4


class UnusableQuestion(ValueError):
    """A question that cannot be asked; its message is the reason kept in `rejects.jsonl`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Question:
    """One question.

    Attributes:
      id: Its name, unique in the benchmark.
      task: Name of its task.
      source: Data set that it was made from.
      slice: What of that data set; accuracy is told apart by it too.
      images: Encoded files, in the order in which they are shown; none for a question on text.
      text: What is asked; of `FINDINGS`, the indication, which the family's own prompt asks about.
      options: The answers to choose from, 2 to `MOST_OPTIONS`; none where a text is asked for.
      answer: Index of the right one.
      reference: The text that is expected.
    """

    id: str
    task: str
    source: str
    slice: str = ""
    images: tuple[bytes, ...] = ()
    text: str
    options: tuple[str, ...] = ()
    answer: int = 0
    reference: str = ""

    def __post_init__(self) -> None:
        if self.task in TEXT:
            if not plain_findings(self.reference):
                raise UnusableQuestion("the text that it expects is empty")
            return
        if not self.text.strip():
            raise UnusableQuestion("it asks nothing: its text is empty")
        if not 2 <= len(self.options) <= MOST_OPTIONS:
            raise UnusableQuestion(
                f"answers to choose from are not 2 to {MOST_OPTIONS}: {len(self.options)}"
            )
        if not all(option.strip() for option in self.options):
            raise UnusableQuestion("one of its answers is empty")
        if not 0 <= self.answer < len(self.options):
            raise UnusableQuestion(
                f"the right answer is none of its {len(self.options)} options: number {self.answer}"
            )

    @property
    def chance(self) -> float:
        """Probability that a blind guess is right."""
        return 1 / len(self.options)

    def to_row(self) -> dict[str, Any]:
        """The question as a row of the `questions` artefact."""
        row = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return row | {"images": list(self.images), "options": list(self.options)}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Question:
        """Inverse of `to_row`."""
        return cls(**{**row, "images": tuple(row["images"]), "options": tuple(row["options"])})


def scored_example(question: Question, row: int, tokens: Tokens) -> Example:
    """The question with each of its options as a response, missing ones empty.

    Args:
      question: One with options.
      row: Its row, where its images are read when needed.
      tokens: The policy's tokenizer.

    Raises:
      UnusableExample: it exceeds the policy's context.
    """
    responses = [tokens.answer(option) for option in question.options]
    responses += [[]] * (MOST_OPTIONS - len(responses))
    return _example(question, row, question.text, responses, tokens, room=0)


def asked_example(question: Question, row: int, tokens: Tokens, room: int) -> Example:
    """The question, its options lettered where it has any, for an answer of up to `room` tokens.

    Raises:
      UnusableExample: it exceeds the policy's context.
    """
    text = lettered(question.text, question.options) if question.options else question.text
    return _example(question, row, text, [], tokens, room=room)


def _example(
    question: Question, row: int, text: str, responses: list[list[int]], tokens: Tokens, room: int
) -> Example:
    said = {"indication" if question.task == FINDINGS else "question": text}
    asked = ask(question.id, row, len(question.images), tokens, **said)
    example = dataclasses.replace(asked, responses=responses)
    check_context(example, tokens, room)
    return example


def lettered(text: str, options: tuple[str, ...]) -> str:
    """The prompt that CheXagent-2 was trained to choose by."""
    marks = [f"({letter})" for letter in _LETTERS[: len(options)]]
    choices = ", ".join(f"{mark} {option}" for mark, option in zip(marks, options, strict=True))
    return (
        f"{text}\nOptions: {choices}\n"
        f"Directly answer the question by choosing one option: {', '.join(marks)}."
    )


_LETTERS = "ABCD"


def chosen(answer: str, options: int) -> int | None:
    """Index of the option that a written answer names: its first capital letter in brackets.

    None where there is no such letter, or none of an option: an answer that cannot be read is
    wrong. The official script draws a random option instead.
    """
    found = re.search(r"\(([A-Z])\)", answer)
    index = ord(found[1]) - ord("A") if found else options
    return index if index < options else None
