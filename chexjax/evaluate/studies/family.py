"""The comparisons of an evaluation as one family: what is left of each when all are counted."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from chexjax.evaluate.cells import cell
from chexjax.evaluate.labels import HEADLINE
from chexjax.evaluate.measures import measured, quality_columns
from chexjax.evaluate.metrics import Evaluation
from chexjax.evaluate.significance import Interval, chance, drawn_p, holm, interval, swapped_p
from chexjax.evaluate.table import title
from chexjax.page import Html, stacked
from chexjax.page import table as html_table

LEVEL = 0.05

_HEADINGS = ("Comparison", "Difference", "p, Holm", "Stands", "p, coins", "p, bootstrap")

LEAD = (
    "The system under test against each other one, in each measure: one family of comparisons. "
    "p: the chance of a difference this large where there is none, by approximate randomisation "
    "(each study's two reports change places by a coin) and by bootstrap draws of the studies; F1 "
    "is counted anew each time. Holm: the first, adjusted for the number of comparisons; below "
    "0.05 the difference stands."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compared:
    """One comparison of the family.

    Attributes:
      gap: `of` - `minus` in the measure, with its interval.
      bootstrap: Its p by the paired bootstrap.
      randomisation: Its p by approximate randomisation.
      adjusted: The latter by Holm's steps over the family.
    """

    of: str
    minus: str
    measure: str
    gap: Interval
    bootstrap: float
    randomisation: float
    adjusted: float


def family(evaluation: Evaluation) -> list[Compared]:
    """The system under test against all others in all that is quality; empty for one system.

    That is each column of quality, and where reports were labelled the F1 that papers lead with.
    """
    labelled = evaluation.test.labels is not None
    names = [*quality_columns(evaluation), *(HEADLINE if labelled else ())]
    test, seed = measured(evaluation.test, names), evaluation.seed
    after = test.draws(seed)
    found = []
    for other in evaluation.systems[:-1]:
        minus = measured(other, names)
        gaps = after - minus.draws(seed)
        drawn = drawn_p(gaps[0], gaps[1:])
        swapped = swapped_p(test.rows, minus.rows, test.values, seed=seed)
        found += [
            Compared(
                of=evaluation.test.name,
                minus=other.name,
                measure=name,
                gap=interval(gaps[0, k], gaps[1:, k]),
                bootstrap=float(drawn[k]),
                randomisation=float(swapped[k]),
                adjusted=float(swapped[k]),
            )
            for k, name in enumerate(names)
        ]
    adjusted = holm([one.randomisation for one in found])
    return [dataclasses.replace(one, adjusted=p) for one, p in zip(found, adjusted, strict=True)]


def show(found: Sequence[Compared]) -> Html:
    """The family as a table."""
    rows = [
        [
            stacked(f"{one.of} \u2212 {one.minus}", title(one.measure)),
            cell(one.gap, signed=True),
            chance(one.adjusted),
            "yes" if one.adjusted < LEVEL else "no",
            chance(one.randomisation),
            chance(one.bootstrap),
        ]
        for one in found
    ]
    return html_table(_HEADINGS, rows)
