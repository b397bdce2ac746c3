"""What `ingest` says when it is done: what came in, what did not, and what to be wary of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from chexjax.artefacts import Artefact
from chexjax.data.census import percentile
from chexjax.data.chexpert_labels import CHEXPERT_14
from chexjax.data.study import SPLITS

RULES = {
    "drop_prior": "sentences about an earlier examination dropped",
    "drop_again": 'the word "again" deleted',
    "drop_lone_stops": "full stops that stood alone deleted or put in place",
    "drop_new": 'the word "new" deleted or replaced',
    "missing_indication": "no indication given",
    "report_variants": "other wordings of the report passed over",
    "rows_unreadable": "rows that cannot be read passed over",
    "last_paragraph": "last paragraph taken for findings",
    "demographics_unreadable": "cells of sex or age that cannot be read",
    "demographics_missing": "patients who are not in the table of demographics",
    "images_repeated": "images named twice",
    "images_missing": "images named but not there",
    "images_unusable": "images that cannot be used passed over",
    "images_turned": "images put upright, as their DICOM file says they lie",
    "images_left_out": "images left out",
}
"""What the rules do that change studies, in words."""


def describe(studies: Artefact, console: Console) -> None:
    """Prints the statistics of a `studies` artefact as tables."""
    found = studies.statistics
    console.print(_splits(found))
    if found["views"]:
        views = ", ".join(f"{n:,} {view}" for view, n in _falling(found["views"]))
        console.print(f"views: {views}", highlight=False)
    if found["labels"]:
        console.print(_labels(found["labels"]))
    if found["edits"]:
        console.print(_edits(found["edits"]))
    if found["rejects"]:
        console.print(_rejects(found["rejects"]))
    for line in warnings(found):
        console.print(f"[yellow]warning:[/] {line}", highlight=False)
    kept, rejected = studies.manifest.rows, studies.manifest.rejects
    console.print(f"{studies.path}: {kept:,} studies, {rejected:,} rejected", highlight=False)


def warnings(found: Mapping[str, Any]) -> list[str]:
    """What an evaluation on these studies would suffer from.

    Args:
      found: Statistics of a `studies` artefact.
    """
    lines = []
    for what in ("patients", "studies"):
        for pair, count in found["leakage"][what].items():
            if count:
                lines.append(f"{count:,} {what} are in two splits: {pair.replace(', ', ' and ')}")
    for pair, count in found["leakage"]["findings"].items():
        earlier, later = pair.split(", ")
        if count:
            lines.append(
                f"{count:,} of {found['studies'][later]:,} {later} reports have findings that "
                f"stand word for word in {earlier}"
            )
    return lines


def _falling(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))


def _place(label: str) -> int:
    """CheXpert's labels in their order, a source's own behind them."""
    return CHEXPERT_14.index(label) if label in CHEXPERT_14 else len(CHEXPERT_14)


def _table(title: str, first: str, *others: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(first)
    for heading in others:
        table.add_column(heading, justify="right")
    return table


def _splits(found: Mapping[str, Any]) -> Table:
    table = _table(
        "Studies", "split", "studies", "patients", "words: mean", "median", "95 %", "longest"
    )
    for split in filter(found["studies"].__contains__, SPLITS):
        words = found["words"][split]
        patients = found["patients"].get(split)
        table.add_row(
            split,
            f"{found['studies'][split]:,}",
            f"{patients:,}" if patients else "not said",
            f"{found['mean_words'][split]:.1f}",
            *(f"{percentile(words, share):,}" for share in (0.5, 0.95, 1.0)),
        )
    return table


def _labels(labels: Mapping[str, Mapping[str, int]]) -> Table:
    table = _table("Labels", "label", "present", "absent", "uncertain", "share present")
    for name in sorted(labels, key=_place):
        said = [labels[name][value] for value in ("present", "absent", "uncertain")]
        table.add_row(name, *(f"{n:,}" for n in said), f"{said[0] / sum(said):.1%}")
    return table


def _edits(edits: Mapping[str, Mapping[str, int]]) -> Table:
    table = _table("Rules that changed something", "rule", "studies", "times")
    for rule, count in edits.items():
        table.add_row(RULES.get(rule, rule), f"{count['studies']:,}", f"{count['times']:,}")
    return table


def _rejects(rejects: Mapping[str, int]) -> Table:
    table = _table("Rejected", "reason", "studies")
    for reason, count in _falling(rejects):
        table.add_row(reason, f"{count:,}")
    return table
