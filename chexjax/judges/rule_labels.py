"""The 14 labels by rules: no weights, no network, and words that can be read and mended.

A stand-in for CheXbert where its weights are not at hand, in the manner of CheXpert's labeler:
find mentions, see whether the words about them deny them or leave them open, and put the mentions
of a label together. The words are in `label_lexicon`; this file knows how far they reach.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Iterator

from chexjax.data.chexpert_labels import ABSENT, CHEXPERT_14, PRESENT, UNCERTAIN
from chexjax.judges import label_lexicon as words
from chexjax.judges.label_lexicon import LEXICON, Terms

_STRONGEST = (PRESENT, UNCERTAIN, ABSENT)
"""Which of several mentions of a label counts."""


def _words(*patterns: str) -> re.Pattern[str]:
    """Any of the phrases, as whole words."""
    return re.compile(rf"(?<!\w)(?:{'|'.join(patterns)})(?!\w)")


_SENTENCE = re.compile(r"(?:(?<!\d)\.|\.(?!\d)|[?!;:\n])+")  # the point in 1.5 cm ends none
_ENDS = re.compile(rf"\b(?:{words.ENDS})\b|,(?: and)?(?= (?:{words.STARTS}) )")
_STILL = _words(words.STILL)
_DENIED = _words(words.DENIED_BEFORE), _words(words.DENIED_AFTER)
_UNSURE = _words(words.UNSURE_BEFORE), _words(words.UNSURE_AFTER)


@dataclasses.dataclass(frozen=True)
class _Reach:
    """Where in a clause denials and doubts hold.

    Attributes:
      denied: Findings are denied from here on, and up to there.
      unsure: They are left open from here on, and up to there.
    """

    denied: tuple[float, int]
    unsure: tuple[float, int]

    @classmethod
    def of(cls, clause: str) -> _Reach:
        """Finds the words; "cannot exclude" is no denial, though it has one in it."""
        unsure = [[m.span() for m in pattern.finditer(clause)] for pattern in _UNSURE]
        taken = [span for spans in unsure for span in spans]
        denied = [
            [m.span() for m in pattern.finditer(clause) if not _touches(m.span(), taken)]
            for pattern in _DENIED
        ]
        return cls(_ends(*denied), _ends(*unsure))

    def value(self, start: int, end: int) -> int:
        """What a mention there says."""
        if self.denied[0] <= start:
            return ABSENT
        if self.unsure[0] <= start or end <= self.unsure[1]:
            return UNCERTAIN
        return ABSENT if end <= self.denied[1] else PRESENT


def _touches(span: tuple[int, int], others: list[tuple[int, int]]) -> bool:
    return any(span[0] < end and start < span[1] for start, end in others)


def _ends(before: list[tuple[int, int]], after: list[tuple[int, int]]) -> tuple[float, int]:
    """End of the first word that reaches forward, start of the last one that reaches back."""
    return min((end for _, end in before), default=math.inf), max((s for s, _ in after), default=-1)


@dataclasses.dataclass(frozen=True)
class _Patterns:
    """A label's words, compiled.

    Attributes:
      named: Its names.
      hinted: Its hints.
      described: A part with a state behind it, or before it; empty where it has none.
    """

    named: re.Pattern[str]
    hinted: re.Pattern[str] | None
    described: tuple[re.Pattern[str], ...]

    @classmethod
    def of(cls, terms: Terms) -> _Patterns:
        """Compiles them."""
        named, hinted = _words(*terms.named), _words(*terms.hints) if terms.hints else None
        if not terms.part:
            return cls(named, hinted, ())
        state = rf"(?P<open>{words.BORDERLINE})|(?P<normal>{words.NORMAL})|{terms.states}"
        behind = rf"{terms.part}(?: [^,]{{0,50}}?)?[ ,]+(?P<state>{state})"
        before = rf"(?P<state>{state})(?: [\w-]+)? {terms.part}"
        return cls(named, hinted, (_words(behind), _words(before)))

    def values(self, clause: str, reach: _Reach) -> Iterator[int]:
        """What each mention in a clause says."""
        for name in self.named.finditer(clause):
            yield reach.value(*name.span())
        if self.hinted and (hint := self.hinted.search(clause)):
            yield ABSENT if reach.value(*hint.span()) == ABSENT else UNCERTAIN
        for state in self._described(clause)[:1]:
            yield self._state(state, reach)

    def _described(self, text: str) -> list[re.Match[str]]:
        return [found for pattern in self.described if (found := pattern.search(text))]

    def _state(self, found: re.Match[str], reach: _Reach) -> int:
        if found["normal"]:
            return ABSENT
        return UNCERTAIN if found["open"] else reach.value(*found.span("state"))


_PATTERNS = {label: _Patterns.of(terms) for label, terms in LEXICON.items()}


def rule_labels(report: str) -> dict[str, int]:
    """The labels that a report speaks of.

    `No Finding` is present where no other label but `Support Devices` is present or uncertain,
    and absent elsewhere; a report without words has no labels at all.

    Returns:
      Label -> 1 present, 0 absent, -1 uncertain, in the order of the 14; what is not spoken of is
      left out.
    """
    sentences = _SENTENCE.split(report.lower())
    said = {value for sentence in sentences for value in _mentions(" ".join(sentence.split()))}
    found = {}
    for label in LEXICON:
        if values := [value for value in _STRONGEST if (label, value) in said]:
            found[label] = values[0]
    if report.strip():
        others = [value for label, value in found.items() if label != "Support Devices"]
        found["No Finding"] = PRESENT if all(value == ABSENT for value in others) else ABSENT
    return {label: found[label] for label in CHEXPERT_14 if label in found}


@functools.lru_cache(maxsize=1 << 16)
def _mentions(sentence: str) -> frozenset[tuple[str, int]]:
    """Labels of a sentence with the value of each mention."""
    found = set()
    for clause in _ENDS.split(_STILL.sub(" ", sentence)):
        reach = _Reach.of(clause)
        for label, patterns in _PATTERNS.items():
            found |= {(label, value) for value in patterns.values(clause, reach)}
    return frozenset(found)
