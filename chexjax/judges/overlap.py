"""Judges that count shared words, ROUGE-L and BLEU, as the libraries that the field quotes do."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

from chexjax.judges.base import Judgement, check_pairs


@dataclasses.dataclass(frozen=True, kw_only=True)
class RougeL:
    """ROUGE-L F1 of each pair by `rouge-score`: lower case, words of a-z and 0-9, in 0..1.

    Attributes:
      stem: Compare words of four letters or more by their Porter stems.
    """

    stem: bool = True

    @property
    def name(self) -> str:
        """The metric and the variant that it is."""
        return f"ROUGE-L F1 (rouge-score, {'stemmed' if self.stem else 'not stemmed'})"

    @functools.cached_property
    def _scorer(self) -> Any:
        from rouge_score import rouge_scorer

        return rouge_scorer.RougeScorer(["rougeL"], use_stemmer=self.stem)

    def judge(self, references: Sequence[str], candidates: Sequence[str]) -> list[Judgement]:
        """One judgement a pair; details hold `precision` and `recall`.

        Raises:
          ValueError: The two differ in length, or a reference is empty.
        """
        check_pairs(references, candidates)
        found = (
            self._scorer.score(reference, candidate)["rougeL"]
            for reference, candidate in zip(references, candidates, strict=True)
        )
        return [
            Judgement(
                float(one.fmeasure),
                {"precision": float(one.precision), "recall": float(one.recall)},
            )
            for one in found
        ]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bleu:
    """BLEU by `sacrebleu` (13a tokens, exponential smoothing), in 0..1.

    BLEU is defined on a corpus. `judge` gives the sentence score with effective order, so that a
    report of fewer than `order` words is not 0 by definition; its mean over reports is another
    number than `corpus`, and neither is the BLEU of the COCO tools.

    Attributes:
      order: Longest n-gram counted.
      lowercase: Ignore case.
    """

    order: int = 4
    lowercase: bool = False

    @property
    def name(self) -> str:
        """The metric and the variant that it is."""
        return f"{self._named('sentence')}, effective order)"

    @property
    def corpus_name(self) -> str:
        """The metric that `corpus` gives, and its variant."""
        return f"{self._named('corpus')})"

    def _named(self, level: str) -> str:
        case = "lower case" if self.lowercase else "mixed case"
        return f"BLEU-{self.order} (sacrebleu, {level}, 13a, exp, {case}"

    def _metric(self, effective_order: bool) -> Any:
        from sacrebleu.metrics.bleu import BLEU

        return BLEU(
            max_ngram_order=self.order, lowercase=self.lowercase, effective_order=effective_order
        )

    def judge(self, references: Sequence[str], candidates: Sequence[str]) -> list[Judgement]:
        """One judgement a pair; details hold the n-gram `precisions` and `brevity_penalty`.

        Raises:
          ValueError: The two differ in length, or a reference is empty.
        """
        check_pairs(references, candidates)
        metric = self._metric(effective_order=True)
        found = (
            metric.sentence_score(candidate, [reference])
            for reference, candidate in zip(references, candidates, strict=True)
        )
        return [
            Judgement(
                one.score / 100,
                {
                    "precisions": [value / 100 for value in one.precisions],
                    "brevity_penalty": one.bp,
                },
            )
            for one in found
        ]

    def corpus(self, references: Sequence[str], candidates: Sequence[str]) -> float:
        """BLEU of all candidates together, from n-gram counts pooled over the reports.

        Raises:
          ValueError: The two differ in length, or a reference is empty.
        """
        check_pairs(references, candidates)
        metric = self._metric(effective_order=False)
        return float(metric.corpus_score(list(candidates), [list(references)]).score) / 100
