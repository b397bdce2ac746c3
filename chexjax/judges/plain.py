"""Reports as judges and labelers are shown them: without marks and case, as in CheXalign's code."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from chexjax.data.text import plain_findings, plain_places
from chexjax.judges.base import CorpusMetric, Judge, Judgement
from chexjax.judges.label_judge import Labeling


class PlainJudge:
    """A judge that is shown both sides as `plain_findings`, so that tags earn and cost nothing."""

    def __init__(self, judge: Judge) -> None:
        """Shows them to `judge`."""
        self._judge = judge
        self.name = judge.name

    def judge(self, references: Sequence[str], candidates: Sequence[str]) -> list[Judgement]:
        """The judge's own verdicts; spans of their `items` are of the candidates as given.

        Raises:
          ValueError: the two differ in length, or of a reference nothing is left.
        """
        verdicts = self._judge.judge(_plain(references), _plain(candidates))
        return [_placed(*pair) for pair in zip(verdicts, candidates, strict=True)]


class PlainMetric(PlainJudge):
    """The same of a judge that has a value of all reports together."""

    def __init__(self, judge: CorpusMetric) -> None:
        """Shows plain texts to `judge`."""
        super().__init__(judge)
        self._metric = judge
        self.corpus_name = judge.corpus_name

    def corpus(self, references: Sequence[str], candidates: Sequence[str]) -> float:
        """Of all candidates together."""
        return self._metric.corpus(_plain(references), _plain(candidates))


def plain_judge(judge: Judge) -> Judge:
    """`judge`, shown plain texts."""
    return PlainMetric(judge) if isinstance(judge, CorpusMetric) else PlainJudge(judge)


def plain_labeling(labeling: Labeling) -> Labeling:
    """`labeling`, whose labeler is shown plain texts."""
    return dataclasses.replace(labeling, labeler=lambda texts: labeling.labeler(_plain(texts)))


def _plain(texts: Sequence[str]) -> list[str]:
    return [plain_findings(text) for text in texts]


def _placed(verdict: Judgement, candidate: str) -> Judgement:
    """The verdict on a plain candidate as one on the candidate."""
    items: Sequence[dict[str, Any]] = verdict.details.get("items", ())
    if not any(one["span"] for one in items):
        return verdict
    places = plain_places(candidate)

    def span(start: int, end: int) -> list[int]:
        return [places[start], places[end - 1] + 1]

    moved = [{**one, "span": one["span"] and span(*one["span"])} for one in items]
    return dataclasses.replace(verdict, details={**verdict.details, "items": moved})
