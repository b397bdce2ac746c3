"""Bootstrap over cases and readers at once: how far a result would move with others of both.

Readings are crossed: every reader meets many cases, every case many readers. Both are drawn with
replacement, each on its own (the pigeonhole bootstrap, Owen, 2007), which errs on the wide side.
Means are over readings, `f64[cases, readers]` with NaN where there is none.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from chexjax.evaluate.significance import Array, Interval, interval

RESAMPLES = 2000


@dataclasses.dataclass(frozen=True)
class Draws:
    """How often each case and each reader was drawn, `f64[N, cases]` and `f64[N, readers]`."""

    cases: Array
    readers: Array

    @classmethod
    def of(cls, cases: int, readers: int, *, seed: int, resamples: int = RESAMPLES) -> Draws:
        """Draws of so many cases and readers; row 0 is what was seen, each once."""
        rng = np.random.default_rng(seed)

        def counts(size: int) -> Array:
            drawn = rng.multinomial(size, np.full(size, 1 / size), size=resamples)
            return np.concatenate([np.ones((1, size)), drawn.astype(np.float64)])

        return cls(counts(cases), counts(readers))

    def mean(self, values: Array) -> Interval:
        """Mean over all readings, a reading weighted by its case's and its reader's count."""
        present = np.isfinite(values)
        over = np.einsum("nc,cr,nr->n", self.cases, np.nan_to_num(values), self.readers)
        return spread(_ratio(over, np.einsum("nc,cr,nr->n", self.cases, present, self.readers)))

    def reader_means(self, values: Array) -> Array:
        """Mean of each reader's readings, `f64[N, readers]`; NaN where a reader has none."""
        return _ratio(self.cases @ np.nan_to_num(values), self.cases @ np.isfinite(values))

    def case_means(self, values: Array) -> Array:
        """Mean of each case's readings, `f64[N, cases]`; NaN where a case has none."""
        return _ratio(self.readers @ np.nan_to_num(values).T, self.readers @ np.isfinite(values).T)


def spread(resampled: Array) -> Interval:
    """The value at the first place, with the middle 95 % of those behind it."""
    return interval(resampled[0], resampled[1:])


def weighted(values: Array, counts: Array) -> Array:
    """Mean along the last axis, `f64[N]`, of what is there, weighted by counts `f64[N, K]`."""
    present = np.isfinite(values)
    return _ratio((np.nan_to_num(values) * counts).sum(-1), (present * counts).sum(-1))


def _ratio(over: Array, under: Array) -> Array:
    return np.divide(over, under, out=np.full(over.shape, np.nan), where=under > 0)
