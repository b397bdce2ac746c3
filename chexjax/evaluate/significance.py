"""Paired bootstrap: how far a mean, or a difference of means, would move on other studies."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

RESAMPLES = 10_000
_CELLS = 4_000_000
"""Most study draws held at once (32 MB as counts); more are made in parts."""


@dataclasses.dataclass(frozen=True)
class Interval:
    """A value and its 95 % percentile interval."""

    mean: float
    low: float
    high: float

    @property
    def sign(self) -> int:
        """1 or -1 where the whole interval lies above or below zero, else 0."""
        return int(self.low > 0) - int(self.high < 0)

    def apart(self, other: Interval) -> bool:
        """Whether the two intervals do not touch."""
        return self.low > other.high or other.low > self.high

    def value(self, digits: int = 3, *, signed: bool = False) -> str:
        """The value as text, `-` where it is not defined."""
        return number(self.mean, digits, signed=signed)

    def span(self, digits: int = 3, *, signed: bool = False) -> str:
        """The ends as text: `0.48 to 0.54`."""
        ends = (number(end, digits, signed=signed) for end in (self.low, self.high))
        return " to ".join(ends)


def number(value: float, digits: int = 3, *, signed: bool = False) -> str:
    """A number for people: a real minus sign, and `-` where there is none."""
    if not np.isfinite(value):
        return "-"
    rounded = round(value, digits) + 0.0  # turns -0.0 into 0.0
    return f"{rounded:{'+' if signed else ''}.{digits}f}".replace("-", "\u2212")


def resampled_means(values: Array, *, seed: int, resamples: int = RESAMPLES) -> Array:
    """Means of columns over studies drawn with replacement, the same draws for every column.

    Args:
      values: `f64[B, K]`, one row a study.
      seed: Seed of the draws; the same seed and B give the same studies.
      resamples: How many times B studies are drawn.

    Returns:
      `f64[resamples, K]`.
    """
    studies = len(values)
    rng = np.random.default_rng(seed)
    parts = []
    for start in range(0, resamples, size := max(1, _CELLS // studies)):
        rows = min(size, resamples - start)
        drawn = rng.integers(studies, size=(rows, studies))
        drawn += studies * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * studies).reshape(rows, studies)
        parts.append(counts.astype(np.float64) @ values / studies)
    return np.concatenate(parts)


def interval(point: float, resampled: Array) -> Interval:
    """The value with the middle 95 % of its resamples, `f64[resamples]`; NaN is left out."""
    finite = resampled[np.isfinite(resampled)]
    if not finite.size:
        return Interval(float(point), float("nan"), float("nan"))
    low, high = np.percentile(finite, [2.5, 97.5])
    return Interval(float(point), float(low), float(high))


def mean_intervals(
    columns: Mapping[str, Array], *, seed: int, resamples: int = RESAMPLES
) -> dict[str, Interval]:
    """Mean of each column, `f64[B]` with one value a study, with its interval.

    A paired difference is a column too: `{"gain": a - b}`.
    """
    values = np.stack(list(columns.values()), axis=1)
    means = resampled_means(values, seed=seed, resamples=resamples)
    points = values.mean(0)
    return {name: interval(points[k], means[:, k]) for k, name in enumerate(columns)}
