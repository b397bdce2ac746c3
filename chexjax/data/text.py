"""What is done to the text of real reports before a policy learns from it."""

from __future__ import annotations

import codecs
import contextlib
import dataclasses
import re
from collections.abc import Mapping
from typing import Literal

from chexjax.data.study import UnusableStudy

_PRIOR = ("prior", "previous", "remov", "earlier", "recurrence", "redemonstrate")
"""What a sentence about an earlier examination has in it, in lower case."""

UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextRules:
    """Which rules are applied; `Study.edits` counts how often each of them changed a study.

    The first three are CheXagent's for MIMIC-CXR, which CheXalign learns from: a policy that is
    shown one examination cannot know what has changed since the last. They are its substrings and
    its order, with two repairs: "again" is taken out as a word, so that "against" stays, and a
    report whose last sentence is dropped still ends with a full stop.

    Attributes:
      drop_prior: Drop sentences of the findings that speak of an earlier examination.
      drop_again: Delete the word "again" in the findings.
      drop_new: Delete the word "new" in the findings, or write "present" for it at the end of a
        sentence.
      drop_lone_stops: Delete a full stop that stands alone, or put it behind its sentence, in all
        sections. Every eleventh impression of Open-I ends with one, which a policy learns to write
        and judges reward.
      report: The section that is the report to write. With `impression`, the findings stand where
        else the indication does: they are what it is written from.
      missing_indication: What stands for an indication that is not given.
      max_words: A report with more words is rejected: it is no report, or several.
    """

    drop_prior: bool = True
    drop_again: bool = True
    drop_new: bool = True
    drop_lone_stops: bool = True
    report: Literal["findings", "impression"] = "findings"
    missing_indication: str = "None"
    max_words: int = 2000

    def __post_init__(self) -> None:
        if self.max_words < 1:
            raise ValueError(f"max_words={self.max_words} rejects every report; give 1 or more")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReportText:
    """The texts of a study after the rules, named as in `Study`."""

    findings: str
    impression: str
    indication: str
    edits: dict[str, int]


def clean(sections: Mapping[str, str], rules: TextRules) -> ReportText:
    """Applies the rules to what a radiologist wrote.

    Args:
      sections: Any of `findings`, `impression` and `indication`, as the source has them.
      rules: Which to apply.

    Raises:
      UnusableStudy: there are no findings, none are left, they are tags alone, or they or the
        impression are too long.
    """
    edits: dict[str, int] = {}
    found = {name: squeeze(sections.get(name, "")) for name in _SECTIONS}
    if rules.drop_lone_stops:
        found = {name: _without_lone_stops(text, edits) for name, text in found.items()}
    for name in ("findings", "impression"):
        if (words := len(found[name].split())) > rules.max_words:
            raise UnusableStudy(
                f"its {name} have more words than source.text.max_words: {words:,} words"
            )
    if not found["findings"]:
        raise UnusableStudy("it has no findings")
    if rules.report == "impression":
        found |= {"findings": found["impression"], "indication": found["findings"]}
    if not found["findings"]:
        raise UnusableStudy("it has no impression")
    found["findings"] = without_comparisons(found["findings"], rules, edits)
    if not found["findings"]:
        raise UnusableStudy(f"its {rules.report} section is about an earlier examination alone")
    if not plain_findings(found["findings"]):
        raise UnusableStudy(f"its {rules.report} section is tags alone")
    if not found["indication"]:
        found["indication"] = rules.missing_indication
        edits["missing_indication"] = 1
    return ReportText(**found, edits=edits)


_SECTIONS = ("findings", "impression", "indication")


def without_comparisons(text: str, rules: TextRules, edits: dict[str, int]) -> str:
    """Findings without what only a second examination could show; counts in `edits`.

    A sentence ends with a full stop and a blank.
    """
    if rules.drop_prior:
        sentences = re.split(r"(?<=\.) ", text)
        kept = [s for s in sentences if not any(word in s.lower() for word in _PRIOR)]
        _count(edits, "drop_prior", len(sentences) - len(kept))
        text = " ".join(kept)
    if rules.drop_again:
        text, found = re.subn(r" again\b|\bagain ", "", text)
        _count(edits, "drop_again", found)
    if rules.drop_new:
        text, last = re.subn(r" new\.", " present.", text)
        text, inside = re.subn(r" new (?=\S)", " ", text)
        _count(edits, "drop_new", last + inside)
    return text.strip()


def _without_lone_stops(text: str, edits: dict[str, int]) -> str:
    """The text with each sentence ended once: `Clear. .` as `Clear.`, `Clear .` too."""
    text, times = re.subn(r"(?:^|(?<=[.!?]) )\.(?= |$)", "", text)
    text, more = re.subn(r" \.(?= |$)", ".", text)
    _count(edits, "drop_lone_stops", times + more)
    return text.strip()


def _count(edits: dict[str, int], rule: str, times: int) -> None:
    if times:
        edits[rule] = edits.get(rule, 0) + times


def squeeze(text: str) -> str:
    """Every run of white space as one blank, and no characters that print nothing."""
    visible = re.sub(r"[\xad\u200b-\u200d\u2060\ufeff]", "", text)
    return " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", visible).split())


_MARKS = re.compile(r"\[[^\]]*\]|\*\*")


def plain_findings(text: str) -> str:
    """Findings as they are compared: without `[...]` spans and `**`, in lower case, squeezed.

    So CheXagent and CheXalign clean both sides before they judge them. The `[Lungs]` and
    `**Heart:**` of structured findings say nothing, and whoever writes them would lose by them.
    """
    return " ".join(_MARKS.sub("", text).lower().split())


def plain_places(text: str) -> list[int]:
    """Of each character of `plain_findings`, where in `text` it stands."""
    marked = {place for mark in _MARKS.finditer(text) for place in range(*mark.span())}
    places: list[int] = []
    blank: int | None = None
    for place, character in enumerate(text):
        if place in marked:
            continue
        if character.isspace():
            blank = place
            continue
        if blank is not None and places:
            places.append(blank)
        blank = None
        places += [place] * len(character.lower())
    return places


def decode(data: bytes) -> str:
    """A text file's content: UTF-8, UTF-16 where it says so at its start, else Windows-1252.

    Hospitals' exports mix them from file to file, and the last is what the others are mistaken for.

    Raises:
      UnusableStudy: it is none of them.
    """
    encodings = ("utf-16",) if data.startswith(UTF_16) else ("utf-8-sig", "cp1252")
    for encoding in encodings:
        with contextlib.suppress(UnicodeDecodeError):
            return data.decode(encoding)
    raise UnusableStudy("its text is neither UTF-8 nor UTF-16 nor Windows-1252")
