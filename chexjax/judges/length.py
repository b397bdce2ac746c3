"""Length control: a score that excess length divides (CheXalign's LC-GREEN, for any judge)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from chexjax.data.text import plain_findings
from chexjax.judges.base import Judge, Judgement

_PREFIX = "lc_"
_SENTENCE = re.compile(r"[^.!?\s][^.!?]*")  # "3.5 cm" counts as two, on both sides

LENGTHS: Mapping[str, Callable[[str], int]] = {
    "words": lambda text: len(plain_findings(text).split()),
    "characters": lambda text: len("".join(plain_findings(text).split())),
    "sentences": lambda text: len(_SENTENCE.findall(plain_findings(text))),
}
"""What a text's length can be: words between white space, its other characters, or sentences.

Tags and marks, which no judge is shown, are of no length.
"""


def parse(name: str) -> tuple[str, str]:
    """The judge that a config names, and by which of `LENGTHS` it is controlled; "" for by none.

    `lc_green` and `lc_words_green` are the same, `lc_characters_green` is another.
    """
    if not name.startswith(_PREFIX):
        return name, ""
    judge = name.removeprefix(_PREFIX)
    for length in LENGTHS:
        if judge.startswith(f"{length}_"):
            return judge.removeprefix(f"{length}_"), length
    return judge, "words"


def uncontrolled(name: str) -> str:
    """The name of the judge without what controls it for length."""
    return parse(name)[0]


def length_controlled(
    score: float, candidate: str, reference: str, *, length: str = "words"
) -> float:
    """`score` divided by how many times longer than its reference the candidate is, if longer.

    A score below 0 is multiplied instead, so that excess length never pays. A reference without
    length counts as 1.

    Args:
      score: The higher the better.
      candidate: What the score is of.
      reference: What it was held against.
      length: One of `LENGTHS`.
    """
    measure = LENGTHS[length]
    excess = max(measure(candidate) / max(measure(reference), 1), 1.0)
    return score * excess if score < 0 else score / excess


class LengthControlled:
    """A judge whose scores excess length divides; pairs by it prefer the shorter of equals."""

    def __init__(self, judge: Judge, length: str = "words") -> None:
        """Controls `judge` by one of `LENGTHS`."""
        self._judge, self._length = judge, length
        by = "" if length == "words" else f" by {length}"
        self.name = f"{judge.name}, length-controlled{by}"

    def judge(self, references: Sequence[str], candidates: Sequence[str]) -> list[Judgement]:
        """The judge's own verdicts, the score before its division under `uncontrolled`."""
        verdicts = self._judge.judge(references, candidates)
        return [
            Judgement(
                length_controlled(verdict.score, candidate, reference, length=self._length),
                {**verdict.details, "uncontrolled": verdict.score},
            )
            for verdict, candidate, reference in zip(verdicts, candidates, references, strict=True)
        ]
