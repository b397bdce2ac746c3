"""What a GREEN judge says of many reports together."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from chexjax.judges.answer import CATEGORIES

_MOST = 2048
"""Different errors that are compared, the most frequent ones."""


def error_profile(details: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """GREEN's aggregates over reports, of those that could be read.

    Args:
      details: Of one judgement a report.

    Returns:
      `reports` that were read, `matched` findings a report, and by category `free` (share of
      reports without a significant error of the kind), `significant` and `insignificant` (errors a
      report), and `representative` (the significant error that is most like the others; none of a
      kind that nobody made).
    """
    read = [one for one in details if one.get("well_formed", True)]
    count = max(len(read), 1)

    def share(numbers: Iterable[float]) -> float:
        return sum(numbers) / count

    return {
        "reports": len(read),
        "matched": share(one["matched"] for one in read),
        "free": {c: share(one["significant"][c] == 0 for one in read) for c in CATEGORIES},
        **{
            kind: {c: share(one[kind][c] for one in read) for c in CATEGORIES}
            for kind in ("significant", "insignificant")
        },
        "representative": {
            c: text for c in CATEGORIES if (text := representative(_texts(read, c)))
        },
    }


def representative(texts: Sequence[str]) -> str:
    """The text that is most like all others, by the share of words in common (Jaccard); or "".

    GREEN takes the centre of the largest cluster of sentence embeddings. Items are a few words
    each, of which the same ones come again, so that words do, and no other model is needed.
    """
    counts = collections.Counter(" ".join(text.split()) for text in texts if text.strip())
    known = counts.most_common(_MOST)
    if not known:
        return ""
    words = [set(text.lower().split()) for text, _ in known]
    index = {word: k for k, word in enumerate(sorted(set().union(*words)))}
    present = np.zeros((len(known), len(index)), np.float32)
    for row, one in enumerate(words):
        present[row, [index[word] for word in one]] = 1
    shared, size = present @ present.T, present.sum(1)
    alike = shared / (size[:, None] + size - shared)
    return known[int((alike @ [count for _, count in known]).argmax())][0]


def _texts(details: Sequence[Mapping[str, Any]], category: str) -> list[str]:
    items = (item for one in details for item in one["items"])
    return [item["text"] for item in items if item["category"] == category]
