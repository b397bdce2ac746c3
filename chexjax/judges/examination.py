"""How well a judge agrees with the counts that are known to be right."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from chexjax.judges.answer import CATEGORIES
from chexjax.judges.base import Judgement
from chexjax.judges.overlap import Rouge


def examine(
    references: Sequence[str],
    candidates: Sequence[str],
    truths: Sequence[Judgement],
    verdicts: Sequence[Judgement],
) -> dict[str, Any]:
    """Compares a judge's verdicts with true ones.

    Args:
      references: Of each pair.
      candidates: Of each pair.
      truths: What is right.
      verdicts: What the judge said, with `well_formed` in its details.

    Returns:
      `pairs`, `well_formed` (share of answers), Kendall's `tau` of the scores, `error` (mean of
      the absolute differences of scores) and `exact` (share of equal scores), all three of the
      answers that can be read; `tau_length` and `tau_rouge_l`, of the candidate's number of words
      and of ROUGE-L in the place of a judge; and what `by_category` says.
    """
    readable = np.asarray([bool(v.details["well_formed"]) for v in verdicts])
    true, said = (np.asarray([j.score for j in judged]) for judged in (truths, verdicts))
    words = [len(candidate.split()) for candidate in candidates]
    rouge = [found.score for found in Rouge().judge(references, candidates)]
    kept = [(t, v) for t, v, fits in zip(truths, verdicts, readable, strict=True) if fits]
    return {
        "pairs": len(true),
        "well_formed": float(readable.mean()),
        "tau": tau(true[readable], said[readable]),
        "error": _mean(abs(true - said)[readable]),
        "exact": _mean(np.isclose(true, said)[readable]),
        "tau_length": tau(true, words),
        "tau_rouge_l": tau(true, rouge),
        "categories": by_category([t for t, _ in kept], [v for _, v in kept]),
    }


def tau(one: Sequence[float] | np.ndarray, other: Sequence[float] | np.ndarray) -> float:
    """Kendall's tau-b; 0 where one of the two is the same everywhere."""
    from scipy.stats import kendalltau  # a second to import, and few need it

    value = float(kendalltau(one, other).statistic) if len(one) > 1 else math.nan
    return 0.0 if math.isnan(value) else value


def by_category(
    truths: Sequence[Judgement], verdicts: Sequence[Judgement]
) -> dict[str, dict[str, float]]:
    """Counts by kind: `matched`, `a` to `f`, and `insignificant` for all of those together.

    Returns:
      For each kind `true` and `said` (how many there are), `precision` and `recall` of the counts
      (the smaller of both, summed, over what was said and what is true; 1 where there is none),
      and `agreement`, the share of pairs with equal counts.
    """
    found = {}
    for name in ("matched", *CATEGORIES, "insignificant"):
        true, said = (
            np.asarray([_count(j, name) for j in judged]) for judged in (truths, verdicts)
        )
        both = np.minimum(true, said).sum()
        found[name] = {
            "true": int(true.sum()),
            "said": int(said.sum()),
            "precision": float(both / said.sum()) if said.sum() else 1.0,
            "recall": float(both / true.sum()) if true.sum() else 1.0,
            "agreement": _mean(true == said),
        }
    return found


def _count(judged: Judgement, name: str) -> int:
    details = judged.details
    if name == "matched":
        return int(details["matched"])
    if name == "insignificant":
        return int(sum(details["insignificant"].values()))
    return int(details["significant"][name])


def _mean(values: Iterable[Any] | np.ndarray) -> float:
    array = np.asarray(values, np.float64)
    return float(array.mean()) if array.size else 0.0
