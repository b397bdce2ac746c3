"""How far raters agree beyond chance, for ratings in unordered categories.

Ratings are `i64[cases, raters]`, categories counted from 0, with -1 where a rater gave none. All
of these are 1 where everybody agrees and 0 where agreement is that of chance; they are NaN where
only one category was ever used, since chance then explains everything.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ratings = NDArray[np.int64]


def cohen(one: Ratings, other: Ratings) -> float:
    """Kappa of two raters (Cohen, 1960) on the cases that both have rated.

    Args:
      one: `i64[cases]` of the first.
      other: `i64[cases]` of the second.
    """
    both = (one >= 0) & (other >= 0)
    one, other = one[both], other[both]
    if not len(one):
        return float("nan")
    count = int(max(one.max(), other.max())) + 1
    shares = [np.bincount(ratings, minlength=count) / len(ratings) for ratings in (one, other)]
    return _beyond(float((one == other).mean()), float(shares[0] @ shares[1]))


def fleiss(ratings: Ratings) -> float:
    """Kappa of any number of raters (Fleiss, 1971), on the cases that all of them have rated."""
    counts = _counts(ratings[(ratings >= 0).all(axis=1)])
    raters = ratings.shape[1]
    if not len(counts) or raters < 2:
        return float("nan")
    agreeing = (counts * (counts - 1)).sum(1) / (raters * (raters - 1))
    shares = counts.sum(0) / counts.sum()
    return _beyond(float(agreeing.mean()), float(shares @ shares))


def krippendorff(ratings: Ratings) -> float:
    """Alpha for nominal data (Krippendorff, 2011), which takes every case with two raters or more.

    With few ratings its chance is that of drawing without putting back.
    """
    counts = _counts(ratings)
    counts = counts[counts.sum(1) >= 2]
    if not len(counts):
        return float("nan")
    each, total = counts.sum(1), counts.sum(0)
    # Pairs of equal ratings, within a case weighted by 1 / (ratings of the case - 1).
    observed = float(((counts * (counts - 1)).sum(1) / (each - 1)).sum() / each.sum())
    expected = float((total * (total - 1)).sum() / (total.sum() * (total.sum() - 1)))
    return _beyond(observed, expected)


def _counts(ratings: Ratings) -> NDArray[np.float64]:
    """How many raters gave each category, `f64[cases, categories]`."""
    categories = np.arange(max(int(ratings.max(initial=0)), 0) + 1)
    return (ratings[:, :, None] == categories).sum(1).astype(np.float64)


def _beyond(observed: float, expected: float) -> float:
    return (observed - expected) / (1 - expected) if expected < 1 else float("nan")
