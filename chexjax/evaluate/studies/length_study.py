"""Length exploitation: is a score fed with words, and with words that were said before?

Two ratios of length go by one name in the literature and are kept apart here: against the
reference report of the same study, and against the baseline's mean.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from chexjax.evaluate import plots
from chexjax.evaluate.cells import cell, share
from chexjax.evaluate.metrics import Evaluation, SystemResult
from chexjax.evaluate.significance import (
    Array,
    Interval,
    interval,
    mean_intervals,
    resampled_means,
)
from chexjax.page import Html, figure, grid, join, stacked, tag
from chexjax.page import table as html_table

NGRAM = 4
"""Words of the n-grams whose repetition is counted."""

EDGES = (0.5, 0.8, 1.0, 1.25, 1.5)
"""Bounds of the bins of length, in words over those of the reference."""

LEAD = (
    "A judge that counts matched findings can be fed with words. If a gain came from longer "
    "reports, it would show here: points would move right, and the LC score would not follow."
)

TERMS = (
    "Rank correlation: Spearman's, of score and words over those of the reference; a judge that "
    "pays for words shows as one well above zero. LC drop: what of the mean score division by "
    f"excess length takes away. Repeated {NGRAM}-grams: share of all runs of {NGRAM} words "
    "that stood in the same report before. Small figures: 95 % intervals over studies."
)


_PICTURE = "One point a report; lines are means of six equally large groups by length."


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lengths:
    """How one system's score hangs on length.

    Attributes:
      words: Mean words a report.
      to_reference: Mean over reports of words over those of the study's reference.
      to_baseline: Mean words over the baseline's mean words; None of the baseline.
      correlation: Spearman's, of score and `to_reference`; NaN where either is constant.
      drop: Share of the mean score that division by excess length takes away.
      repeated: Share of n-grams that a report has said before, over all reports.
      bins: Of each bin of `EDGES`, how many reports it has, and their mean score.
    """

    system: str
    words: Interval
    to_reference: Interval
    to_baseline: Interval | None
    correlation: Interval
    drop: Interval
    repeated: Interval
    bins: tuple[tuple[int, Interval], ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LengthStudy:
    """All systems, and how much the references repeat themselves."""

    systems: tuple[Lengths, ...]
    reference_words: Interval
    reference_repeated: Interval


def length_study(evaluation: Evaluation) -> LengthStudy:
    """Works out the study from scores and texts."""
    seed = evaluation.seed
    sizes = np.array([max(len(text.split()), 1) for text in evaluation.references], np.float64)
    base = evaluation.baseline
    return LengthStudy(
        systems=tuple(_lengths(one, base, sizes, seed) for one in evaluation.systems),
        reference_words=mean_intervals({"words": sizes}, seed=seed)["words"],
        reference_repeated=repetition(evaluation.references, seed=seed),
    )


def _lengths(system: SystemResult, base: SystemResult, sizes: Array, seed: int) -> Lengths:
    words, score = system.columns["words"], system.columns["score"]
    ratio = words / sizes
    beside = None if system is base else ratio_of_means(words, base.columns["words"], seed=seed)
    places = np.digitize(ratio, EDGES, right=True)
    return Lengths(
        system=system.name,
        words=system.means["words"],
        to_reference=mean_intervals({"x": ratio}, seed=seed)["x"],
        to_baseline=beside,
        correlation=rank_correlation(score, ratio, seed=seed),
        drop=lc_drop(system.columns["lc_score"], score, seed=seed),
        repeated=repetition(system.reports, seed=seed),
        bins=tuple(_bin(score[places == k], seed) for k in range(len(EDGES) + 1)),
    )


def _bin(score: Array, seed: int) -> tuple[int, Interval]:
    nothing = Interval(float("nan"), float("nan"), float("nan"))
    found = mean_intervals({"x": score}, seed=seed)["x"] if len(score) else nothing
    return len(score), found


def ratio_of_means(over: Array, under: Array, *, seed: int) -> Interval:
    """Mean of one column over that of another, `f64[B]` each; NaN where the latter is 0."""
    values = np.stack([over, under], axis=1)
    means = np.concatenate([values.mean(0)[None], resampled_means(values, seed=seed)])
    undefined = np.full(len(means), np.nan)
    found = np.divide(means[:, 0], means[:, 1], out=undefined, where=means[:, 1] != 0)
    return interval(found[0], found[1:])


def lc_drop(controlled: Array, score: Array, *, seed: int) -> Interval:
    """Share of a mean score that control of excess length takes away; a negative one grows."""
    kept = ratio_of_means(controlled, score, seed=seed)
    if score.mean() < 0:
        return Interval(kept.mean - 1, kept.low - 1, kept.high - 1)
    return Interval(1 - kept.mean, 1 - kept.high, 1 - kept.low)


def rank_correlation(x: Array, y: Array, *, seed: int) -> Interval:
    """Spearman's correlation of two columns `f64[B]`; ranks are those in the whole sample."""
    from scipy.stats import rankdata  # a second to import, and few need it

    ranks = np.stack([rankdata(x), rankdata(y)], axis=1) - (len(x) + 1) / 2
    a, b = ranks.T
    moments = np.stack([a, b, a * b, a * a, b * b], axis=1)
    means = np.concatenate([moments.mean(0)[None], resampled_means(moments, seed=seed)])
    ma, mb, ab, aa, bb = means.T
    spread = np.sqrt(np.maximum((aa - ma**2) * (bb - mb**2), 0))
    undefined = np.full(len(spread), np.nan)
    found = np.divide(ab - ma * mb, spread, out=undefined, where=spread > 1e-9)
    return interval(found[0], found[1:])


def repetition(reports: Sequence[str], *, seed: int) -> Interval:
    """Share of n-grams that stood in the same report before, of those of all reports together."""
    counts = np.array([repeats(report) for report in reports], np.float64)
    return ratio_of_means(counts[:, 0], counts[:, 1], seed=seed)


def repeats(report: str, n: int = NGRAM) -> tuple[int, int]:
    """How many of a report's n-grams of words were there before, and how many it has."""
    words = report.lower().split()
    found = [tuple(words[k : k + n]) for k in range(len(words) - n + 1)]
    return len(found) - len(set(found)), len(found)


def show(study: LengthStudy, evaluation: Evaluation) -> Html:
    """The score by length, in a picture and a table, and a table of how it hangs on length."""
    rows: Mapping[str, list[str]] = {
        "Words, mean": [cell(one.words, 1) for one in study.systems],
        "\u00f7 words of the reference": [cell(one.to_reference, 2) for one in study.systems],
        f"\u00f7 words of {study.systems[0].system}": [
            cell(one.to_baseline, 2) if one.to_baseline else "1" for one in study.systems
        ],
        "Rank correlation": [cell(one.correlation, 2) for one in study.systems],
        "LC drop": [share(one.drop) for one in study.systems],
        f"Repeated {NGRAM}-grams": [share(one.repeated) for one in study.systems],
    }
    beside = [cell(study.reference_words, 1), "1", "", "", "", share(study.reference_repeated)]
    names = [one.system for one in study.systems]
    table = [[name, *cells, end] for (name, cells), end in zip(rows.items(), beside, strict=True)]
    bins = [
        [name, *(_binned(*one.bins[k]) for one in study.systems)]
        for k, name in enumerate(_bin_names())
    ]
    by_length = html_table(["Words \u00f7 reference", *(f"{n}: score" for n in names)], bins)
    return join(
        [
            grid(figure(plots.score_against_length(evaluation), _PICTURE), by_length),
            html_table(["Length", *names, "Reference"], table),
            tag("p", TERMS, class_="note"),
        ]
    )


def _bin_names() -> list[str]:
    between = [f"{a:g} to {b:g}" for a, b in zip(EDGES, EDGES[1:], strict=False)]
    return [f"up to {EDGES[0]:g}", *between, f"over {EDGES[-1]:g}"]


def _binned(count: int, score: Interval) -> Html:
    return stacked(score.value(), f"{count:,} reports") if count else Html("-")
