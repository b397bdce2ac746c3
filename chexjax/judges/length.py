"""Length control: a score that excess length divides (CheXalign's LC-GREEN, for any judge)."""

from __future__ import annotations

from collections.abc import Sequence

from chexjax.judges.base import Judge, Judgement

PREFIX = "lc_"
"""What stands before a judge's name in configs, to control it for length."""


def length_controlled(score: float, candidate: str, reference: str) -> float:
    """`score` divided by how many times longer than the reference the candidate is, if longer.

    Length is in words between white space. An empty reference counts as one word. The score is one
    of those that are never negative.
    """
    ratio = len(candidate.split()) / max(len(reference.split()), 1)
    return score / max(ratio, 1.0)


class LengthControlled:
    """A judge whose scores excess length divides; pairs by it prefer the shorter of equals."""

    def __init__(self, judge: Judge) -> None:
        """Controls `judge`."""
        self._judge = judge
        self.name = f"{judge.name}, length-controlled"

    def judge(self, references: Sequence[str], candidates: Sequence[str]) -> list[Judgement]:
        """The judge's own verdicts, the score before its division under `uncontrolled`."""
        verdicts = self._judge.judge(references, candidates)
        return [
            Judgement(
                length_controlled(verdict.score, candidate, reference),
                {**verdict.details, "uncontrolled": verdict.score},
            )
            for verdict, candidate, reference in zip(verdicts, candidates, references, strict=True)
        ]
