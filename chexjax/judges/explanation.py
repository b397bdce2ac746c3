"""The paragraph in which a small judge thinks before it counts."""

from __future__ import annotations

import collections
from collections.abc import Iterable

from chexjax.judges.answer import INSIGNIFICANT, MATCHED
from chexjax.judges.oracle import Point

LEAD = "reference, candidate: "
"""How it begins: what stands first in each point is the reference's."""

OUTCOMES = {
    MATCHED: "matched",
    "a": "false",
    "b": "missing",
    "c": "misplaced",
    "d": "misgraded",
    "e": "added",
    "f": "omitted",
    INSIGNIFICANT + "c": "unplaced",
    INSIGNIFICANT + "d": "regraded",
    INSIGNIFICANT + "f": "unmentioned",
    "": "passed",
}
"""What an item is called, by its category; a statement without any is passed over."""


def explain(points: Iterable[Point]) -> str:
    """Says a comparison in one paragraph, point by point, with what each counts as.

    Whatever counts is numbered, so the last number of each kind is its count, and no model need
    count for itself.
    """
    numbers: collections.Counter[str] = collections.Counter()

    def outcome(category: str) -> str:
        numbers[category] += 1
        return f"{OUTCOMES[category]} {numbers[category]}"

    told = (
        f"{point.statement}: "
        + (", ".join(outcome(item["category"]) for item in point.items) or OUTCOMES[""])
        for point in points
    )
    return f"{LEAD}{'; '.join(told) or 'nothing'}."
