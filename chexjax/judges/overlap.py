"""Judges that count shared words, ROUGE and BLEU, as the libraries that the field quotes do."""

from __future__ import annotations

import abc
import collections
import dataclasses
import functools
import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np

from chexjax.judges.base import Judgement, check_pairs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rouge:
    """ROUGE F1 of each pair by `rouge-score`: lower case, words of a-z and 0-9, in 0..1.

    Attributes:
      of: What both sides must share: "1" words, "2" pairs of words that follow each other, "L"
        their longest common subsequence.
      stem: Compare words of four letters or more by their Porter stems.
    """

    of: Literal["1", "2", "L"] = "L"
    stem: bool = True

    @property
    def name(self) -> str:
        """The metric and the variant that it is."""
        return f"ROUGE-{self.of} F1 (rouge-score, {'stemmed' if self.stem else 'not stemmed'})"

    @functools.cached_property
    def _scorer(self) -> Any:
        from rouge_score import rouge_scorer

        return rouge_scorer.RougeScorer([f"rouge{self.of}"], use_stemmer=self.stem)

    def judge(self, references: Sequence[str], candidates: Sequence[str]) -> list[Judgement]:
        """One judgement a pair; details hold `precision` and `recall`.

        Raises:
          ValueError: The two differ in length, or a reference is empty.
        """
        check_pairs(references, candidates)
        found = (
            self._scorer.score(reference, candidate)[f"rouge{self.of}"]
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
class _AnyBleu(abc.ABC):
    """What both BLEUs have: settings, and a name for the value of a report and of a corpus."""

    order: int = 4
    lowercase: bool = False

    @property
    def name(self) -> str:
        """The metric and the variant that it is."""
        return self._named("sentence")

    @property
    def corpus_name(self) -> str:
        """The metric that `corpus` gives, and its variant."""
        return self._named("corpus")

    @property
    def _case(self) -> str:
        return "lower case" if self.lowercase else "mixed case"

    @abc.abstractmethod
    def _named(self, level: str) -> str: ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bleu(_AnyBleu):
    """BLEU by `sacrebleu` (13a tokens, exponential smoothing), in 0..1.

    BLEU is defined on a corpus. `judge` gives the sentence score with effective order, so that a
    report of fewer than `order` words is not 0 by definition; its mean over reports is another
    number than `corpus`, and neither is the BLEU of the COCO tools.

    Attributes:
      order: Longest n-gram counted.
      lowercase: Ignore case.
    """

    def _named(self, level: str) -> str:
        more = ", effective order" if level == "sentence" else ""
        return f"BLEU-{self.order} (sacrebleu, {level}, 13a, exp, {self._case}{more})"

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


_TINY, _SMALL = 1e-15, 1e-9  # what the COCO tools add to counts, and to what they divide by


@dataclasses.dataclass(frozen=True, kw_only=True)
class CocoBleu(_AnyBleu):
    """BLEU as the COCO caption tools compute it, in 0..1: split at white space, not smoothed.

    Case and attached punctuation count, as where no tokenizer is run before. An order without any
    match leaves next to nothing of a report's score, and so does one that the report is too short
    for; the corpus value pools the counts of all reports.

    Attributes:
      order: Longest n-gram counted.
      lowercase: Ignore case.
    """

    def _named(self, level: str) -> str:
        return f"BLEU-{self.order} (COCO tools, {level}, white space, no smoothing, {self._case})"

    def judge(self, references: Sequence[str], candidates: Sequence[str]) -> list[Judgement]:
        """One judgement a pair; details hold the n-gram `precisions` and `brevity_penalty`.

        Raises:
          ValueError: The two differ in length, or a reference is empty.
        """
        return [self._judgement(counts) for counts in self._counts(references, candidates)]

    def corpus(self, references: Sequence[str], candidates: Sequence[str]) -> float:
        """BLEU of all candidates together, from n-gram counts pooled over the reports.

        Raises:
          ValueError: The two differ in length, or a reference is empty.
        """
        return self._judgement(np.sum(self._counts(references, candidates), axis=0)).score

    def _counts(self, references: Sequence[str], candidates: Sequence[str]) -> list[np.ndarray]:
        """Of each pair: matches and n-grams of each order, the order 0 for words, `f64[2, N + 1]`.

        The words of a reference stand in the place of matches of order 0.
        """
        check_pairs(references, candidates)
        return [self._counted(*pair) for pair in zip(references, candidates, strict=True)]

    def _counted(self, reference: str, candidate: str) -> np.ndarray:
        texts = (reference, candidate)
        wanted, said = ((t.lower() if self.lowercase else t).split() for t in texts)
        counts = np.zeros((2, self.order + 1))
        counts[:, 0] = len(wanted), len(said)
        for n in range(1, self.order + 1):
            ours = _ngrams(said, n)
            counts[:, n] = (ours & _ngrams(wanted, n)).total(), ours.total()
        return counts

    def _judgement(self, counts: np.ndarray) -> Judgement:
        (wanted, *matches), (said, *grams) = counts.tolist()
        ratio = (said + _TINY) / (wanted + _SMALL)
        penalty = math.exp(min(0.0, 1 - 1 / ratio))
        precisions = [(m + _TINY) / (g + _SMALL) for m, g in zip(matches, grams, strict=True)]
        score = math.prod(precisions) ** (1 / self.order) * penalty
        return Judgement(score, {"precisions": precisions, "brevity_penalty": penalty})


def _ngrams(words: Sequence[str], n: int) -> collections.Counter[tuple[str, ...]]:
    shifted: Iterable[Sequence[str]] = (words[k:] for k in range(n))
    return collections.Counter(zip(*shifted, strict=False))
