"""What a judge learns from: a reference, and candidates whose errors are known."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence

import numpy as np

from chexjax.data.phantom import grammar
from chexjax.data.phantom.errors import inject
from chexjax.data.phantom.findings import KINDS
from chexjax.data.phantom.grammar import Content
from chexjax.data.phantom.paraphrases import PARAPHRASES
from chexjax.data.phantom.phrases import PHANTOM
from chexjax.data.phantom.scene import sample_scene
from chexjax.judges import injection
from chexjax.judges.answer import CATEGORIES, MATCHED, write_judgement
from chexjax.judges.base import Judgement
from chexjax.judges.edits import edit
from chexjax.judges.explanation import explain
from chexjax.judges.oracle import Point, compare, count

LEARNT, EXAMINED = PHANTOM.split()
"""The phantom's sentences that a judge may learn from, and those that it is examined with."""

_ODDS = (0.2, 0.15, 0.2, 0.25, 0.1, 0.1)  # of errors; few findings have a grade to get wrong
_FEW = ("cardiomegaly", "effusion", "pneumothorax", "consolidation", "pacemaker")


@dataclasses.dataclass(frozen=True)
class Lesson:
    """A reference report, N candidates, and how each of them compares."""

    reference: str
    candidates: Sequence[str]
    points: Sequence[Sequence[Point]]

    @property
    def verdicts(self) -> list[Judgement]:
        """What is right."""
        return [count(points) for points in self.points]

    @property
    def answers(self) -> list[str]:
        """What is to be learnt."""
        return [answer(points) for points in self.points]


def answer(points: Sequence[Point]) -> str:
    """The answer about a comparison, short enough for a small model.

    Of what is matched the number is told alone: the explanation has named it.
    """
    verdict = count(points)
    items = [item for item in verdict.details["items"] if item["category"] != MATCHED]
    told = dataclasses.replace(verdict, details={**verdict.details, "items": items})
    return write_judgement(told, explain(points))


class PhantomLessons:
    """Lessons out of phantom reports; each follows from the seed and its index alone."""

    def __init__(self, seed: int, *, count: int = 4, examined: bool = False) -> None:
        """Sets what the reports are made of.

        Args:
          seed: Another seed, other studies.
          count: Candidates of a reference.
          examined: Write in the sentences that no other lesson has, and in these alone.
        """
        self._seed, self._count = seed, count
        self._book = EXAMINED if examined else LEARNT.joined(PARAPHRASES)
        self._kept = None if examined else _pattern(EXAMINED.templates() - LEARNT.templates())

    def __getitem__(self, index: int) -> Lesson:
        """The lesson at an index, 0 or more."""
        rng = np.random.default_rng((self._seed, index))
        kinds = _FEW if rng.random() < 0.5 else tuple(KINDS)
        own, other = (self._study(2 * index + k, kinds, rng) for k in range(2))
        reference = self._report(own, other, rng, slips=0.1)
        candidates = [
            self._candidate(own, other, reference, kinds, rng) for _ in range(self._count)
        ]
        return Lesson(reference, candidates, [compare(reference, c) for c in candidates])

    def _study(self, index: int, kinds: Sequence[str], rng: np.random.Generator) -> Content:
        return grammar.plan(sample_scene(self._seed, index, kinds).findings, rng, prior=0.6)

    def _candidate(
        self,
        own: Content,
        other: Content,
        reference: str,
        kinds: Sequence[str],
        rng: np.random.Generator,
    ) -> str:
        """What somebody else, or a policy, could have written about the study, or about another."""
        way = rng.random()
        if way < 0.1:
            return self._report(other, own, rng, slips=0.2)
        if way < 0.2:
            return self._slipped(reference, self._write(other, rng), rng)
        wrong = own
        for _ in range(int(rng.choice([0, 1, 2, 3, 5], p=[0.2, 0.25, 0.25, 0.2, 0.1]))):
            wrong = inject(wrong, str(rng.choice(CATEGORIES, p=_ODDS)), kinds, rng)
        if rng.random() < 0.6:
            wrong = injection.replan(wrong, rng)
        return self._report(wrong, other, rng, slips=0.3)

    def _report(
        self, content: Content, other: Content, rng: np.random.Generator, slips: float
    ) -> str:
        written = self._write(content, rng)
        if rng.random() >= slips:
            return written
        return self._slipped(written, self._write(other, rng), rng)

    def _slipped(self, report: str, other: str, rng: np.random.Generator) -> str:
        slipped = injection.slip(report, other, rng)
        return report if self._gives_away(slipped) or not slipped else slipped

    def _write(self, content: Content, rng: np.random.Generator) -> str:
        report = grammar.write(content, rng, self._book) or "Two views of the chest."
        varied = injection.vary(report, rng) if self._kept and rng.random() < 0.3 else report
        return report if self._gives_away(varied) else varied

    def _gives_away(self, report: str) -> bool:
        """Whether a sentence is there that is kept for the examination, by chance."""
        return self._kept is not None and any(
            self._kept.fullmatch(sentence.strip(" .,")) for sentence in report.lower().split(".")
        )


class EditedLessons:
    """Lessons out of any reports, with errors put in by rule; see `edits`."""

    def __init__(self, reports: Sequence[str], seed: int, *, count: int = 4) -> None:
        """Takes reports, two or more, and `count` candidates of each."""
        self._reports, self._seed, self._count = reports, seed, count

    def __getitem__(self, index: int) -> Lesson:
        """The lesson at an index, 0 or more; each time round the reports their errors are new."""
        rng = np.random.default_rng((self._seed, index))
        size = len(self._reports)
        reference = self._reports[index % size]
        others = (self._reports[int(rng.integers(size))] for _ in range(self._count))
        made = [edit(reference, other, rng) for other in others]
        return Lesson(reference, [one.candidate for one in made], [one.points for one in made])


def _pattern(templates: Iterable[str]) -> re.Pattern[str]:
    """Matches any of some sentences, whatever is filled in."""
    return re.compile(
        "|".join(re.sub(r"\\\{\w+\\\}", r".+", re.escape(t)) for t in sorted(templates))
    )
