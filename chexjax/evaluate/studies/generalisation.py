"""What policies keep on another source than theirs: train on A, test on B, as one table."""

from __future__ import annotations

import dataclasses

from chexjax.evaluate.cells import cell, per_cent
from chexjax.evaluate.metrics import Evaluation
from chexjax.evaluate.significance import Array, Interval, interval, resampled_means
from chexjax.page import Html, stacked
from chexjax.page import table as html_table

LEAD = (
    "The policies of this run on held-out studies of the source that they were trained on and of "
    "another one. The sources differ in their radiologists and patients, too, so levels compare "
    "less well than gains: what alignment gained here, and how much of that it gains there."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Transfer:
    """One policy on both sources.

    Attributes:
      home: Mean score on the source that it was trained on.
      away: Mean score on the other one.
      change: `away` - `home`; the studies are others, so both are drawn by themselves.
      home_gain: Mean score over the baseline's, study by study, at home; None of the baseline.
      away_gain: The same on the other source.
    """

    system: str
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
    """

    judge: str
    sources: tuple[str, str]
    identities: tuple[str, str]
    studies: tuple[int, int]
    transfers: tuple[Transfer, ...]


def generalisation(
    home: Evaluation, away: Evaluation, sources: tuple[str, str], identities: tuple[str, str]
) -> Generalisation:
    """Sets two evaluations by the same judge side by side.

    Args:
      home: On the source that the policies were trained on.
      away: On another one, of systems that `home` has in the same order.
      sources: What the two are called.
      identities: What tells their studies from others of the same name.
    """
    return Generalisation(
        judge=home.judge,
        sources=sources,
        identities=identities,
        studies=(len(home.ids), len(away.ids)),
        transfers=tuple(_transfer(home, away, one.name) for one in away.systems),
    )


def _transfer(home: Evaluation, away: Evaluation, name: str) -> Transfer:
    here, there = (
        next(system for system in one.systems if system.name == name) for one in (home, away)
    )
    base = away.baseline.name
    return Transfer(
        system=name,
        home=here.means["score"],
        away=there.means["score"],
        change=_unpaired(there.columns["score"], here.columns["score"], home.seed),
        home_gain=None if name == base else home.difference(name, base),
        away_gain=None if name == base else away.difference(name, base),
    )


def _unpaired(of: Array, minus: Array, seed: int) -> Interval:
    """Difference of two means over different studies, each drawn by itself."""
    after = resampled_means(of[:, None], seed=seed)[:, 0]
    before = resampled_means(minus[:, None], seed=seed + 1)[:, 0]
    return interval(float(of.mean() - minus.mean()), after - before)


def show(found: Generalisation) -> Html:
    """One table, a line a policy."""
    (home, away), (here, there) = found.sources, found.studies
    header: list[str] = [
        "Policy",
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
    ]
    return html_table(header, rows)


def _kept(one: Transfer) -> str:
    """Share of the gain at home that there is elsewhere, where there is a gain to keep."""
    if one.home_gain is None or one.away_gain is None or one.home_gain.sign <= 0:
        return ""
    return per_cent(one.away_gain.mean / one.home_gain.mean, 0)
