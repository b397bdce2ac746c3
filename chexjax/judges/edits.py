"""Lessons out of any report: errors are put into its text by rule, and counted as they are put in.

A statement is a sentence. What is known of it comes from a few words alone: whether it denies,
compares, or names a side, a zone or a grade.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

import numpy as np

from chexjax.data.phantom.grammar import pick
from chexjax.data.phantom.lexicon import LEXICON
from chexjax.judges.answer import INSIGNIFICANT, MATCHED, item
from chexjax.judges.oracle import Point

_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_DENIES = re.compile(
    r"\b(?:no|not|without|normal|clear|unremarkable|intact|within normal limits|negative|"
    r"free of)\b",
    re.IGNORECASE,
)
_COMPARES = re.compile(
    r"\b(?:compar\w+|prior|previous\w*|interval|unchanged|stable|increased|decreased|worsen\w*|"
    r"improve\w*|since)\b",
    re.IGNORECASE,
)
_STABLE = re.compile(r"\b(?:unchanged|stable|no (?:\w+ )?change)\b", re.IGNORECASE)
_PLACES = (
    ("left", "right"),
    ("upper", "lower"),
    ("apical", "basilar"),
    ("medial", "lateral"),
)
_GRADES = (
    ("small", "large"),
    ("mild", "severe"),
    ("mildly", "severely"),
    ("minimal", "massive"),
    ("tiny", "large"),
)
_OPPOSITES = (_PLACES, _GRADES)
_NEXT_GRADES = (("mild", "moderate"), ("small", "moderate"), ("moderate", "severe"))
_COMPARISONS = (
    "This is unchanged from the prior study.",
    "Compared with the prior study, the findings are worse.",
    "Compared with the prior study, the findings are improved.",
    "There has been interval worsening since the previous examination.",
    "There has been interval improvement.",
)
_KINDS = re.compile(
    "|".join(rf"\b(?:{pattern})\b" for role, _, pattern in LEXICON if role in ("kind", "subject")),
    re.IGNORECASE,
)
_WORDS = 5  # of a sentence, that stand for it in an explanation


@dataclasses.dataclass(frozen=True)
class Edited:
    """A candidate that was made from a reference, and what was done to it."""

    candidate: str
    points: Sequence[Point]


def sentences(report: str) -> list[str]:
    """The sentences of a report, those without a letter left out."""
    parts = _SENTENCE.split(" ".join(report.split()))
    return [part for part in parts if any(c.isalpha() for c in part)]


def edit(reference: str, other: str, rng: np.random.Generator, most: int = 4) -> Edited:
    """Writes a candidate with some errors in it.

    A sentence that is kept is matched. One that is dropped is missing (b) if it states a finding,
    omitted (f) if it compares, and passed over if it denies. A finding that is denied is missing,
    an absence that is turned round is false (a), as is a finding of another report about something
    of which the reference says nothing. Left for right or upper for lower is misplaced (c), small
    for large misgraded (d), small for moderate insignificantly so. A comparison that is put in,
    where the reference has none, is added (e). The last sentence that is left stays.

    Args:
      reference: The report.
      other: Another one, to take a false finding from.
      rng: Source of the choices.
      most: Errors, at most.
    """
    said = sentences(reference)
    wrong = set(rng.permutation(len(said))[: int(rng.integers(0, most + 1))].tolist())
    points, kept = list[Point](), list[str]()
    for k, sentence in enumerate(said):
        last = not kept and k == len(said) - 1
        text, categories = sentence, [MATCHED]
        if k in wrong:
            text, categories = _edited(sentence, rng, last=last)
        points.append(Point(_short(sentence), [item(c, _short(sentence)) for c in categories]))
        kept += [text] if text else []
    for category, sentence in _insertions(said, other, rng):
        kept.insert(int(rng.integers(len(kept) + 1)), sentence)
        points.append(Point(_short(sentence), [item(category, _short(sentence))]))
    if rng.random() < 0.3:
        kept = [kept[k] for k in rng.permutation(len(kept))]
    return Edited(" ".join(kept), points)


def falsified(reference: str, rng: np.random.Generator) -> str | None:
    """The report with one significant error in it, and as fluent as it was.

    A side, a zone or a grade has its opposite's place. No negation is turned round: a sentence that
    is made in this way is often one that nobody writes, so that it is unlikely, true or not.

    Args:
      reference: The report.
      rng: Source of the choices.

    Returns:
      None where nothing has an opposite.
    """
    said = sentences(reference)
    swapped = ((k, _swapped(said[k], pairs)) for k in range(len(said)) for pairs in _OPPOSITES)
    wrong = [[*said[:k], text, *said[k + 1 :]] for k, text in swapped if text != said[k]]
    return " ".join(wrong[int(rng.integers(len(wrong)))]) if wrong else None


def _edited(sentence: str, rng: np.random.Generator, *, last: bool) -> tuple[str, list[str]]:
    """The sentence with one error, or unless it is the last nothing, and what that counts as."""
    options: list[tuple[str, list[str]]] = [] if last else [("", _dropped(sentence))]
    for pairs, categories in (
        (_PLACES, ["c"]),
        (_GRADES, ["d"]),
        (_NEXT_GRADES, [MATCHED, INSIGNIFICANT + "d"]),
    ):
        if (swapped := _swapped(sentence, pairs)) != sentence:
            options.append((swapped, categories))
    if (turned := _turned(sentence)) is not None:
        options.append((turned, ["a" if _DENIES.search(sentence) else "b"]))
    return options[int(rng.integers(len(options)))] if options else (sentence, [MATCHED])


def _dropped(sentence: str) -> list[str]:
    if _COMPARES.search(sentence):
        return [INSIGNIFICANT + "f" if _STABLE.search(sentence) else "f"]
    return [] if _DENIES.search(sentence) else ["b"]


def _swapped(sentence: str, pairs: Sequence[tuple[str, str]]) -> str:
    """The sentence with the first word that has an opposite in its opposite's place."""
    opposite = {a: b for one, two in pairs for a, b in ((two, one), (one, two))}
    found = re.search(rf"\b(?:{'|'.join(opposite)})\b", sentence, re.IGNORECASE)
    if found is None:
        return sentence
    new = opposite[found[0].lower()]
    new = new.capitalize() if found[0][0].isupper() else new
    return sentence[: found.start()] + new + sentence[found.end() :]


_TURNS: tuple[tuple[str, str], ...] = (
    (r"^There (is|are) no (?:focal |acute )?", r"There \1 "),
    (r"^No (?:focal |acute )?(.)", r"There is \1"),
    (r"^There (is|are) (?:an? )?(?!no\b)", r"There \1 no "),
)


def _turned(sentence: str) -> str | None:
    """The sentence with its negation taken out or put in; None where none can be found."""
    if _COMPARES.search(sentence):
        return None
    for pattern, new in _TURNS:
        if re.search(pattern, sentence):
            return re.sub(pattern, new, sentence)
    return None


def _insertions(said: Sequence[str], other: str, rng: np.random.Generator) -> list[tuple[str, str]]:
    """Sentences to put in, with what they count as."""
    found = []
    about = {k.lower() for sentence in said for k in _KINDS.findall(sentence)}
    false = [s for s in sentences(other) if _is_finding(s) and not about & _kinds(s)]
    if false and rng.random() < 0.4:
        found.append(("a", pick(false, rng)))
    if rng.random() < 0.25 and not any(_COMPARES.search(sentence) for sentence in said):
        found.append(("e", pick(_COMPARISONS, rng)))
    return found


def _is_finding(sentence: str) -> bool:
    return bool(_kinds(sentence)) and not (_DENIES.search(sentence) or _COMPARES.search(sentence))


def _kinds(sentence: str) -> set[str]:
    return {found.lower() for found in _KINDS.findall(sentence)}


def _short(sentence: str) -> str:
    """Its first words: enough to know it by."""
    return " ".join(re.findall(r"[a-z0-9]+", sentence.lower())[:_WORDS])
