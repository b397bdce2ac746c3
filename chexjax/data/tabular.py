"""Studies from a table: JSON lines, CSV, a Hugging Face data set on disk, or a folder of pictures.

One row is one study. What a column holds is said by its name, the config's or a usual one.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chexjax.config import local, nearest
from chexjax.data.arrow import Arrow, is_dataset
from chexjax.data.beside import Beside
from chexjax.data.fingerprint import fingerprint
from chexjax.data.sections import sections
from chexjax.data.splits import split_by_hash, split_named
from chexjax.data.study import Study, UnusableStudy, patient_digest
from chexjax.data.table_labels import label_named, read_labels
from chexjax.data.tables import Table, is_table, read_table
from chexjax.data.text import TextRules, clean
from chexjax.data.views import UNKNOWN, Picture, ViewRules, choose, view_name

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
"""Columns that become attributes where the config names none, as far as they are there."""

_MANIFESTS = ("manifest", "metadata", "studies", "reports", "data")


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


class TableSource:
    """The studies of a table in the order of its rows."""

    def __init__(self, path: Path, config: TableConfig, text: TextRules, views: ViewRules) -> None:
        """Finds the table, its rows and its columns.

        Raises:
          ValueError: there is no table, it cannot be read, or it lacks a column.
        """
        self._path, self._text, self._rules = path, text, views
        ids = (config.id,) if config.id else USUAL["id"]
        self._table, folder = _open(path, ids)
        self._folder = Path(config.image_folder or folder)
        self._columns = _columns(path, config, self._table.columns)
        self._attributes = _attributes(path, config, self._table.columns)
        self._require(("findings", "report"), "no reference reports")
        if views.most and views.required:
            self._require(
                ("image",),
                "no images (source.views.most=0 makes studies of text alone)",
            )

    def _require(self, kinds: Sequence[str], lack: str) -> None:
        if not any(self._columns[kind] for kind in kinds):
            fields = " or ".join(f"source.table.{kind}" for kind in kinds)
            raise ValueError(
                f"source.path={self._path}: {lack}; name the column as {fields}; there are "
                f"{', '.join(self._table.columns)}"
            )

    def __len__(self) -> int:
        """Number of rows."""
        return len(self._table.ids)

    def id(self, index: int) -> str:
        """What the row says, or its number."""
        return self._table.ids[index] or f"row-{index:06d}"

    def fingerprint(self) -> str:
        """Of the table whole, of the images that it names by size."""
        sizes: dict[str, int] = {}
        if self._rules.most and self._columns["image"]:
            for index in range(len(self)):
                sizes |= self._sizes(index)
        return fingerprint(self._table.files(), sizes.items())

    def _sizes(self, index: int) -> dict[str, int]:
        """Of the files that a row names, -1 for one that is not there."""
        try:
            named = self._contents(self._table[index])
        except UnusableStudy:
            return {}
        files = {name: content for name, content in named if isinstance(content, Path)}
        return {n: f.stat().st_size if f.is_file() else -1 for n, f in files.items()}

    def __getitem__(self, index: int) -> Study:
        """Reads one row, and the images of it that are used.

        Raises:
          UnusableStudy: the row, its report, split, labels or images cannot be used.
        """
        cells = self._table[index]
        text = clean(self._sections(cells), self._text)
        patient = self._string(cells, "patient")
        split = self._string(cells, "split")
        used = choose(self._pictures(cells), self._rules, text.edits)
        labels, others = read_labels(self._labelled(cells), self._columns["labels"])
        return Study(
            id=self.id(index),
            split=split_named(split) if split else split_by_hash(patient or self.id(index)),
            images=tuple(picture.read() for picture in used),
            views=tuple(picture.view for picture in used),
            indication=text.indication,
            findings=text.findings,
            impression=text.impression,
            patient=patient_digest("table", patient),
            attributes={n: v for n in self._attributes if (v := _plain(cells.get(n))) != ""},
            labels=labels,
            edits=text.edits,
            truth={"other_labels": others} if others else {},
        )

    def _string(self, cells: Mapping[str, Any], kind: str) -> str:
        return _text(cells.get(self._columns[kind])) if self._columns[kind] else ""

    def _sections(self, cells: Mapping[str, Any]) -> dict[str, str]:
        report = self._string(cells, "report")
        found = sections(report) or {"findings": report}
        own = {kind: self._string(cells, kind) for kind in ("findings", "impression", "indication")}
        return found | {kind: text for kind, text in own.items() if text}

    def _labelled(self, cells: Mapping[str, Any]) -> Mapping[str, Any]:
        """The row, or of labels with a column each those columns alone."""
        if self._columns["labels"]:
            return cells
        return {name: cell for name, cell in cells.items() if label_named(name)}

    def _pictures(self, cells: Mapping[str, Any]) -> list[Picture]:
        if not self._columns["image"]:
            return []
        named = self._contents(cells)
        views = _listed(cells.get(self._columns["view"])) if self._columns["view"] else []
        if views and len(views) != len(named):
            raise UnusableStudy(f"images and views differ in number: {len(named)} and {len(views)}")
        views = [view_name(str(view)) for view in views] or [UNKNOWN] * len(named)
        return [
            Picture(name, view, None if isinstance(c, Path) and not c.is_file() else c)
            for (name, c), view in zip(named, views, strict=True)
        ]

    def _contents(self, cells: Mapping[str, Any]) -> list[tuple[str, Path | bytes]]:
        """(name, file or bytes) of each image that a row names."""
        found: list[tuple[str, Path | bytes]] = []
        for place, image in enumerate(_listed(cells.get(self._columns["image"]))):
            if isinstance(image, Mapping):  # an image feature of `datasets`
                image = image.get("bytes") or image.get("path") or ""
            if isinstance(image, bytes):
                found.append((str(place), image))
            elif image:
                found.append((str(image), self._folder / str(image)))
        return found


def _open(path: Path, ids: Sequence[str]) -> tuple[Table, Path]:
    """The table at a path, and what the paths in it are relative to."""
    if path.is_file():
        return read_table(path, ids), path.parent
    if is_dataset(path):
        return Arrow(path, ids), path
    tables = sorted(file for file in path.iterdir() if file.is_file() and is_table(file))
    known = [file for file in tables if file.name.split(".")[0] in _MANIFESTS]
    if len(chosen := known or tables) > 1:
        names = ", ".join(file.name for file in chosen)
        raise ValueError(f"source.path={path}: several tables ({names}); give the path of one")
    return (read_table(chosen[0], ids) if chosen else Beside(path)), path


def _columns(path: Path, config: TableConfig, there: Sequence[str]) -> dict[str, str]:
    """What a column holds -> its name, empty where there is none."""
    found = {}
    for kind, usual in USUAL.items():
        named = getattr(config, kind)
        if named and named not in there:
            raise ValueError(
                f"source.table.{kind}={named}: no such column in {path}{nearest(named, there)}"
            )
        found[kind] = named or next((name for name in usual if name in there), "")
    return found


def _attributes(path: Path, config: TableConfig, there: Sequence[str]) -> list[str]:
    if lacking := [name for name in config.attributes if name not in there]:
        raise ValueError(
            f"source.table.attributes: no column {lacking[0]} in {path}{nearest(lacking[0], there)}"
        )
    return list(config.attributes) or [name for name in ATTRIBUTES if name in there]


def _listed(value: Any) -> list[Any]:
    """A cell's values: a list's, or those between `;` and `|`."""
    if isinstance(value, str):
        return [part.strip() for part in re.split(r"[;|]", value) if part.strip()]
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return list(value)
    return [] if value is None or value != value else [value]  # not a number: pandas' empty cell


def _text(value: Any) -> str:
    """A cell as text; of a list, sentences."""
    if isinstance(value, list | tuple):
        parts = [str(part).strip() for part in value if str(part).strip()]
        return " ".join(part if part.endswith(".") else f"{part}." for part in parts)
    if isinstance(value, float):  # pandas' whole numbers and its empty cells
        return "" if math.isnan(value) else str(int(value) if value.is_integer() else value)
    return "" if value is None else str(value).strip()


def _plain(value: Any) -> str | float:
    """A number where the cell is one."""
    text = _text(value)
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else ""
