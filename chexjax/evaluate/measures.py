"""Measures of a system as functions of means over studies, so that draws, swaps and slices agree.

Of a column the mean is the measure; F1 of all reports is a ratio of the means of their counts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from chexjax.config import nearest
from chexjax.evaluate import labels
from chexjax.evaluate.metrics import Evaluation, SystemResult
from chexjax.evaluate.significance import Array, resampled_means
from chexjax.judges import label_f1

LENGTHS = frozenset({"words", "over_long"})
"""Columns of an evaluation that say how long a report is, not how good."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """Some measures of one system.

    Attributes:
      names: The M measures.
      columns: Those of them that are columns.
      rows: What means are taken of, `f64[B, K]`: the columns, then the counts of labels where a
        measure is made of them.
    """

    names: tuple[str, ...]
    columns: tuple[str, ...]
    rows: Array

    def values(self, means: Array) -> Array:
        """The measures `f64[R, M]` of means of `rows`, `f64[R, K]`."""
        found = dict(zip(self.columns, means.T, strict=False))
        if len(self.names) > len(self.columns):
            found |= labels.measures(means[:, len(self.columns) :])
        return np.stack([found[name] for name in self.names], axis=-1)

    def draws(self, seed: int) -> Array:
        """The measures `f64[1 + RESAMPLES, M]`: as seen in row 0, in draws of the studies below."""
        means = resampled_means(self.rows, seed=seed)
        return self.values(np.concatenate([self.rows.mean(0)[None], means]))


def measured(system: SystemResult, names: Sequence[str]) -> Measured:
    """Takes some measures of a system: columns, and those of `labels.MEASURES` if it has labels."""
    columns = [name for name in names if name not in labels.MEASURES]
    rows = [system.columns[name][:, None] for name in columns]
    if len(columns) < len(names):
        assert system.labels is not None
        rows.append(system.labels.counted)
    return Measured(names=tuple(names), columns=tuple(columns), rows=np.concatenate(rows, axis=1))


def quality_columns(evaluation: Evaluation) -> list[str]:
    """Columns with one value a study that say how good a report is."""
    return [name for name in evaluation.test.columns if name not in LENGTHS]


def check_measures(asked: Sequence[str], columns: Sequence[str], *, labelled: bool) -> None:
    """Finds a measure that nobody makes.

    Args:
      asked: Names of measures.
      columns: Columns of quality that an evaluation has.
      labelled: Whether labels are read from its reports.

    Raises:
      ValueError: one of those asked for is not measured.
    """
    known = [*columns, *(labels.MEASURES if labelled else ())]
    if unknown := [name for name in asked if name not in known]:
        raise ValueError(f"{unknown[0]!r} is not measured{nearest(unknown[0], known)}")


def looked_at(evaluation: Evaluation, asked: Sequence[str]) -> list[str]:
    """The measures to look at slices and other sources by.

    Without any asked for: the score, the run's metrics, and the mean of four F1 where reports were
    labelled.

    Raises:
      ValueError: one of those asked for was not measured.
    """
    check_against(evaluation, asked)
    columns = [name for name in quality_columns(evaluation) if name != "lc_score"]
    labelled = evaluation.baseline.labels is not None
    return list(asked) or [*columns, *([label_f1.MEAN_OF_FOUR] if labelled else [])]


def check_against(evaluation: Evaluation, asked: Sequence[str]) -> None:
    """Finds a measure that an evaluation does not have.

    Raises:
      ValueError: one of those asked for was not measured.
    """
    labelled = evaluation.baseline.labels is not None
    check_measures(asked, quality_columns(evaluation), labelled=labelled)
