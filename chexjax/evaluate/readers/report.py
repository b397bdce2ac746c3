"""The results of a reader study, in a terminal, as JSON and as a page."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from chexjax.evaluate.cells import per_cent, share_text
from chexjax.evaluate.gallery import ERRORS
from chexjax.evaluate.readers.crossed import RESAMPLES
from chexjax.evaluate.readers.results import ReaderResults, Wins
from chexjax.evaluate.results import write_results
from chexjax.evaluate.significance import chance, number
from chexjax.page import Html, Page, grid, join, tag
from chexjax.page import table as html_table

_HEADER = ("Reader", "wins", "ties", "losses", "win rate", "without ties", "p")


def show(results: ReaderResults, console: Console) -> None:
    """The win rates and what was amiss, in a terminal."""
    table = Table(title=_title(results))
    for heading in _HEADER:
        table.add_column(heading, justify="left" if heading == _HEADER[0] else "right")
    for row in _wins(results):
        table.add_row(*row)
    console.print(table)
    for line in (*_said(results), *results.amiss):
        console.print(f"- {line}", highlight=False, markup=False)


def write(results: ReaderResults, folder: Path) -> None:
    """Writes `results.json` and `results.html`."""
    write_results(dataclasses.asdict(results), folder / "results.json")
    page = Page(_title(results), _subtitle(results), above="chexjax reader study")
    said = tag("ul", *(tag("li", line) for line in _said(results)))
    note = tag("p", _NOTE, class_="note")
    page.section("Preference", join([said, html_table(_HEADER, _wins(results), strong=4), note]))
    page.section("Agreement", _agreement(results), lead=_AGREEMENT)
    if results.errors:
        page.section("Errors", _errors(results), lead=_ERRORS)
    if results.amiss:
        page.section("Amiss", tag("ul", *(tag("li", line) for line in results.amiss)))
    page.write(folder / "results.html")


def _title(results: ReaderResults) -> str:
    base, test = results.systems
    return f"Readers on {test} against {base}"


def _subtitle(results: ReaderResults) -> str:
    rate, test = results.overall.rate, results.systems[1]
    count = len(results.readers)
    return (
        f"{test} wins {share_text(rate)} of the readings, ties counted half: {results.cases} "
        f"cases, {count} reader{'s' if count > 1 else ''}."
    )


def _wins(results: ReaderResults) -> list[Sequence[str]]:
    def row(name: str, one: Wins) -> Sequence[str]:
        counts = (str(one.wins), str(one.ties), str(one.losses))
        return (name, *counts, share_text(one.rate), share_text(one.decided), chance(one.p))

    rows = [row(name, one) for name, one in results.readers.items()]
    return [*rows, row("All", results.overall)]


def _said(results: ReaderResults) -> list[str]:
    """The sentences behind the table."""
    length, (base, test) = results.length, results.systems
    left, decided, p = results.left
    said = [
        f"Side A was preferred in {left} of {decided} decided answers (p = {chance(p)}).",
        f"{test} writes {length.words[1]:.1f} words a report, {base} {length.words[0]:.1f}. The "
        f"longer report was preferred in {share_text(length.longer)} of the decided answers "
        "between unequal lengths.",
        f"By logistic regression, every 10 words that the report of {test} is longer move its "
        f"log-odds to win by {length.effect.value(2, signed=True)} "
        f"({length.effect.span(2, signed=True)}); between equal lengths it wins "
        f"{share_text(length.equal)}.",
        f"A case took {results.seconds:.0f} s in the median.",
    ]
    if results.identical:
        said.append(
            f"{results.identical} studies could not be asked about: both systems wrote the same."
        )
    return said


def _agreement(results: ReaderResults) -> Html:
    found = results.agreement
    between = [(names, number(kappa, 2)) for names, kappa in found.pairs.items()]
    rows = [*between, ("All, Fleiss' kappa", number(found.fleiss, 2))]
    rows.append(("All, Krippendorff's alpha", number(found.alpha, 2)))
    parts = [html_table(["Readers", "kappa"], rows)]
    if found.again:
        own = [
            (name, str(count), per_cent(same, 0), number(kappa, 2))
            for name, (count, same, kappa) in found.again.items()
        ]
        parts.append(html_table(["With himself", "cases", "same", "kappa"], own))
    return grid(*parts)


def _errors(results: ReaderResults) -> Html:
    rows = [
        [name, *(share_text(kinds[kind]) for kinds in results.errors.values())]
        for kind, name in ERRORS.items()
    ]
    return html_table(["Reports marked with", *results.errors], rows)


_NOTE = (
    "Win rate: wins and half of the ties over all answers. In brackets: 95 % intervals from "
    f"{RESAMPLES:,} bootstrap draws of cases and readers at once (of cases, for one reader). p: "
    "two-sided sign test without ties; for all readers, of one vote a case, the sign of the sum of "
    "its answers."
)
_AGREEMENT = (
    "Between win, tie and loss, as three unordered answers, beyond what chance would give: 1 is "
    "full agreement, 0 that of chance. Pairs by Cohen's kappa."
)
_ERRORS = "Share of each system's reports in which a reader saw such an error."
