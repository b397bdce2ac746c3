"""Labels as a judge: how many of the 14 do reference and candidate agree on?"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from chexjax.data.chexpert_labels import CHEXPERT_14
from chexjax.judges.answer import item
from chexjax.judges.base import Judgement, check_pairs
from chexjax.judges.label_f1 import (
    FIVE,
    MEAN_OF_FOUR,
    Labels,
    Uncertain,
    averages,
    counted,
    present,
)
from chexjax.judges.rule_labels import rule_labels

Labeler = Callable[[Sequence[str]], Sequence[Labels]]
"""Reports to the labels of each: 1 present, 0 absent, -1 uncertain, nothing where not spoken of."""


@dataclasses.dataclass(frozen=True)
class Labeling:
    """A labeler, and how its labels are counted.

    Attributes:
      name: How reports and tables call the labeler.
      labeler: Reads reports.
      uncertain: What an uncertain label counts as.
    """

    name: str
    labeler: Labeler
    uncertain: Uncertain = "present"

    def present(self, *sides: Sequence[str]) -> list[NDArray[np.bool]]:
        """Which labels the reports of each side have, `bool[B, 14]`; equal texts are read once."""
        texts = list(dict.fromkeys(text for side in sides for text in side))
        found = dict(zip(texts, self.labeler(texts), strict=True))
        return [present([found[text] for text in side], self.uncertain) for side in sides]


Which = Literal["all", "five"]


class LabelJudge:
    """Share of labels that reference and candidate have both or have not both, in 0..1.

    The reward of a single report that RadEval derives from CheXbert; it is no F1, and most of it is
    agreement on what is absent. `corpus` is one.
    """

    def __init__(self, labeling: Labeling, of: Which = "all") -> None:
        """Takes the labels of `labeling`, all or five of them."""
        self._labeling = labeling
        self._labels = list(FIVE if of == "five" else range(len(CHEXPERT_14)))
        self._kind = f"{labeling.name}, uncertain {labeling.uncertain}"
        self.name = f"share of equal labels ({self._kind}, {len(self._labels)} labels)"

    @property
    def corpus_name(self) -> str:
        """The metric that `corpus` gives."""
        return f"mean of micro and macro F1-14 and F1-5 ({self._kind})"

    def judge(self, references: Sequence[str], candidates: Sequence[str]) -> list[Judgement]:
        """One judgement a pair; its `items` are the labels that are not equal.

        They are of all 14, whichever count: "a" for a false one, "b" for a missing one, as GREEN
        calls its errors.

        Raises:
          ValueError: The two differ in length, or a reference is empty.
        """
        check_pairs(references, candidates)
        truth, said = self._labeling.present(references, candidates)
        equal = (truth == said)[:, self._labels].mean(1)
        return [
            Judgement(
                float(share),
                {"items": [*_items("b", "missing", t & ~s), *_items("a", "false", s & ~t)]},
            )
            for share, t, s in zip(equal, truth, said, strict=True)
        ]

    def corpus(self, references: Sequence[str], candidates: Sequence[str]) -> float:
        """The mean of the four F1 of all reports together; see `label_f1`.

        Raises:
          ValueError: The two differ in length, or a reference is empty.
        """
        check_pairs(references, candidates)
        rows = counted(*self._labeling.present(references, candidates))
        return float(averages(rows.mean(0, keepdims=True))[MEAN_OF_FOUR][0])


def _items(category: str, what: str, which: NDArray[np.bool]) -> Iterator[dict[str, Any]]:
    for name in np.compress(which, CHEXPERT_14):
        yield item(category, f"{what}: {name}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabelConfig(abc.ABC):
    """A labeler, and how its labels are counted.

    Attributes:
      uncertain: What an uncertain label counts as: "present", as in the field's report metrics,
        or "absent".
      of: The score of a pair is the share of equal labels of "all", or of the "five" of CheXpert's
        competition.
    """

    uncertain: Uncertain = "present"
    of: Which = "all"

    @abc.abstractmethod
    def labeling(self) -> Labeling:
        """The labeler.

        Raises:
          ValueError: a file is missing or is not what it should be.
        """

    def build(self) -> LabelJudge:
        """The judge.

        Raises:
          ValueError: as `labeling`.
        """
        return LabelJudge(self.labeling(), self.of)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RuleLabelsConfig(LabelConfig):
    """The labeler of rules, which needs no weights."""

    def labeling(self) -> Labeling:
        """The labeler."""
        return Labeling("rules", _rules, self.uncertain)

    def files(self) -> dict[str, str]:
        """It reads none."""
        return {}


def _rules(reports: Sequence[str]) -> list[dict[str, int]]:
    return [rule_labels(report) for report in reports]
