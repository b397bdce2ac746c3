"""The results of a drafting study, in a terminal, as JSON and as a page."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from chexjax.evaluate.cells import share_text
from chexjax.evaluate.readers.crossed import RESAMPLES
from chexjax.evaluate.readers.drafting_results import ALL, DraftingResults
from chexjax.evaluate.results import write_results
from chexjax.evaluate.significance import Interval
from chexjax.page import Page, join, tag
from chexjax.page import table as html_table

_ROWS = ("readers", "reports from drafts", "reports from nothing")
_SECONDS = {"drafted": "from a draft, s", "blank": "from nothing, s", "saved": "saved, s"}
_SHARES = {"share": "saved", "faster": "cases faster", "kept": "drafts kept"}


def show(results: DraftingResults, console: Console) -> None:
    """The groups and what was amiss, in a terminal."""
    table = Table("", *results.groups, title=_title(results))
    for row in _rows(results):
        table.add_row(*row)
    console.print(table)
    for line in results.amiss:
        console.print(f"- {line}", highlight=False, markup=False)


def write(results: DraftingResults, folder: Path) -> None:
    """Writes `results.json` and `results.html`."""
    write_results(dataclasses.asdict(results), folder / "results.json")
    page = Page(_title(results), _subtitle(results), above="chexjax drafting study")
    table = html_table(["Group", *results.groups], _rows(results))
    page.section("Time and edits", join([table, tag("p", _NOTE, class_="note")]))
    if results.amiss:
        page.section("Amiss", tag("ul", *(tag("li", line) for line in results.amiss)))
    page.write(folder / "results.html")


def _title(results: DraftingResults) -> str:
    return f"Reports from drafts of {results.system}"


def _subtitle(results: DraftingResults) -> str:
    one = results.groups[ALL]
    return (
        f"A draft saves {_value(one.saved)} s of {one.blank.value(0)} s a report, and "
        f"{share_text(one.faster)} of the cases are written sooner."
    )


def _rows(results: DraftingResults) -> list[Sequence[str]]:
    groups = list(results.groups.values())
    counts = [(str(one.readers), *map(str, one.reports)) for one in groups]
    rows: list[Sequence[str]] = [
        (name, *(count[k] for count in counts)) for k, name in enumerate(_ROWS)
    ]
    for field, name in _SECONDS.items():
        rows.append((name, *(_value(getattr(one, field)) for one in groups)))
    for field, name in _SHARES.items():
        rows.append((name, *(share_text(getattr(one, field)) for one in groups)))
    rows.append(("edit distance, words", *(_value(one.distance) for one in groups)))
    return rows


def _value(one: Interval) -> str:
    return f"{one.value(1)} ({one.span(1)})"


_NOTE = (
    "Time: seconds with the page in front, from when a case is seen until it is finished; means of "
    "the readers' means. Cases faster: times relative to each reader's own pace. Edit distance: "
    "words and marks inserted, deleted or replaced in a draft. In brackets: 95 % intervals from "
    f"{RESAMPLES:,} bootstrap draws of cases and readers at once."
)
