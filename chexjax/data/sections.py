"""Where the sections of a free-text report begin and end."""

from __future__ import annotations

import re

NAMES = {
    "findings": (
        "findings",
        "finding",
        "findings and impression",
        "findings/impression",
        "impression and findings",
    ),
    "impression": ("impression", "impressions", "conclusion", "conclusions", "opinion"),
    "indication": (
        "indication",
        "indications",
        "indication for examination",
        "clinical data",
        "clinical indication",
        "clinical history",
        "clinical information",
        "clinical question",
        "clinical statement",
        "history",
        "patient history",
        "reason for exam",
        "reason for examination",
        "reason for this exam",
        "reason for this examination",
        "reason for the exam",
        "reason for the examination",
        "reason for study",
        "reason for the study",
    ),
    "comparison": ("comparison", "comparisons", "compared to"),
}
"""Section of a study -> headings that it has in reports, in lower case."""

_SECTION = {heading: section for section, names in NAMES.items() for heading in names}

# A known heading in any case, or in capitals on a line of its own; an unknown one, which ends a
# section too, in capitals. Blanked-out names and dates are underscores.
_KNOWN = "|".join(sorted((re.escape(name) for name in _SECTION), key=len, reverse=True))
_HEADING = re.compile(
    rf"^[ \t]*(?:(?P<known>(?i:{_KNOWN}))[ \t]*:|(?P<alone>{_KNOWN.upper()})[ \t]*$"
    r"|(?P<other>[A-Z][A-Z0-9 ,/&()'._-]{2,60}?)[ \t]*:)",
    re.MULTILINE,
)
_EXAMINATION = re.compile(r"\b(?:CHEST|CXR|RADIOGRAPHS?|X-?RAYS?)\b")
_TITLES = ("EXAM", "TYPE OF EXAM", "STUDY", "PROCEDURE", "TECHNIQUE")

_FEWEST_WORDS = 8  # under the examination's name; fewer are its date or its projections
_FINAL = re.compile(r"^[ \t]*FINAL REPORT[ \t]*$", re.MULTILINE)


def sections(report: str) -> dict[str, str]:
    """The named sections of a report, those that are not empty.

    A heading stands at the start of a line, with a colon behind it or alone in capitals. Where one
    comes twice, as in a report with an addendum, the first that says something counts. What a
    hospital prints above `FINAL REPORT`, a first reading, counts only where nothing stands below.
    Many reports have their findings under the name of the examination (`PORTABLE CHEST:`): these
    are taken where no heading says findings.

    Args:
      report: A whole report with its line breaks.

    Returns:
      Some of `NAMES` -> text, stripped; empty where the report has no such heading.
    """
    report = report.replace("\r\n", "\n")
    final = _FINAL.search(report)
    return (_sections(report[final.end() :]) if final else {}) or _sections(report)


def last_paragraph(report: str) -> str:
    """The last block of lines, where the reports of a hospital without headings conclude."""
    paragraphs = re.split(r"\n[ \t]*\n", report.replace("\r\n", "\n").strip())
    return paragraphs[-1].strip()


def _sections(report: str) -> dict[str, str]:
    found: dict[str, str] = {}
    under_name = ""
    heads = list(_HEADING.finditer(report))
    for place, head in enumerate(heads):
        end = heads[place + 1].start() if place + 1 < len(heads) else len(report)
        name = _SECTION.get((head["known"] or head["alone"] or "").lower())
        text = report[head.end() : end].strip()
        if name and text:
            found.setdefault(name, text)
        elif not under_name and _names_examination(head["other"] or ""):
            under_name = text if len(text.split()) >= _FEWEST_WORDS else ""
    return found if "findings" in found or not under_name else found | {"findings": under_name}


def _names_examination(heading: str) -> bool:
    return bool(_EXAMINATION.search(heading)) and not heading.startswith(_TITLES)
