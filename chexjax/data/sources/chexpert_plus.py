"""CheXpert Plus: 187,711 studies of Stanford Hospital with their reports.

The official table `df_chexpert_plus_240401.csv` has a row an image, with the whole report of its
study, its sections and the patient's demographics. See Chambon et al., "CheXpert Plus: Augmenting a
Large Chest X-ray Dataset with Text Radiology Reports, Patient Demographics and Additional Image
Formats", 2024. Its images are those of CheXpert (JPEG), PNG files of full depth, or DICOM.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from chexjax.config import local
from chexjax.data.fingerprint import fingerprint
from chexjax.data.image_files import picture_file
from chexjax.data.sections import sections
from chexjax.data.sources.demographics import attributes
from chexjax.data.sources.demographics_table import DemographicsTable
from chexjax.data.sources.label_rows import LabelRows
from chexjax.data.sources.tables import Csv, JsonLines
from chexjax.data.splits import split_named
from chexjax.data.study import Study, UnusableStudy, patient_digest
from chexjax.data.text import TextRules, clean, squeeze
from chexjax.data.views import Picture, ViewRules, choose, view_name

_TABLE = "df_chexpert_plus_240401.csv"
_PATH = "path_to_image"
_LABELS = "{}_fixed.json"
_TREES = ("", "PNG", "DICOM", "CheXpert-v1.0", "CheXpert-v1.0-small")

_INDICATIONS = ("section_clinical_history", "section_history")
_ATTRIBUTES = ("sex", "age", "race", "ethnicity", "insurance_type")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChexpertPlusConfig:
    """How CheXpert Plus is read.

    Attributes:
      images: Folder that has the images' `train` and `valid` in it, or `PNG`, `DICOM` or
        `CheXpert-v1.0` with these; empty for the table's folder.
      labels: Which of the label files is read, by what CheXbert was shown: `impression`, `findings`
        or `report`; or none.
      label_folder: Where `impression_fixed.json` and the others lie; empty for the table's folder
        or `chexbert_labels` in it.
      demographics: CheXpert's table of patients, for what the table of studies does not say; see
        `demographics_table`.
    """

    images: str = local("")
    labels: Literal["impression", "findings", "report", "none"] = "none"
    label_folder: str = local("")
    demographics: str = local("")


class ChexpertPlusSource:
    """The studies of CheXpert Plus in the order of the table, then rows that name none.

    A study's id is `patient42142/study5`: studies are numbered anew for each patient. The number is
    Stanford's public pseudonym, kept so that rows can be found again in the official tables; it is
    in artefacts and `rejects.jsonl`, and on no page.
    """

    def __init__(
        self, path: Path, config: ChexpertPlusConfig, text: TextRules, views: ViewRules
    ) -> None:
        """Finds the rows of each study, and reads the labels.

        Raises:
          ValueError: a file is missing, cannot be read or lacks a column.
        """
        self._text, self._rules = text, views
        self._file = path if path.is_file() else path / _TABLE
        if not self._file.is_file():
            raise ValueError(f"source.path={path}: there is no {_TABLE}; give its folder, or it")
        self._table = Csv(self._file, (_PATH,))
        self._require(_PATH)
        self._has_sections = "section_findings" in self._table.columns
        if not self._has_sections:
            self._require("report")
        self._ids, self._rows, self._ends = _grouped(self._table.ids, self._file.name)
        self._trees = [Path(config.images or self._file.parent) / tree for tree in _TREES]
        self._label_file = _label_file(self._file.parent, config)
        field = "source.chexpert_plus.demographics"
        self._patients = DemographicsTable(config.demographics, field)
        self._labels = LabelRows(len(self._table.ids))
        if self._label_file:
            self._read_labels(self._label_file)

    def _require(self, column: str) -> None:
        if column not in self._table.columns:
            there = ", ".join(self._table.columns)
            raise ValueError(f"{self._file}: it has no column {column}; there are {there}")

    def _read_labels(self, file: Path) -> None:
        table = JsonLines(file, (_PATH,))
        rows = {_key(name): row for row, name in enumerate(self._table.ids)}
        found = [rows.get(_key(name), -1) for name in table.ids]
        if not any(row >= 0 for row in found):
            raise ValueError(f"{file}: it has labels of no {_PATH} in {self._file.name}")
        for place, row in enumerate(found):
            if row >= 0:
                self._labels.put(row, table[place])

    def __len__(self) -> int:
        """Number of studies, and of rows that name none."""
        return len(self._ids)

    def id(self, index: int) -> str:
        """Patient and study; a bad row's table and number."""
        return self._ids[index]

    def fingerprint(self) -> str:
        """Of the tables alone, which name all images: to look at all files takes an hour."""
        labels = [self._label_file] if self._label_file else []
        return fingerprint([self._file, *labels, *self._patients.files])

    def __getitem__(self, index: int) -> Study:
        """Reads the rows of one study, and its images.

        Raises:
          UnusableStudy: rows contradict each other, or report, labels or images cannot be used.
        """
        numbers = self._rows[slice(*self._ends[index : index + 2])].tolist()
        parts = _parts(self._table.ids[numbers[0]])
        if len(parts) < 4:
            raise UnusableStudy(f"its {_PATH} names no split, patient and study")
        edits: dict[str, int] = {}
        rows = self._readable(numbers, edits)
        said, chosen = self._report(rows, edits)
        cells = rows[chosen]
        text = clean(said, self._text)
        edits |= text.edits
        used = choose(self._pictures(rows.values(), edits), self._rules, edits)
        known = self._patients.attributes(parts[1], edits) | _demographics(cells, edits)
        return Study(
            id=self.id(index),
            split=_split(rows.values(), parts[0]),
            images=tuple(picture.read() for picture in used),
            views=tuple(picture.view for picture in used),
            indication=text.indication,
            findings=text.findings,
            impression=text.impression,
            patient=patient_digest("chexpert_plus", parts[1]),
            attributes={"source": "chexpert_plus", **known},
            labels=self._labels[chosen],
            edits=edits,
        )

    def _readable(
        self, numbers: Sequence[int], edits: dict[str, int]
    ) -> dict[int, Mapping[str, Any]]:
        """The rows that can be read; an error where there are none."""
        found, errors = {}, []
        for number in numbers:
            try:
                found[number] = self._table[number]
            except UnusableStudy as error:
                errors.append(error)
        if not found:
            raise errors[0]
        if errors:
            edits["rows_unreadable"] = len(errors)
        return found

    def _report(
        self, rows: Mapping[int, Mapping[str, Any]], edits: dict[str, int]
    ) -> tuple[dict[str, str], int]:
        """The sections of a study, and the row that they stand in.

        Rows of one study may have different texts: that which most rows have is taken, of those
        that have findings where some do, and of equals the first.
        """
        read = {number: self._sections(cells) for number, cells in rows.items()}
        texts = {n: tuple(squeeze(said[s]) for s in sorted(said)) for n, said in read.items()}
        if len(variants := Counter(texts.values())) > 1:
            edits["report_variants"] = len(variants) - 1
        full = [number for number, said in read.items() if said["findings"].strip()] or list(read)
        chosen = max(full, key=lambda number: variants[texts[number]])
        return read[chosen], chosen

    def _sections(self, cells: Mapping[str, Any]) -> dict[str, str]:
        if not self._has_sections:
            return {"findings": "", **sections(cells["report"])}
        found = {name: cells.get(f"section_{name}", "") for name in ("findings", "impression")}
        told = (cells.get(name, "") for name in _INDICATIONS)
        return found | {"indication": next((text for text in told if text.strip()), "")}

    def _pictures(self, rows: Any, edits: dict[str, int]) -> list[Picture]:
        """What the rows name, each image once, with its file where it is there."""
        named = {_key(cells[_PATH]): cells for cells in rows}
        if len(named) < len(rows):
            edits["images_repeated"] = len(rows) - len(named)
        return [
            Picture(
                Path(path).stem, _view(cells), picture_file(*(f"{t}/{path}" for t in self._trees))
            )
            for path, cells in named.items()
        ]


def _grouped(paths: Sequence[str], table: str) -> tuple[list[str], np.ndarray, np.ndarray]:
    """(ids of studies, rows study by study, where each study's rows begin and the last ones end).

    A row whose path names no study is one of its own.
    """
    found: dict[str, list[int]] = {}
    for row, path in enumerate(paths):
        parts = _parts(path)
        name = "/".join(parts[1:3]) if len(parts) == 4 else f"{table}, row {row + 1}"
        found.setdefault(name, []).append(row)
    rows = np.fromiter((row for group in found.values() for row in group), np.int64)
    return list(found), rows, np.cumsum([0, *map(len, found.values())])


def _parts(path: str) -> list[str]:
    """Split, patient, study and file, whatever stands before them; fewer where they are missing."""
    return [part for part in path.strip().split("/") if part][-4:]


def _key(path: str) -> str:
    """Where an image lies below `train` and `valid`, without its ending."""
    return "/".join(_parts(path)).rpartition(".")[0]


def _label_file(folder: Path, config: ChexpertPlusConfig) -> Path | None:
    """The file of labels that the config asks for."""
    if config.labels == "none":
        return None
    name = _LABELS.format(config.labels)
    folders = [Path(config.label_folder)] if config.label_folder else [folder]
    files = [one / name for one in (*folders, *(one / "chexbert_labels" for one in folders))]
    for file in files:
        if file.is_file():
            return file
    raise ValueError(
        f"source.chexpert_plus.labels={config.labels}: there is no {files[0]}; give its folder as "
        "source.chexpert_plus.label_folder"
    )


def _split(rows: Any, folder: str) -> str:
    """What the column says, or without it the folder of the images."""
    named = sorted({(cells.get("split") or folder).strip() for cells in rows})
    if len(named) > 1:
        raise UnusableStudy(f"its images are in several splits: {', '.join(named)}")
    return split_named(named[0])


def _view(cells: Mapping[str, Any]) -> str:
    """`AP` or `PA`, or of lateral images `LATERAL`."""
    return view_name(cells.get("ap_pa") or cells.get("frontal_lateral") or "")


def _demographics(cells: Mapping[str, Any], edits: dict[str, int]) -> dict[str, str | float]:
    return attributes({name: cells[name] for name in _ATTRIBUTES if name in cells}, edits)
