"""Average gain: how much higher than the baseline a system is over a set of measures.

CheXalign's first abstract gives one number for six of them. It does not say whether means were
averaged before or after they were compared; here each measure's relative gain counts the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from chexjax.evaluate.cells import PER_CENT, cell
from chexjax.evaluate.measures import check_against, measured, quality_columns
from chexjax.evaluate.metrics import Evaluation, SystemResult
from chexjax.evaluate.significance import Array, Interval, interval
from chexjax.evaluate.table import title
from chexjax.page import Html, join, stacked, tag
from chexjax.page import table as html_table

LEAD = (
    "How much higher than the baseline's each mean is, in per cent of it, and the plain mean of "
    "these gains over the measures named here. Small figures: 95 % intervals, the same draws of "
    "the studies for all measures. A gain on a mean that is not above zero is not defined, and "
    "such a measure is left out unless it is asked for."
)
AVERAGE = "Average gain"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gain:
    """What one system gained on the baseline, in per cent.

    Attributes:
      each: Measure -> mean of `of` over that of `minus`, less 1.
      average: Mean of `each`.
      left_out: Measures that would count, had the baseline's mean been above zero.
    """

    of: str
    minus: str
    each: Mapping[str, Interval]
    average: Interval
    left_out: tuple[str, ...]


def measures_of(evaluation: Evaluation, asked: Sequence[str]) -> list[str]:
    """The measures that gains could be averaged over.

    Without any asked for: all columns of quality but the one controlled for length, which is the
    score again, and macro F1 where reports were labelled. `gains` leaves out those of them whose
    mean, of the baseline, is not above zero.

    Raises:
      ValueError: one of those asked for was not measured.
    """
    check_against(evaluation, asked)
    plain = [name for name in quality_columns(evaluation) if name != "lc_score"]
    labelled = evaluation.baseline.labels is not None
    return list(asked) or [*plain, *(["macro_f1"] if labelled else [])]


def gains(evaluation: Evaluation, asked: Sequence[str] = ()) -> list[Gain]:
    """Each system's gain on the baseline; empty for one system.

    Raises:
      ValueError: a measure asked for was not measured.
    """
    names = measures_of(evaluation, asked)
    base, others = evaluation.baseline, evaluation.systems[1:]
    before = measured(base, names).draws(evaluation.seed)
    counts = (before[0] > 0) | bool(asked)
    counts |= not counts.any()  # then all are shown, as not defined
    left_out = tuple(name for name, kept in zip(names, counts, strict=True) if not kept)
    names = [name for name in names if name not in left_out]
    before = before[:, counts]
    return [
        _gain(one, base, left_out, names, measured(one, names).draws(evaluation.seed), before)
        for one in others
    ]


def _gain(
    of: SystemResult,
    minus: SystemResult,
    left_out: tuple[str, ...],
    names: Sequence[str],
    after: Array,
    before: Array,
) -> Gain:
    undefined = np.full_like(before, np.nan)
    relative = 100 * (np.divide(after, before, out=undefined, where=before > 0) - 1)
    each = {name: interval(relative[0, k], relative[1:, k]) for k, name in enumerate(names)}
    average = relative.mean(1)
    whole = interval(average[0], average[1:])
    return Gain(of=of.name, minus=minus.name, each=each, average=whole, left_out=left_out)


def show(found: Sequence[Gain]) -> Html:
    """Measures in rows, systems in columns, the average last."""
    rows = [[title(name), *(_shown(one.each[name]) for one in found)] for name in found[0].each]
    rows.append([AVERAGE, *(_shown(one.average) for one in found)])
    header = ["Measure", *(stacked(one.of, f"over {one.minus}") for one in found)]
    shown = html_table(header, rows, strong=len(found))
    if not (left_out := found[0].left_out):
        return shown
    said = f"Left out, since the mean of {found[0].minus} is not above zero: "
    return join([shown, tag("p", f"{said}{', '.join(map(title, left_out))}.", class_="note")])


def _shown(gain: Interval) -> Html:
    return cell(gain, 1, signed=True, unit=PER_CENT)
