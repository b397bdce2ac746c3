"""Train on A, test on B, over several runs: one table of all sources."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from chexjax.evaluate.cells import cell
from chexjax.evaluate.results import write_results
from chexjax.evaluate.significance import Interval
from chexjax.evaluate.studies.generalisation import Generalisation, Transfer
from chexjax.evaluate.table import title
from chexjax.page import Html, Page, folded, stacked, tag
from chexjax.page import table as html_table

PAGE = "generalisation.html"

_LEAD = (
    "Each policy on each source, in bold on the one that it was trained on. Sources "
    "differ in their radiologists and patients, too, so compare within a column: what a policy "
    "from elsewhere loses against the one at home. Small figures: 95 % intervals over studies; "
    "empty cells were not tried."
)
_GAINS = (
    "What each policy gained on the baseline of its own run, study by study: what an alignment on "
    "one source is worth on another."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Line:
    """One policy in one measure.

    Attributes:
      run: Name of its run.
      system: Its name in that.
      home: The source that it was trained on.
      studies: Source -> how many held-out ones of it.
      values: Source -> the measure on these.
      gains: Source -> the same less the baseline's of its run; empty of the baseline.
    """

    run: str
    system: str
    measure: str
    home: str
    studies: dict[str, int]
    values: dict[str, Interval]
    gains: dict[str, Interval]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Transfers:
    """All policies on all sources that they were tried on, by the scores of one judge."""

    judge: str
    sources: tuple[str, ...]
    lines: tuple[Line, ...]

    @property
    def measures(self) -> list[str]:
        """All measures, the one to show first of all before others."""
        return list(dict.fromkeys(line.measure for line in self.lines))

    def of(self, measure: str) -> list[Line]:
        """The lines of one measure."""
        return [line for line in self.lines if line.measure == measure]


def transfers(runs: Mapping[str, Generalisation]) -> Transfers:
    """Sets runs side by side.

    Args:
      runs: Name of a run -> its policies at home and on another source.

    Raises:
      ValueError: their scores are of several judges.
    """
    judges = sorted({one.judge for one in runs.values()})
    if len(judges) > 1:
        raise ValueError(f"the runs are scored by {' and '.join(judges)}; evaluate them by one")
    sources = _sources(runs)
    return Transfers(
        judge=judges[0],
        sources=tuple(sources.values()),
        lines=tuple(
            _line(name, run, one, [sources[identity] for identity in run.identities])
            for name, run in runs.items()
            for one in run.transfers
        ),
    )


def _sources(runs: Mapping[str, Generalisation]) -> dict[str, str]:
    """Identity of a source -> its name, with a run's where another has the same; homes first."""
    found: dict[str, tuple[str, str]] = {}
    for side, place in enumerate(("of", "beside")):
        for run, one in runs.items():
            found.setdefault(one.identities[side], (one.sources[side], f"{place} {run}"))
    counts = Counter(name for name, _ in found.values())
    return {
        identity: name if counts[name] == 1 else f"{name} {whose}"
        for identity, (name, whose) in found.items()
    }


def _line(name: str, run: Generalisation, one: Transfer, places: Sequence[str]) -> Line:
    gains = zip(places, (one.home_gain, one.away_gain), strict=True)
    return Line(
        run=name,
        system=one.system,
        measure=one.measure,
        home=places[0],
        studies=dict(zip(places, run.studies, strict=True)),
        values=dict(zip(places, (one.home, one.away), strict=True)),
        gains={place: gain for place, gain in gains if gain is not None},
    )


def write(found: Transfers, folder: Path) -> None:
    """Writes `generalisation.json` and the page."""
    write_results(dataclasses.asdict(found), folder / "generalisation.json")
    subtitle = f"Scores by {found.judge}, on held-out studies of {len(found.sources)} sources"
    page = Page("Train on one source, test on another", subtitle, above="chexjax generalisation")
    first, *others = found.measures
    page.section("Result", _table(found, first), lead=_LEAD)
    if any(line.gains for line in found.lines):
        page.section("Gain", _table(found, first, gains=True), lead=_GAINS)
    if others:
        tables = (_table(found, name, gains=gains) for name in others for gains in (False, True))
        page.section("Other measures", folded(", ".join(map(title, others)), *tables))
    page.write(folder / PAGE)


def _table(found: Transfers, measure: str, *, gains: bool = False) -> Html:
    lines = [line for line in found.of(measure) if line.gains or not gains]
    rows = [
        [
            stacked(line.system, f"{line.run}, trained on {line.home}"),
            *(_cell(line, source, gains=gains) for source in found.sources),
        ]
        for line in lines
    ]
    header = [stacked(source, _counted(lines, source)) for source in found.sources]
    return html_table([stacked("Policy", _what(measure, gains=gains)), *header], rows)


def _what(measure: str, *, gains: bool) -> str:
    return f"{title(measure)}, gain" if gains else title(measure)


def _cell(line: Line, source: str, *, gains: bool) -> Html:
    one = (line.gains if gains else line.values).get(source)
    if one is None:
        return Html("")
    shown = cell(one, signed=gains)
    return tag("strong", shown) if source == line.home else shown


def _counted(lines: Sequence[Line], source: str) -> str:
    """How many studies; the judge may have read more reports of one run than of another."""
    counts = {line.studies[source] for line in lines if source in line.studies}
    return " to ".join(f"{count:,}" for count in sorted({min(counts), max(counts)})) + " studies"


def show(found: Transfers, console: Console) -> None:
    """The first measure, in a terminal."""
    measure = found.measures[0]
    said = f"{title(measure)}, judge {found.judge}"
    table = Table("run", "policy", title=said, title_justify="left")
    for source in found.sources:
        table.add_column(source, justify="right")
    for line in found.of(measure):
        cells = (line.values.get(source) for source in found.sources)
        table.add_row(line.run, line.system, *(one.text() if one else "" for one in cells))
    console.print(table)
