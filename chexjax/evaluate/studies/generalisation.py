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
    systems = [one.name for one in away.systems]
    here, there = (_draws(one, systems, names, home.seed) for one in (home, away))
    # The studies are others, so those at home are drawn anew for the change from one to the other.
    anew = _draws(home, systems, names, home.seed + 1)
    return Generalisation(
        judge=home.judge,
        sources=elsewhere.sources,
        identities=elsewhere.identities,
        studies=(len(home.ids), len(away.ids)),
        transfers=tuple(
            _transfer(system, away.baseline.name, name, *(one[name] for one in (here, there, anew)))
            for name in names
            for system in systems
        ),
    )


_Draws = dict[str, Array]
"""System -> its measure as seen, and in draws of the studies, `f64[1 + RESAMPLES]`."""


def _draws(
    evaluation: Evaluation, systems: Sequence[str], names: Sequence[str], seed: int
) -> dict[str, _Draws]:
    """Of each measure, the draws of these systems."""
    found = {
        one.name: measured(one, names).draws(seed)
        for one in evaluation.systems
        if one.name in systems
    }
    return {
        name: {system: one[:, k] for system, one in found.items()} for k, name in enumerate(names)
    }


def _transfer(
    system: str, base: str, measure: str, here: _Draws, there: _Draws, anew: _Draws
) -> Transfer:
    """One policy in one measure."""

    def gain(draws: _Draws) -> Interval | None:
        return None if system == base else _interval(draws[system] - draws[base])

    return Transfer(
        system=system,
        measure=measure,
        home=_interval(here[system]),
        away=_interval(there[system]),
        change=_interval(there[system] - anew[system]),
        home_gain=gain(here),
        away_gain=gain(there),
    )


def _interval(draws: Array) -> Interval:
    return interval(draws[0], draws[1:])


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
