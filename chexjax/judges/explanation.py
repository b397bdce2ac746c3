"""The paragraph in which a small judge thinks before it counts."""

from __future__ import annotations

import collections

from chexjax.judges.answer import INSIGNIFICANT, MATCHED
from chexjax.judges.oracle import Points

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


def explain(points: Points) -> str:
    """Says a comparison in one paragraph, in the order in which it can be found.

    First what the candidate states; then each statement of the reference with what the candidate
    makes of it; then what the candidate has beyond that. Whatever counts is numbered, so the
    last number of each kind is its count, and no model need count for itself.
    """
    numbers: collections.Counter[str] = collections.Counter()

    def outcome(category: str) -> str:
        numbers[category] += 1
        return f"{OUTCOMES[category]} {numbers[category]}"

    parts = [f"candidate: {'; '.join(points.candidate) or 'nothing'}."]
    for name, said in (("reference", points.reference), ("beyond", points.beyond)):
        told = (
            f"{point.statement}: "
            + (", ".join(outcome(item["category"]) for item in point.items) or OUTCOMES[""])
            for point in said
        )
        parts.append(f"{name}: {'; '.join(told) or 'nothing'}.")
    return " ".join(parts)
