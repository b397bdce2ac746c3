"""The comparisons of an evaluation as one family: what is left of each when all are counted."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from chexjax.evaluate.cells import cell
from chexjax.evaluate.metrics import Evaluation
from chexjax.evaluate.significance import Interval, bootstrap_p, chance, holm, randomisation_p
from chexjax.evaluate.table import title
from chexjax.page import Html, stacked
from chexjax.page import table as html_table

LENGTHS = frozenset({"words", "over_long"})
"""Columns of an evaluation that say how long a report is, not how good."""

LEVEL = 0.05

_HEADINGS = ("Comparison", "Difference", "p, Holm", "Stands", "p, coins", "p, bootstrap")

LEAD = (
    "The system under test against each other one, in each measure: one family of comparisons. "
    "p: the chance of a difference this large where there is none, by approximate randomisation "
    "(each study's two reports change places by a coin) and by bootstrap draws of the studies. "
    "Holm: the first, adjusted for the number of comparisons; below 0.05 the difference stands."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compared:
    """One comparison of the family.

    Attributes:
      gap: Mean of `of` - `minus` in the column, with its interval.
      bootstrap: Its p by the paired bootstrap.
      randomisation: Its p by approximate randomisation.
      adjusted: The latter by Holm's steps over the family.
    """

    of: str
    minus: str
    column: str
    gap: Interval
    bootstrap: float
    randomisation: float
    adjusted: float


def quality_columns(evaluation: Evaluation) -> list[str]:
    """Columns with one value a study that say how good a report is."""
    return [name for name in evaluation.test.columns if name not in LENGTHS]


def family(evaluation: Evaluation) -> list[Compared]:
    """The system under test against all others in all columns of quality; empty for one system."""
    test, columns = evaluation.test, quality_columns(evaluation)
    pairs = [(other, name) for other in evaluation.systems[:-1] for name in columns]
    if not pairs:
        return []
    gaps = np.stack([test.columns[name] - other.columns[name] for other, name in pairs], axis=1)
    seed = evaluation.seed
    drawn, swapped = bootstrap_p(gaps, seed=seed), randomisation_p(gaps, seed=seed)
    found = zip(pairs, drawn, swapped, holm(swapped.tolist()), strict=True)
    return [
        Compared(
            of=test.name,
            minus=other.name,
            column=name,
            gap=evaluation.difference(test.name, other.name, name),
            bootstrap=float(by_draws),
            randomisation=float(by_coins),
            adjusted=adjusted,
        )
        for (other, name), by_draws, by_coins, adjusted in found
    ]


def show(found: Sequence[Compared]) -> Html:
    """The family as a table."""
    rows = [
        [
            stacked(f"{one.of} \u2212 {one.minus}", title(one.column)),
            cell(one.gap, signed=True),
            chance(one.adjusted),
            "yes" if one.adjusted < LEVEL else "no",
            chance(one.randomisation),
            chance(one.bootstrap),
        ]
        for one in found
    ]
    return html_table(_HEADINGS, rows)
