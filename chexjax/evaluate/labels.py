"""F1 per CheXbert label: do the reports name the conditions that the references name?"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from chexjax.data.chexpert_labels import CHEXPERT_14
from chexjax.evaluate.significance import Array, Interval, interval, resampled_means
from chexjax.judges import Labeling, label_f1


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabelScores:
    """F1 of one system over the labels, in the order of `names`.

    Attributes:
      support: References that have the label.
      predicted: Reports that have it.
      f1: NaN where no reference has the label.
      macro: Mean of `f1` over labels that some reference has.
      micro: F1 of all labels' counts together.
      labeler: Who read the labels.
      averages: The averages that papers quote, as scikit-learn defines them; see `label_f1`.
      draws: Of `macro` and `micro`, the value in each bootstrap draw, `f64[RESAMPLES]`.
    """

    names: tuple[str, ...]
    support: tuple[int, ...]
    predicted: tuple[int, ...]
    f1: tuple[Interval, ...]
    macro: Interval
    micro: Interval
    labeler: str
    averages: Mapping[str, Interval]
    draws: Mapping[str, Array]


def label_scores(
    references: Sequence[str],
    reports: Sequence[str],
    labeling: Labeling,
    *,
    seed: int,
) -> LabelScores:
    """Reads both sides with the same labeler and counts, with intervals over studies."""
    rows = label_f1.counted(*labeling.present(references, reports))
    means = resampled_means(rows, seed=seed)
    resampled, totals = _counts(means), _counts(rows.sum(0, keepdims=True))
    each, each_resampled = _f1(totals), _f1(resampled)
    pooled = _f1(resampled.sum(-1, keepdims=True))[:, 0]
    draws = {"macro": _mean(each_resampled), "micro": pooled}
    return LabelScores(
        names=CHEXPERT_14,
        support=tuple(int(n) for n in totals[0, 1]),
        predicted=tuple(int(n) for n in totals[0, 2]),
        f1=tuple(interval(each[0, k], each_resampled[:, k]) for k in range(len(CHEXPERT_14))),
        macro=interval(_mean(each)[0], draws["macro"]),
        micro=interval(_f1(totals.sum(-1, keepdims=True))[0, 0], draws["micro"]),
        labeler=f"{labeling.name}, uncertain {labeling.uncertain}",
        averages=_averages(rows.mean(0, keepdims=True), means),
        draws=draws,
    )


def _counts(rows: Array) -> Array:
    """Hits, labels and claims, `[R, 3, L]`."""
    return rows[:, : 3 * len(CHEXPERT_14)].reshape(-1, 3, len(CHEXPERT_14))


def _averages(means: Array, resampled: Array) -> dict[str, Interval]:
    point, draws = label_f1.averages(means), label_f1.averages(resampled)
    return {name: interval(float(value[0]), draws[name]) for name, value in point.items()}


def _f1(counts: Array) -> Array:
    """F1 `[R, L]` from hits, positives and claims `[R, 3, L]`; NaN where nothing is positive."""
    hits, positives, claims = counts[:, 0], counts[:, 1], counts[:, 2]
    undefined = np.full_like(hits, np.nan)
    return np.divide(2 * hits, positives + claims, out=undefined, where=positives > 0)


def _mean(each: Array) -> Array:
    """Mean over labels `[R]` of those that are defined; NaN where none is."""
    defined = np.isfinite(each)
    total = np.where(defined, each, 0).sum(-1)
    mean = np.full_like(total, np.nan)
    np.divide(total, defined.sum(-1), out=mean, where=defined.any(-1))
    return mean
