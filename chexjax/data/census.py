"""What a set of studies is made of, in numbers: the statistics of the `studies` artefact."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from chexjax.data.chexpert_labels import ABSENT, PRESENT, UNCERTAIN
from chexjax.data.study import IN_TWO_SPLITS, SPLITS

_MOST_VALUES = 32  # an attribute with more is listed no further: it would not make slices
_VALUES = {"present": PRESENT, "absent": ABSENT, "uncertain": UNCERTAIN}


def census(rows: Iterable[Mapping[str, Any]], reasons: Iterable[str] = ()) -> dict[str, Any]:
    """Counts everything once; what stays in memory are counts and digests.

    A manifest sorts its keys, so nothing is said by their order.

    Args:
      rows: Rows of studies.
      reasons: Why the others were rejected.

    Returns:
      `studies`, `mean_words`, `patients`: by split. `words`: by split, findings by their number of
      words, `{"29": 3, ...}`. `images`: studies by their number of images. `views`: images by
      view. `labels`: of each, how often it is `present`, `absent` and `uncertain`. `attributes`: of
      each, values and how often. `edits`: of each rule, the `studies` that it changed and how many
      `times`. `rejects`: reasons and how often. `leakage`: of an earlier and a later split, the
      `patients` in both, the `studies` in both, and the studies of the later one whose `findings`
      stand word for word in the earlier one; by `train, test` and so on.
    """
    count = _Count()
    for row in rows:
        count.add(row)
    for reason in reasons:
        count.reject(reason)
    return count.numbers()


def reason_kind(reason: str) -> str:
    """A reason without what differs from study to study.

    That is what stands behind a colon or in brackets, and numbers.
    """
    return re.sub(r"\d[\d,]*", "N", re.split(r":| \(", reason)[0])


class _Count:
    def __init__(self) -> None:
        self.studies: Counter[str] = Counter()
        self.words: defaultdict[str, Counter[int]] = defaultdict(Counter)
        self.patients: defaultdict[str, set[str]] = defaultdict(set)
        self.findings: defaultdict[str, Counter[bytes]] = defaultdict(Counter)
        self.images: Counter[int] = Counter()
        self.views: Counter[str] = Counter()
        self.labels: defaultdict[str, Counter[int]] = defaultdict(Counter)
        self.attributes: defaultdict[str, Counter[str | float]] = defaultdict(Counter)
        self.edited: Counter[str] = Counter()
        self.edits: Counter[str] = Counter()
        self.rejects: Counter[str] = Counter()
        self.in_two: Counter[str] = Counter()

    def add(self, row: Mapping[str, Any]) -> None:
        split, findings = row["split"], row["findings"]
        self.studies[split] += 1
        self.words[split][len(findings.split())] += 1
        self.findings[split][hashlib.blake2b(findings.encode(), digest_size=8).digest()] += 1
        if row["patient"]:
            self.patients[split].add(row["patient"])
        self.images[len(row["images"])] += 1
        self.views.update(row["views"])
        for name, value in row["labels"].items():
            self.labels[name][value] += 1
        for name, value in row["attributes"].items():
            if len(self.attributes[name]) <= _MOST_VALUES:
                self.attributes[name][value] += 1
        self.edited.update(row["edits"].keys())
        self.edits.update(row["edits"])

    def reject(self, reason: str) -> None:
        why, _, splits = reason.partition(": ")
        self.rejects[reason_kind(reason)] += 1
        if why == IN_TWO_SPLITS:
            self.in_two[splits] += 1

    def numbers(self) -> dict[str, Any]:
        splits = [split for split in SPLITS if split in self.studies]
        totals = {s: sum(n * words for words, n in self.words[s].items()) for s in splits}
        return {
            "studies": {s: self.studies[s] for s in splits},
            "mean_words": {s: totals[s] / self.studies[s] for s in splits},
            "words": {s: {str(k): n for k, n in self.words[s].items()} for s in splits},
            "patients": {s: len(self.patients[s]) for s in splits if s in self.patients},
            "images": {str(k): n for k, n in self.images.items()},
            "views": dict(self.views),
            "labels": {
                name: {said: found[value] for said, value in _VALUES.items()}
                for name, found in self.labels.items()
            },
            "attributes": {
                name: {str(value): n for value, n in found.items()}
                for name, found in self.attributes.items()
                if len(found) <= _MOST_VALUES
            },
            "edits": {
                rule: {"studies": self.edited[rule], "times": times}
                for rule, times in self.edits.items()
            },
            "leakage": self._leakage(splits),
            "rejects": dict(self.rejects),
        }

    def _leakage(self, splits: list[str]) -> dict[str, dict[str, int]]:
        pairs = list(itertools.combinations(splits, 2))
        return {
            "patients": {f"{a}, {b}": len(self.patients[a] & self.patients[b]) for a, b in pairs},
            "studies": {f"{a}, {b}": self.in_two[f"{a}, {b}"] for a, b in pairs},
            "findings": {
                f"{a}, {b}": sum(
                    n for text, n in self.findings[b].items() if text in self.findings[a]
                )
                for a, b in pairs
            },
        }


def percentile(histogram: Mapping[str, int], share: float) -> int:
    """The smallest number of words that at least `share` of the reports do not exceed.

    Args:
      histogram: One split of `words`.
      share: In (0, 1].
    """
    wanted = share * sum(histogram.values())
    seen = 0
    for words, n in sorted((int(words), n) for words, n in histogram.items()):
        seen += n
        if seen >= wanted:
            return words
    raise ValueError("the histogram is empty: there are no reports")
