"""Where the sections of a free-text report begin and end."""

from __future__ import annotations

import re

NAMES = {
    "findings": ("findings", "finding", "findings and impression", "findings/impression"),
    "impression": ("impression", "impressions", "conclusion", "conclusions", "opinion"),
    "indication": (
        "indication",
        "indications",
        "clinical indication",
        "clinical history",
        "clinical information",
        "history",
        "reason for exam",
        "reason for examination",
        "reason for this examination",
        "reason for study",
    ),
    "comparison": ("comparison", "comparisons", "compared to"),
}
"""Section of a study -> headings that it has in reports, in lower case."""

_SECTION = {heading: section for section, names in NAMES.items() for heading in names}
# A known heading in any case; an unknown one, which ends a section too, in capitals.
_KNOWN = "|".join(sorted((re.escape(name) for name in _SECTION), key=len, reverse=True))
_HEADING = re.compile(
    rf"^[ \t]*(?:(?P<known>(?i:{_KNOWN}))|[A-Z][A-Z0-9 ,/&()'-]{{2,60}})[ \t]*:", re.MULTILINE
)


def sections(report: str) -> dict[str, str]:
    """The named sections of a report, those that are not empty.

    A heading stands at the start of a line, with a colon behind it. Where one comes twice, as in a
    report with an addendum, the first that says something counts.

    Args:
      report: A whole report with its line breaks.

    Returns:
      Some of `NAMES` -> text, stripped; empty where the report has no such heading.
    """
    found: dict[str, str] = {}
    heads = list(_HEADING.finditer(report))
    for place, head in enumerate(heads):
        end = heads[place + 1].start() if place + 1 < len(heads) else len(report)
        name = _SECTION.get((head["known"] or "").lower())
        text = report[head.end() : end].strip()
        if name and text:
            found.setdefault(name, text)
    return found
