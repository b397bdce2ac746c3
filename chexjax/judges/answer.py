"""What a GREEN judge writes: four headed sections of counts and items, read and scored.

Counts are read as by green_score 0.0.12, in every quirk, because published scores were read so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from chexjax.judges.base import Judgement

CATEGORIES = ("a", "b", "c", "d", "e", "f")
"""GREEN's errors: (a) false finding, (b) missing finding, (c) wrong location, (d) wrong severity,
(e) comparison that the reference does not make, (f) comparison omitted."""

LABELS = (
    "False report of a finding in the candidate",
    "Missing a finding present in the reference",
    "Misidentification of a finding's anatomic location/position",
    "Misassessment of the severity of a finding",
    "Mentioning a comparison that isn't in the reference",
    "Omitting a comparison detailing a change from a prior study",
)
"""What the judge calls the categories."""

LONGEST = 1024
"""Tokens of an answer, at most, where nobody says; GREEN's are 443 on average."""
AGAIN_TEMPERATURE, AGAIN_SEED = 0.7, 1
"""Of a second answer, where the first, the likeliest, cannot be read."""

MATCHED = "matched"
INSIGNIFICANT = "insignificant-"

EXPLANATION, SIGNIFICANT_ERRORS, INSIGNIFICANT_ERRORS, MATCHED_FINDINGS = (
    "[Explanation]:",
    "[Clinically Significant Errors]:",
    "[Clinically Insignificant Errors]:",
    "[Matched Findings]:",
)

_ASSISTANT = "<|assistant|>"
_ECHO = f"{EXPLANATION}\n    <Explanation>\n"  # of the prompt's own format, where it was kept

# Nine digits at most: more is no count, and Python refuses to read thousands of them.
_COUNT = re.compile(r"(?<=: )\b\d{1,9}\b(?=\.)")
_TOTAL = re.compile(r"\d{1,9}\b(?=\.)")


def judgement(
    matched: int,
    significant: Mapping[str, int],
    insignificant: Mapping[str, int],
    items: Sequence[Mapping[str, Any]],
    **details: Any,
) -> Judgement:
    """GREEN's score of counts: matched / (matched + significant errors), 0 where nothing matches.

    Args:
      matched: Findings that both reports state.
      significant: Errors by category, `"a"` to `"f"`.
      insignificant: The same of errors that change no score.
      items: Each made by `item`.
      details: More of what led to the score.
    """
    score = matched / (matched + sum(significant.values())) if matched else 0.0
    counts = {"matched": matched, "significant": significant, "insignificant": insignificant}
    return Judgement(score, {**counts, "items": list(items), **details})


def item(category: str, text: str, span: Sequence[int] | None = None) -> dict[str, Any]:
    """One of a judgement's `items`.

    Args:
      category: "matched", "a".."f", or "insignificant-a" and on.
      text: What it is.
      span: Where in the candidate it stands, [start, end) in characters, if that is known.
    """
    return {"category": category, "text": text, "span": span and list(span)}


def parse_judgement(text: str) -> Judgement:
    """Reads an answer, whatever it says.

    `details` has what `judgement` says, and `well_formed`: all four headers are there, six
    readable lines in both sections of errors, a readable total of matches. The score of an answer
    that is not may mean nothing: one with matches and without significant errors has 1.0.

    Counts follow green_score: a section ends at its first blank line; one that starts with the
    letters "No" counts nothing; "(a) label: 2. first; second" is readable with blank, digits
    and full stop in their places; the lines of one category are sorted as text, and the last
    readable one counts; "(1)" to "(6)" are read where no letter is. Items stand behind the last
    colon of a line and the first full stop there.

    Args:
      text: The answer, with or without the prompt in front of it.
    """
    cleaned = clean(text)
    sections = [_section(cleaned, header) for header in (SIGNIFICANT_ERRORS, INSIGNIFICANT_ERRORS)]
    significant, insignificant = (_errors(section) for section in sections)
    matches = _section(cleaned, MATCHED_FINDINGS)
    total = _TOTAL.match(_counting(matches))
    items = [
        *_items(sections[0], ""),
        *_items(sections[1], INSIGNIFICANT),
        *_split(MATCHED, (matches or "")[total.end() + 1 :] if total else ""),
    ]
    return judgement(
        int(total[0]) if total else 0,
        {c: significant.get(c, 0) for c in CATEGORIES},
        {c: insignificant.get(c, 0) for c in CATEGORIES},
        items,
        well_formed=EXPLANATION in text
        and total is not None
        and len(significant) == len(insignificant) == len(CATEGORIES),
    )


def write_judgement(verdict: Judgement, explanation: str) -> str:
    """The answer that says a judgement: what `parse_judgement` reads back, and judges learn from.

    Args:
      verdict: With the details of `judgement`.
      explanation: One paragraph.
    """
    details = verdict.details

    def said(category: str) -> str:
        texts = "; ".join(x["text"] for x in details["items"] if x["category"] == category)
        return f" {texts}." if texts else ""

    def errors(counts: Mapping[str, int], prefix: str) -> str:
        lines = zip(CATEGORIES, LABELS, strict=True)
        return "\n".join(f"({c}) {name}: {counts[c]}.{said(prefix + c)}" for c, name in lines)

    return "\n\n".join(
        (
            f"{EXPLANATION}\n{explanation}",
            f"{SIGNIFICANT_ERRORS}\n{errors(details['significant'], '')}",
            f"{INSIGNIFICANT_ERRORS}\n{errors(details['insignificant'], INSIGNIFICANT)}",
            f"{MATCHED_FINDINGS}\n{details['matched']}.{said(MATCHED)}",
        )
    )


def is_decided(text: str) -> bool:
    """Whether the score stands: the total of matches is the last that it depends on.

    What a judge writes behind it changes no count, unless it were to begin a second answer.
    """
    return bool(_TOTAL.match(_counting(_section(clean(text), MATCHED_FINDINGS))))


def clean(text: str) -> str:
    """What stands behind the last turn's mark and the last explanation's header; no end tokens.

    Where the echo of the prompt's format comes first, what stands behind the first header.
    """
    if EXPLANATION in text:
        text = text.rsplit(_ASSISTANT, 1)[-1]
        text = text.split(EXPLANATION)[1 if _ECHO in text else -1]
    return text.rsplit(_ASSISTANT, 1)[-1].replace("</s>", "").replace("<unk>", "")


def _section(text: str, header: str) -> str | None:
    """What follows a header up to the first blank line."""
    _, found, rest = text.partition(header)
    return re.split(r"\n\s*\n", rest.lstrip(), maxsplit=1)[0] if found else None


def _counting(section: str | None) -> str:
    """A section, or nothing where it says that there is nothing."""
    return "" if section is None or section.startswith("No") else section


def _errors(section: str | None) -> dict[str, int]:
    """Counts by category, of those that have a readable line."""
    read = ((category, _COUNT.search(line)) for category, line in _lines(section))
    return {category: int(count[0]) for category, count in read if count}


def _lines(section: str | None) -> list[tuple[str, str]]:
    """The lines of errors with their categories, sorted as text."""
    text = _counting(section)
    for marks in ("abcdef", "123456"):
        lines = sorted(re.findall(rf"\([{marks}]\) .*", text))
        if lines:
            return [(CATEGORIES[marks.index(line[1])], line) for line in lines]
    return []


def _items(section: str | None, prefix: str) -> list[dict[str, Any]]:
    last = dict(_lines(section))  # of the lines of one category
    behind = {c: line.rsplit(":", 1)[-1].split(".", 1)[-1] for c, line in last.items()}
    return [one for c, text in behind.items() for one in _split(prefix + c, text)]


def _split(category: str, text: str) -> list[dict[str, Any]]:
    texts = (part.strip().removesuffix(".") for part in text.split(";"))
    return [item(category, part) for part in texts if part]
