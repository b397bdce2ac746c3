"""Paired bootstrap and randomisation: what a mean, or a difference of means, says of other studies.

Intervals are the bootstrap's. A family of comparisons is tested together: p-values of either kind,
adjusted by Holm's steps.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

RESAMPLES = 10_000
_CELLS = 4_000_000
"""Most study draws held at once (32 MB as counts); more are made in parts."""
_EQUAL = 1e-12
"""Means that differ by no more are taken for equal: a sum's last bits depend on its order."""


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

    @property
    def percent(self) -> Interval:
        """Of a share: the same in per cent."""
        return Interval(100 * self.mean, 100 * self.low, 100 * self.high)

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

    def text(self, digits: int = 3, *, unit: str = "") -> str:
        """Both in one line: `0.51 (0.48 to 0.54)`."""
        return f"{self.value(digits)}{unit} ({self.span(digits)})"


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


def bootstrap_p(gaps: Array, *, seed: int, resamples: int = RESAMPLES) -> Array:
    """Two-sided p that a mean is 0, by draws of studies centred on 0 (Efron and Tibshirani, 1993).

    Args:
      gaps: `f64[B, K]`, a column for each paired difference, one row a study.
      seed: Seed of the draws, the same for all columns.
      resamples: Draws; the smallest p is 1 / (resamples + 1).

    Returns:
      `f64[K]`.
    """
    return drawn_p(gaps.mean(0), resampled_means(gaps, seed=seed, resamples=resamples))


def drawn_p(seen: Array, drawn: Array) -> Array:
    """The same p of any difference: the share of draws that are as far from it as it is from 0.

    Args:
      seen: The differences, `f64[K]`.
      drawn: Those in each draw of the studies, `f64[R, K]`.

    Returns:
      `f64[K]`.
    """
    reached = (np.abs(drawn - seen) >= np.abs(seen) - _EQUAL).sum(0)
    return _tail(reached, len(drawn))


def randomisation_p(gaps: Array, *, seed: int, trials: int = RESAMPLES) -> Array:
    """Two-sided p that it does not matter which system wrote what (Noreen, 1989).

    In each trial every study's two reports change places or not, by a coin of its own, the same in
    all columns. With few studies all ways to do so are counted, and p is exact.

    Args:
      gaps: `f64[B, K]`, a column for each paired difference, one row a study.
      seed: Seed of the coins.
      trials: Trials; the smallest p is 1 / (trials + 1).

    Returns:
      `f64[K]`.
    """
    return swapped_p(gaps, np.zeros_like(gaps), lambda means: means, seed=seed, trials=trials)


def swapped_p(
    of: Array,
    minus: Array,
    measure: Callable[[Array], Array],
    *,
    seed: int,
    trials: int = RESAMPLES,
) -> Array:
    """The same p for measures that are functions of means over studies, as F1 is.

    Args:
      of: What the means are taken of, of one system, `f64[B, K]`.
      minus: The same of the other.
      measure: Measures `f64[R, M]` of means `f64[R, K]`.
      seed: Seed of the coins.
      trials: Trials; the smallest p is 1 / (trials + 1).

    Returns:
      `f64[M]`.
    """
    studies = len(of)
    middle, half = (of + minus).mean(0) / 2, (of - minus) / (2 * studies)

    def gaps(signs: Array) -> Array:
        moved = signs @ half
        return np.abs(measure(middle + moved) - measure(middle - moved))

    least = gaps(np.ones((1, studies))) - _EQUAL
    if 2**studies <= trials:
        codes = np.arange(2**studies)[:, None] >> np.arange(studies)
        return np.asarray((gaps(1.0 - 2.0 * (codes & 1).astype(np.float64)) >= least).mean(0))
    rng, reached = np.random.default_rng(seed), np.zeros(least.shape[1])
    for start in range(0, trials, size := max(1, _CELLS // studies)):
        coins = rng.integers(2, size=(min(size, trials - start), studies), dtype=np.int8)
        reached += (gaps(1.0 - 2.0 * coins.astype(np.float64)) >= least).sum(0)
    return _tail(reached, trials)


def _tail(reached: Array, trials: int) -> Array:
    """Share of trials that reached what was seen, which itself counts as one."""
    return (reached + 1.0) / (trials + 1.0)


def holm(ps: Sequence[float]) -> list[float]:
    """P-values of a family, adjusted to bound the chance of any false finding (Holm, 1979).

    The smallest is multiplied by their number, the next by one less, and so on; none becomes less
    than one before it, none more than 1. A p that is not a number stays so and is not counted.
    """
    order = sorted((k for k, p in enumerate(ps) if not math.isnan(p)), key=lambda k: ps[k])
    adjusted = [math.nan] * len(ps)
    least = 0.0
    for rank, k in enumerate(order):
        least = adjusted[k] = min(1.0, max(least, (len(order) - rank) * ps[k]))
    return adjusted


def chance(p: float) -> str:
    """A p-value for people."""
    return "-" if math.isnan(p) else "< 0.001" if p < 0.001 else number(p)
