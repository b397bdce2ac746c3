"""The page of a set of studies: what is in it, what is not, and what it looks like."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chexjax.data.census import percentile
from chexjax.data.chexpert_labels import CHEXPERT_14
from chexjax.data.study import SPLITS, Study
from chexjax.evaluate import plots
from chexjax.evaluate.cells import per_cent
from chexjax.evaluate.picture import picture
from chexjax.page import Html, Page, figure, grid, join, tag, terms
from chexjax.page import table as html_table

SAMPLES = 8
"""Studies that a card shows."""

_LONGEST = 90  # words of a report that a sample shows


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataCard:
    """What a card says.

    Attributes:
      source: Name of the source.
      rows: Studies that were kept.
      found: Their statistics, as `data.census` makes them.
      samples: Studies to look at.
      warnings: What an evaluation on these studies would suffer from.
      rules: What each rule that changes studies does, in words; others are shown by their names.
      facts: What else is worth knowing, name and value.
    """

    source: str
    rows: int
    found: Mapping[str, Any]
    samples: Sequence[Study]
    warnings: Sequence[str]
    rules: Mapping[str, str]
    facts: Mapping[str, str]

    @property
    def splits(self) -> list[str]:
        """Those that have studies, in their order."""
        return [split for split in SPLITS if split in self.found["studies"]]

    @property
    def rejected(self) -> int:
        """Studies that could not be used."""
        return int(sum(self.found["rejects"].values()))


def sample_rows(count: int) -> list[int]:
    """Rows of the studies that a card shows: at even steps through all of them."""
    shown = min(count, SAMPLES)
    return [int((k + 0.5) * count / shown) for k in range(shown)]


def write(card: DataCard, path: Path) -> None:
    """Writes the card as one file that needs nothing else."""
    page = Page(_title(card), _subtitle(card), above="chexjax data card", style=_STYLE)
    if card.rows:
        page.section("Splits", _splits(card))
        page.section("Lengths and views", _lengths(card), lead=_LENGTHS)
    if card.found["labels"]:
        page.section("Labels", _labels(card), lead=_LABELS)
    if card.found["attributes"]:
        page.section("Patients", _attributes(card.found["attributes"]), lead=_ATTRIBUTES)
    if card.samples:
        numbered = zip(sample_rows(card.rows), card.samples, strict=True)
        samples = (_sample(row, study) for row, study in numbered)
        page.section("Samples", tag("div", *samples, class_="samples"), lead=_SAMPLES)
    page.section("Left out and changed", _changes(card), lead=_CHANGES)
    if len(card.splits) > 1:
        page.section("Leakage", _leakage(card), lead=_LEAKAGE)
    page.section("How it was made", terms(card.facts))
    page.write(path)


def _title(card: DataCard) -> str:
    return f"{card.rows:,} studies from the source {card.source}"


def _subtitle(card: DataCard) -> str:
    parts = ", ".join(f"{card.found['studies'][split]:,} {split}" for split in card.splits)
    if not card.rejected:
        return f"{parts or 'Nothing'}; none was rejected.".capitalize()
    share = card.rejected / (card.rows + card.rejected)
    rejected = f"{card.rejected:,} ({100 * share:.1f} %) were rejected"
    return f"{parts or 'nothing'}; {rejected}, each named in rejects.jsonl."


def _splits(card: DataCard) -> Html:
    warned = tag("ul", *(tag("li", line) for line in card.warnings)) if card.warnings else ""
    rows = []
    for split in card.splits:
        words, patients = card.found["words"][split], card.found["patients"].get(split)
        rows.append(
            [
                split,
                f"{card.found['studies'][split]:,}",
                f"{patients:,}" if patients else "not said",
                f"{card.found['mean_words'][split]:.1f}",
                *(f"{percentile(words, share):,}" for share in (0.5, 0.95, 1.0)),
            ]
        )
    header = ["Split", "Studies", "Patients", "Words, mean", "Median", "95 %", "Longest"]
    return join([warned, html_table(header, rows)])


def _lengths(card: DataCard) -> Html:
    words = {s: {int(k): n for k, n in card.found["words"][s].items()} for s in card.splits}
    views = _counts("View", "Images", card.found["views"])
    images = [[k, f"{n:,}"] for k, n in sorted(card.found["images"].items(), key=_number)]
    beside = tag("div", views, html_table(["Images of a study", "Studies"], images))
    return grid(figure(plots.length_histogram(words)), beside)


def _labels(card: DataCard) -> Html:
    labels = {name: card.found["labels"][name] for name in sorted(card.found["labels"], key=_place)}
    rows = [
        [name, *(f"{found[said]:,}" for said in ("present", "uncertain", "absent"))]
        for name, found in labels.items()
    ]
    beside = html_table(["Label", "Present", "Uncertain", "Absent"], rows)
    return grid(figure(plots.label_shares(labels, card.rows)), beside)


def _attributes(attributes: Mapping[str, Mapping[str, int]]) -> Html:
    return grid(*(_counts(name, "Studies", found) for name, found in sorted(attributes.items())))


def _sample(row: int, study: Study) -> Html:
    views = zip(study.images[:2], study.views[:2], strict=True)
    pictures = tag("div", *(picture(data, view) for data, view in views), class_="pictures")
    words = study.findings.split()
    text = " ".join(words[:_LONGEST]) + (" ..." if len(words) > _LONGEST else "")
    asked = [tag("p", tag("b", "Indication"), " ", study.indication)] if study.indication else []
    head = tag("h3", f"Study {row} ", tag("small", f"{study.split}, {', '.join(study.views)}"))
    return tag("article", pictures, head, *asked, tag("p", text))


def _changes(card: DataCard) -> Html:
    edits = [
        [card.rules.get(rule, rule), f"{count['studies']:,}", f"{count['times']:,}"]
        for rule, count in sorted(card.found["edits"].items())
    ]
    parts = [_counts("Why rejected", "Studies", card.found["rejects"])]
    if edits:
        parts.append(html_table(["What was changed", "Studies", "Times"], edits))
    return grid(*parts)


def _leakage(card: DataCard) -> Html:
    found, known = card.found["leakage"], bool(card.found["patients"])
    rows = [
        [
            pair.replace(", ", " and "),
            f"{found['patients'][pair]:,}" if known else "not known",
            f"{count:,}",
            per_cent(count / card.found["studies"][pair.split(", ")[1]]),
        ]
        for pair, count in sorted(found["findings"].items())
    ]
    header = ["Splits", "Patients in both", "Reports of the later found in the earlier", "Share"]
    return html_table(header, rows)


def _counts(first: str, second: str, counts: Mapping[str, int]) -> Html:
    """Most frequent first."""
    order = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return html_table([first, second], [[name, f"{n:,}"] for name, n in order] or [["none", "0"]])


def _number(pair: tuple[str, int]) -> int:
    return int(pair[0])


def _place(label: str) -> tuple[int, str]:
    """CheXpert's labels in their order, a source's own behind them."""
    place = CHEXPERT_14.index(label) if label in CHEXPERT_14 else len(CHEXPERT_14)
    return place, label


_LENGTHS = "Reference reports by their number of words, as shares, so that splits compare."
_LABELS = (
    "As the source has them. A study of which it says nothing counts in no column, but in the "
    "whole that shares are of."
)
_ATTRIBUTES = "What is known beside the picture, and what results can be sliced by."
_SAMPLES = (
    "Chosen by rule: they stand at even steps through all studies, whose rows their numbers are. "
    "Long reports are cut."
)
_CHANGES = "Each rejected study is in rejects.jsonl, with the reason in full."
_LEAKAGE = (
    "A model may have seen what it is asked. Reports count where their findings stand word for "
    "word in the earlier split; short normal ones often do."
)

_STYLE = """
.samples{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,14rem),1fr));
  gap:2rem 1.6rem;align-items:start}
.samples article{font-size:.88rem;line-height:1.5;min-width:0;overflow-wrap:break-word}
.samples h3{margin:.7rem 0 .3rem;overflow-wrap:anywhere}
.samples p{margin:0 0 .5rem}
.pictures{display:grid;grid-template-columns:1fr 1fr;gap:.4rem;align-items:start}
.pictures img{display:block;width:100%;background:#000;border-radius:.25rem}
.pictures img:only-child{grid-column:1/-1}
"""
