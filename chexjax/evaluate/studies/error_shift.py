"""Which kinds of error alignment removed and which it brought, of the six that GREEN counts."""

from __future__ import annotations

import dataclasses

import numpy as np

from chexjax.evaluate import plots
from chexjax.evaluate.cells import cell
from chexjax.evaluate.gallery import ERRORS
from chexjax.evaluate.metrics import Evaluation, SystemResult
from chexjax.evaluate.significance import (
    Array,
    Interval,
    chance,
    holm,
    mean_intervals,
    randomisation_p,
)
from chexjax.judges.answer import CATEGORIES
from chexjax.page import Html, figure, grid
from chexjax.page import table as html_table

LEAD = (
    "Significant errors a report, by kind. A score can rise while one kind of error becomes more "
    "frequent; comparisons with studies that the model was never shown are the ones to watch. p: "
    "by approximate randomisation, adjusted by Holm's steps for the six kinds."
)
_PICTURE = "Errors a report, system under test less baseline: left of zero there are fewer."


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shift:
    """One kind of significant error.

    Attributes:
      category: "a" to "f".
      before: Errors a report of the baseline.
      after: Of the system under test.
      change: `after` - `before`, study by study.
      adjusted: Holm-adjusted p that nothing changed.
    """

    category: str
    before: Interval
    after: Interval
    change: Interval
    adjusted: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class ErrorShift:
    """The six kinds, from the baseline `minus` to the system under test `of`."""

    of: str
    minus: str
    shifts: tuple[Shift, ...]


def error_shift(evaluation: Evaluation) -> ErrorShift | None:
    """The shift between baseline and system under test; None where the judge counts no errors."""
    base, test = evaluation.baseline, evaluation.test
    before, after = _counts(base), _counts(test)
    if base is test or before is None or after is None:
        return None
    columns = {
        f"{kind}{category}": values[:, k]
        for kind, values in (("before", before), ("after", after), ("change", after - before))
        for k, category in enumerate(CATEGORIES)
    }
    means = mean_intervals(columns, seed=evaluation.seed)
    ps = holm(randomisation_p(after - before, seed=evaluation.seed).tolist())
    shifts = (
        Shift(
            category=category,
            before=means[f"before{category}"],
            after=means[f"after{category}"],
            change=means[f"change{category}"],
            adjusted=p,
        )
        for category, p in zip(CATEGORIES, ps, strict=True)
    )
    return ErrorShift(of=test.name, minus=base.name, shifts=tuple(shifts))


def _counts(system: SystemResult) -> Array | None:
    """Significant errors `f64[B, 6]` of each report by kind."""
    details = [one.details for one in system.judgements]
    if not all("significant" in one for one in details):
        return None
    return np.array([[one["significant"][c] for c in CATEGORIES] for one in details], np.float64)


def show(found: ErrorShift) -> Html:
    """A picture of the changes and a table of all numbers."""
    rows = [
        [
            _name(one.category),
            one.before.value(2),
            one.after.value(2),
            cell(one.change, 2, signed=True),
            chance(one.adjusted),
        ]
        for one in found.shifts
    ]
    header = ["Kind of error", found.minus, found.of, "Change", "p, Holm"]
    changes = [(_name(one.category), one.change) for one in found.shifts]
    picture = plots.intervals(changes, "Change in errors a report", good=-1)
    return grid(figure(picture, _PICTURE), html_table(header, rows))


def _name(category: str) -> str:
    name = ERRORS[category]
    return f"({category}) {name}"
