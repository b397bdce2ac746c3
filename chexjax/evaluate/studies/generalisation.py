"""What policies keep on another source than theirs: train on A, test on B, as one table."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from chexjax.evaluate.cells import cell, per_cent
from chexjax.evaluate.labels import MEASURES
from chexjax.evaluate.measures import measured
from chexjax.evaluate.metrics import Evaluation
from chexjax.evaluate.significance import Array, Interval, interval
from chexjax.evaluate.table import title
from chexjax.page import Html, folded, join, stacked
from chexjax.page import table as html_table

LEAD = (
    "The policies of this run on held-out studies of the source that they were trained on and of "
    "another one. The sources differ in their radiologists and patients, too, so levels compare "
    "less well than gains: what alignment gained here, and how much of that it gains there. "
    "By the score; other measures are folded below."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Transfer:
    """One policy on both sources, in one measure.

    Attributes:
      home: The measure on the source that it was trained on.
      away: The same on the other one.
      change: `away` - `home`; the studies are others, so both are drawn by themselves.
      home_gain: `home` less the baseline's, on the same studies; None of the baseline.
      away_gain: The same on the other source.
    """

    system: str
    measure: str
    home: Interval
    away: Interval
    change: Interval
    home_gain: Interval | None
    away_gain: Interval | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Generalisation:
    """All policies on both sources.

    Attributes:
      judge: Who scored the reports.
      sources: Name of the source at home and of the other one.
      identities: What tells their studies from others of the same name.
      studies: How many of each.
      transfers: By measures, all policies in each.
    """

    judge: str
    sources: tuple[str, str]
    identities: tuple[str, str]
    studies: tuple[int, int]
    transfers: tuple[Transfer, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Elsewhere:
    """What policies do on another source.

    Attributes:
      evaluation: Of systems that the one at home has in the same order, by the same judge.
      sources: What the source at home and this one are called.
      identities: What tells their studies from others of the same name.
    """

    evaluation: Evaluation
    sources: tuple[str, str]
    identities: tuple[str, str]


def generalisation(
    home: Evaluation, elsewhere: Elsewhere, measures: Sequence[str] = ("score",)
) -> Generalisation:
    """Sets two evaluations by the same judge side by side.

    Args:
      home: On the source that the policies were trained on.
      elsewhere: On another one.
      measures: By what they are compared, the one to show first of all before others. F1 of labels
        is left out where none were read elsewhere.
    """
    away = elsewhere.evaluation
    labelled = away.baseline.labels is not None
    names = [name for name in measures if labelled or name not in MEASURES] or ["score"]
    found = [_transfers(home, away, one.name, names) for one in away.systems]
    return Generalisation(
        judge=home.judge,
        sources=elsewhere.sources,
        identities=elsewhere.identities,
        studies=(len(home.ids), len(away.ids)),
        transfers=tuple(one for of_measure in zip(*found, strict=True) for one in of_measure),
    )


def _transfers(
    home: Evaluation, away: Evaluation, system: str, names: Sequence[str]
) -> list[Transfer]:
    """One policy in each measure."""
    base, seed = away.baseline.name, home.seed
    here, there = _draws(home, system, names, seed), _draws(away, system, names, seed)
    # The studies are others, so those at home are drawn anew to be compared with.
    change = there - _draws(home, system, names, seed + 1)
    here_gain = here - _draws(home, base, names, seed)
    there_gain = there - _draws(away, base, names, seed)

    def at(draws: Array, k: int) -> Interval:
        return interval(draws[0, k], draws[1:, k])

    return [
        Transfer(
            system=system,
            measure=name,
            home=at(here, k),
            away=at(there, k),
            change=at(change, k),
            home_gain=None if system == base else at(here_gain, k),
            away_gain=None if system == base else at(there_gain, k),
        )
        for k, name in enumerate(names)
    ]


def _draws(evaluation: Evaluation, system: str, names: Sequence[str], seed: int) -> Array:
    """Measures `f64[1 + RESAMPLES, M]`: as seen, and in draws of the studies."""
    [found] = [one for one in evaluation.systems if one.name == system]
    return measured(found, names).draws(seed)


def show(found: Generalisation) -> Html:
    """A table, a line a policy; measures behind the first are folded."""
    first, *others = dict.fromkeys(one.measure for one in found.transfers)
    tables = [_table(found, first)]
    if others:
        said = f"By {', '.join(map(title, others))}"
        tables.append(folded(said, *(_table(found, measure) for measure in others)))
    return join(tables)


def _table(found: Generalisation, measure: str) -> Html:
    (home, away), (here, there) = found.sources, found.studies
    header: list[str] = [
        stacked("Policy", title(measure)),
        stacked("Trained and tested on", f"{home}, {here:,} studies"),
        stacked("Tested on", f"{away}, {there:,} studies"),
        "Change",
        "Gain at home",
        "Gain elsewhere",
        "Gain kept",
    ]
    rows = [
        [
            one.system,
            cell(one.home),
            cell(one.away),
            cell(one.change, signed=True),
            *(cell(g, signed=True) if g else "" for g in (one.home_gain, one.away_gain)),
            _kept(one),
        ]
        for one in found.transfers
        if one.measure == measure
    ]
    return html_table(header, rows)


def _kept(one: Transfer) -> str:
    """Share of the gain at home that there is elsewhere, where there is a gain to keep."""
    if one.home_gain is None or one.away_gain is None or one.home_gain.sign <= 0:
        return ""
    return per_cent(one.away_gain.mean / one.home_gain.mean, 0)
