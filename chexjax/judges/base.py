"""What a judge is: references and candidates in, one judgement per candidate out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable


@dataclasses.dataclass(frozen=True)
class Judgement:
    """A judge's verdict on one candidate report.

    Attributes:
      score: The higher the better; its range is the judge's own.
      details: What led to the score; JSON values only.
    """

    score: float
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)


class Judge(Protocol):
    """Scores candidate reports against reference reports."""

    @property
    def name(self) -> str:
        """How reports and tables call it."""
        ...

    def judge(self, references: Sequence[str], candidates: Sequence[str]) -> list[Judgement]:
        """One judgement per pair, in order.

        Any candidate gets a judgement, an empty or senseless one too.

        Raises:
          ValueError: the two differ in length, or a reference is empty.
        """
        ...


@runtime_checkable
class CorpusMetric(Judge, Protocol):
    """A judge that has a value of all reports together, which is not the mean of theirs."""

    @property
    def corpus_name(self) -> str:
        """The metric that `corpus` gives, and its variant."""
        ...

    def corpus(self, references: Sequence[str], candidates: Sequence[str]) -> float:
        """Of all candidates together."""
        ...


def check_pairs(references: Sequence[str], candidates: Sequence[str]) -> None:
    """Refuses what no judge can score.

    Raises:
      ValueError: the two differ in length, or a reference is empty; names the row.
    """
    if len(references) != len(candidates):
        raise ValueError(
            f"{len(references)} references but {len(candidates)} candidates; "
            "repeat a reference for each of its candidates"
        )
    for row, reference in enumerate(references):
        if not reference.strip():
            raise ValueError(
                f"reference {row} is empty, so nothing can be judged against it; "
                "leave such studies out before judging (Study.check refuses them)"
            )
