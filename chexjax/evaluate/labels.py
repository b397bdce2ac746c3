"""F1 per CheXbert label: do the reports name the conditions that the references name?"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from chexjax.data.chexpert_labels import CHEXPERT_14
from chexjax.evaluate.significance import Array, Interval, interval, resampled_means
from chexjax.judges import Labeling, label_f1

HEADLINE = (
    *(f"{name}_{average}" for name in label_f1.SETS for average in ("micro", "macro")),
    label_f1.MEAN_OF_FOUR,
)
"""The averages that papers lead with."""

MEASURES = (
    "macro_f1",
    "micro_f1",
    *(f"{name}_{average}" for name in label_f1.SETS for average in label_f1.AVERAGES),
    label_f1.MEAN_OF_FOUR,
    label_f1.EXACT_5,
)
"""All that `measures` makes of counts."""


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
      counted: What all of them are made of, one row a study, `f64[B, 45]`; see `label_f1`.
    """

    names: tuple[str, ...]
    support: tuple[int, ...]
    predicted: tuple[int, ...]
    f1: tuple[Interval, ...]
    macro: Interval
    micro: Interval
    labeler: str
    averages: Mapping[str, Interval]
    counted: Array


def label_scores(
    references: Sequence[str],
    reports: Sequence[str],
    labeling: Labeling,
    *,
    seed: int,
) -> LabelScores:
    """Reads both sides with the same labeler and counts, with intervals over studies."""
    rows = label_f1.counted(*labeling.present(references, reports))
    means, resampled = rows.mean(0, keepdims=True), resampled_means(rows, seed=seed)
    point, draws = measures(means), measures(resampled)
    found = {name: interval(float(value[0]), draws[name]) for name, value in point.items()}
    each, each_resampled = _f1(_counts(means)), _f1(_counts(resampled))
    _, support, predicted = _counts(rows.sum(0, keepdims=True))[0].astype(int).tolist()
    return LabelScores(
        names=CHEXPERT_14,
        support=tuple(support),
        predicted=tuple(predicted),
        f1=tuple(interval(each[0, k], each_resampled[:, k]) for k in range(len(CHEXPERT_14))),
        macro=found.pop("macro_f1"),
        micro=found.pop("micro_f1"),
        labeler=f"{labeling.name}, uncertain {labeling.uncertain}",
        averages=found,
        counted=rows,
    )


def measures(means: Array) -> dict[str, Array]:
    """All of `MEASURES`, `f64[R]` each, of means over studies of counts, `f64[R, 45]`."""
    counts = _counts(means)
    own = {"macro_f1": _mean(_f1(counts)), "micro_f1": _f1(counts.sum(-1, keepdims=True))[:, 0]}
    return own | label_f1.averages(means)


def _counts(rows: Array) -> Array:
    """Hits, labels and claims, `[R, 3, L]`."""
    return rows[:, : 3 * len(CHEXPERT_14)].reshape(-1, 3, len(CHEXPERT_14))


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
