"""Studies from a table: JSON lines, CSV, a Hugging Face data set on disk, or a folder of pictures.

One row is one study. What a column holds is said by its name, the config's or a usual one.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chexjax.config import local, nearest
from chexjax.data.sections import sections
from chexjax.data.sources.demographics import attributes
from chexjax.data.sources.demographics_table import DemographicsTable
from chexjax.data.sources.table_labels import label_named, read_labels
from chexjax.data.sources.table_rows import TableRows, text_of
from chexjax.data.splits import split_by_hash, split_named
from chexjax.data.study import Study, patient_digest
from chexjax.data.text import TextRules, clean
from chexjax.data.views import ViewRules, choose

USUAL = {
    "id": ("id", "study_id", "uid", "unique_id", "study"),
    "patient": ("patient", "patient_id", "subject_id"),
    "split": ("split",),
    "image": ("image", "images", "image_path", "file", "file_name", "filename", "path"),
    "view": ("view", "views", "view_position", "ViewPosition", "projection"),
    "indication": ("indication", "section_indication", "history"),
    "findings": ("findings", "section_findings", "target_text"),
    "impression": ("impression", "section_impression"),
    "report": ("report", "text"),
    "labels": ("labels",),
}
"""What a column holds -> the names that are tried for it where the config has none."""

ATTRIBUTES = ("sex", "gender", "age", "race", "ethnicity", "insurance", "population", "source")
"""Columns that become attributes where the config names none, as far as they are there.

They are read as `demographics.attributes` says; `gender` becomes `sex` where that has nothing.
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TableConfig:
    """Which column holds what; an empty name stands for the first usual one that is there.

    Attributes:
      id: Name of the study; without such a column, studies are numbered by their rows.
      patient: Name of the patient, of which a digest is kept.
      split: See `splits.split_named`; without it, a hash of the patient, or else of the study,
        decides, a tenth each for validation and test.
      image: Paths, relative to the table, with `;` or `|` between two; lists, and bytes in Arrow.
      view: As many views as images.
      indication: The clinical question.
      findings: The reference; a list is joined to sentences.
      impression: The conclusion.
      report: A whole report, from whose sections what has no column of its own is taken; where it
        has no headings, all of it is findings.
      labels: See `table_labels.read_labels`; empty also for labels with a column each.
      attributes: What evaluation may slice by; empty for `ATTRIBUTES`.
      image_folder: What paths of images are relative to; empty for the table's folder.
      demographics: A table with a row a patient, for attributes that the studies' table does not
        have; see `demographics_table`.
    """

    id: str = ""
    patient: str = ""
    split: str = ""
    image: str = ""
    view: str = ""
    indication: str = ""
    findings: str = ""
    impression: str = ""
    report: str = ""
    labels: str = ""
    attributes: tuple[str, ...] = ()
    image_folder: str = local("")
    demographics: str = local("")


class TableSource:
    """The studies of a table in the order of its rows."""

    def __init__(self, path: Path, config: TableConfig, text: TextRules, views: ViewRules) -> None:
        """Finds the table, its rows and its columns.

        Raises:
          ValueError: there is no table, it cannot be read, or it lacks a column.
        """
        self._text, self._rules = text, views
        self._rows = TableRows(path, config, USUAL, path_field="source.path", field="source.table")
        columns = self._rows.columns
        if columns["findings"] == "target_text" and columns["report"] == "text":
            # In CheXalign's data sets `text` is the indication.
            columns["indication"], columns["report"] = columns["indication"] or "text", ""
        self._attributes = _attributes(path, config, self._rows.table.columns)
        self._rows.require(("findings", "report"), "no reference reports")
        self._patients = DemographicsTable(config.demographics, "source.table.demographics")
        if config.demographics:
            self._rows.require(("patient",), "no patients to find in source.table.demographics")
        if views.most and views.required:
            self._rows.require(
                ("image",),
                "no images (source.views.most=0 makes studies of text alone)",
            )

    def __len__(self) -> int:
        """Number of rows."""
        return len(self._rows)

    def id(self, index: int) -> str:
        """What the row says, or its number."""
        return self._rows.id(index)

    def fingerprint(self) -> str:
        """Of tables whole, of the images that they name by size."""
        return self._rows.fingerprint(images=bool(self._rules.most), beside=self._patients.files)

    def __getitem__(self, index: int) -> Study:
        """Reads one row, and the images of it that are used.

        Raises:
          UnusableStudy: the row, its report, split, labels or images cannot be used.
        """
        cells = self._rows.table[index]
        text = clean(self._sections(cells), self._text)
        patient = self._rows.string(cells, "patient")
        used = choose(self._rows.pictures(cells), self._rules, text.edits)
        labels, others = read_labels(self._labelled(cells), self._rows.columns["labels"])
        return Study(
            id=self.id(index),
            split=self._split(cells, index),
            images=tuple(picture.read() for picture in used),
            views=tuple(picture.view for picture in used),
            indication=text.indication,
            findings=text.findings,
            impression=text.impression,
            patient=patient_digest("table", patient),
            attributes=self._patients.attributes(patient, text.edits)
            | self._said(cells, text.edits),
            labels=labels,
            edits=text.edits,
            truth={"other_labels": others} if others else {},
        )

    def split(self, index: int) -> str:
        """Its split alone.

        Raises:
          UnusableStudy: the row cannot be read, or names no known split.
        """
        return self._split(self._rows.table[index], index)

    def _split(self, cells: Mapping[str, Any], index: int) -> str:
        split, patient = (self._rows.string(cells, kind) for kind in ("split", "patient"))
        return split_named(split) if split else split_by_hash(patient or self.id(index))

    def _said(self, cells: Mapping[str, Any], edits: dict[str, int]) -> dict[str, str | float]:
        """What the row says of patient and source, numbers as such."""
        said: dict[str, str] = {}
        for column in self._attributes:
            name = "sex" if column == "gender" else column
            said[name] = said.get(name) or text_of(cells.get(column))
        found = attributes(said, edits)
        return {name: plain for name, value in found.items() if (plain := _plain(value)) != ""}

    def _sections(self, cells: Mapping[str, Any]) -> dict[str, str]:
        report = self._rows.string(cells, "report")
        found = sections(report) or {"findings": report}
        own = {
            kind: self._rows.string(cells, kind)
            for kind in ("findings", "impression", "indication")
        }
        return found | {kind: text for kind, text in own.items() if text}

    def _labelled(self, cells: Mapping[str, Any]) -> Mapping[str, Any]:
        """The row, or of labels with a column each those columns alone."""
        if self._rows.columns["labels"]:
            return cells
        return {name: cell for name, cell in cells.items() if label_named(name)}


def _attributes(path: Path, config: TableConfig, there: Sequence[str]) -> list[str]:
    if lacking := [name for name in config.attributes if name not in there]:
        raise ValueError(
            f"source.table.attributes: no column {lacking[0]} in {path}{nearest(lacking[0], there)}"
        )
    return list(config.attributes) or [name for name in ATTRIBUTES if name in there]


def _plain(value: str | float) -> str | float:
    """A number where it is one."""
    text = text_of(value)
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else ""
