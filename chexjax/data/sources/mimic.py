"""MIMIC-CXR and MIMIC-CXR-JPG: 227,835 studies of the Beth Israel Deaconess Medical Center.

The official layout is `files/p10/p10000032/s50414267/IMAGE.jpg` (or `.dcm`), the report beside the
study's folder as `s50414267.txt`, and tables that name every image: `mimic-cxr-2.0.0-split.csv.gz`,
`-metadata.csv.gz` and the labels, `-chexpert.csv.gz` and `-negbio.csv.gz`. See Johnson et al.,
"MIMIC-CXR, a de-identified publicly available database of chest radiographs with free-text
reports", Scientific Data 2019. Only the tables are read before the first study.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from chexjax.config import local
from chexjax.data.fingerprint import fingerprint
from chexjax.data.image_files import picture_file
from chexjax.data.sources.columns import column_names, find, read_columns
from chexjax.data.sources.demographics import attributes
from chexjax.data.sources.label_rows import LabelRows
from chexjax.data.sources.mimic_index import Index, is_number
from chexjax.data.sources.mimic_patients import Patients
from chexjax.data.sources.mimic_reports import Reports, Sectioned, Structured, patient_folder
from chexjax.data.splits import split_named
from chexjax.data.study import Study, UnusableStudy, patient_digest
from chexjax.data.text import TextRules, clean
from chexjax.data.views import Picture, ViewRules, choose


@dataclasses.dataclass(frozen=True, kw_only=True)
class MimicConfig:
    """How MIMIC-CXR is read. Empty paths stand for the official names in the source's folder.

    Attributes:
      reports: Folder that has the reports' `files/` in it.
      images: Folder that has the images' `files/` in it.
      sectioned: Table of the reports' sections, `mimic_cxr_sectioned.csv`; what it has no column
        for, as a rule the indication, comes from the reports where they are there.
      structured: JSON of findings by organ system, `mimic_cxr_struct.json`; a study that it lacks
        is rejected.
      patients: MIMIC-IV's `patients.csv.gz`, for sex and age.
      admissions: MIMIC-IV's `admissions.csv.gz`, for race.
      labels: Whose labels.
      last_paragraph: Take the last paragraph of a report with neither findings nor impression for
        its findings.
      need: Sections that a study must have, as in Open-I.
    """

    reports: str = local("")
    images: str = local("")
    sectioned: str = local("")
    structured: str = local("")
    patients: str = local("")
    admissions: str = local("")
    labels: Literal["chexpert", "negbio", "none"] = "chexpert"
    last_paragraph: bool = False
    need: Literal["findings", "findings_and_impression"] = "findings"


class MimicSource:
    """The studies of MIMIC-CXR in the order of their numbers, then rows that name none."""

    def __init__(self, path: Path, config: MimicConfig, text: TextRules, views: ViewRules) -> None:
        """Reads the tables.

        Raises:
          ValueError: a table is missing, cannot be read or lacks a column.
        """
        self._config, self._text, self._rules = config, text, views
        self._images = Path(config.images or path)
        tables = _Tables(path, config)
        split = tables.need("mimic-cxr-*-split")
        ranked = views.most and views.rank
        metadata = (tables.need if ranked else tables.find)("mimic-cxr-*-metadata")
        self._index = Index(split, metadata)
        self._labels = LabelRows(len(self._index))
        if config.labels != "none":
            self._read_labels(tables.need(f"mimic-cxr-*-{config.labels}"))
        sectioned = tables.named("sectioned", "mimic_cxr_sectioned")
        structured = tables.given("structured", "mimic_cxr_struct.json")
        self._reports = Reports(
            Path(config.reports or path),
            Sectioned(sectioned) if sectioned else None,
            Structured(structured) if structured else None,
            conclude=config.last_paragraph,
        )
        self._patients = Patients(
            self._index.subjects,
            tables.named("patients", "patients"),
            tables.named("admissions", "admissions"),
        )
        self._files = tables.used
        self._bad = [(f"{split.name}:{line}", why) for line, why in self._index.bad_rows]

    def _read_labels(self, file: Path) -> None:
        names = [name for name in column_names(file) if name not in ("study_id", "subject_id")]
        rows = ((c[0], c[1:]) for _, c in read_columns(file, "study_id", *names) if c)
        numbered = [(int(study), cells) for study, cells in rows if is_number(study.strip())]
        places = self._index.places(study for study, _ in numbered)
        for place, (_, cells) in zip(places.tolist(), numbered, strict=True):
            if place >= 0:
                self._labels.put(place, dict(zip(names, cells, strict=True)))

    def __len__(self) -> int:
        """Number of studies, and of rows that name none."""
        return len(self._index) + len(self._bad)

    def id(self, index: int) -> str:
        """`s50414267`, as the study's folder is called; a bad row's table and line."""
        if index >= len(self._index):
            return self._bad[index - len(self._index)][0]
        return f"s{self._index.studies[index]}"

    def fingerprint(self) -> str:
        """Of the tables alone, which name all images: to look at 600,000 files takes an hour."""
        return fingerprint(self._files)

    def __getitem__(self, index: int) -> Study:
        """Reads one report, and the images of the study.

        Raises:
          UnusableStudy: tables contradict each other, or report, labels or images cannot be used.
        """
        if index >= len(self._index):
            raise UnusableStudy(self._bad[index - len(self._index)][1])
        study, subject = int(self._index.studies[index]), int(self._index.subjects[index])
        split = self._split(index)
        edits: dict[str, int] = {}
        text = clean(self._reports.sections(study, subject, edits), self._text)
        if self._config.need == "findings_and_impression" and not text.impression:
            raise UnusableStudy("it has no impression")
        edits |= text.edits
        used = choose(self._pictures(index, edits), self._rules, edits)
        said = self._patients.said(subject, int(self._index.years[index]))
        return Study(
            id=self.id(index),
            split=split,
            images=tuple(picture.read() for picture in used),
            views=tuple(picture.view for picture in used),
            indication=text.indication,
            findings=text.findings,
            impression=text.impression,
            patient=patient_digest("mimic_cxr", str(subject)),
            attributes={"source": "mimic_cxr", **attributes(said, edits)},
            labels=self._labels[index],
            edits=edits,
        )

    def _split(self, index: int) -> str:
        splits = self._index.splits(index)
        if len(splits) > 1:
            raise UnusableStudy(f"its images are in several splits: {', '.join(splits)}")
        if self._index.patients(index) > 1:
            raise UnusableStudy("its images are of several patients")
        return split_named(splits[0])

    def _pictures(self, index: int, edits: dict[str, int]) -> list[Picture]:
        """What the tables name, each image once, with its file where it is there."""
        study, subject = self._index.studies[index], int(self._index.subjects[index])
        folder = self._images / patient_folder(subject) / f"s{study}"
        named = self._index.images(index)
        images = {image.name: image for image in named}
        if len(images) < len(named):
            edits["images_repeated"] = len(named) - len(images)
        return [
            Picture(image.name, image.view, picture_file(f"{folder}/{image.name}"))
            for image in images.values()
        ]


class _Tables:
    """The tables of a source, and which of them it uses."""

    def __init__(self, folder: Path, config: MimicConfig) -> None:
        self._folder, self._config = folder, config
        self.used: list[Path] = []

    def find(self, pattern: str) -> Path | None:
        """A table by its official name, if it is there."""
        file = find(self._folder, pattern)
        return self._use(file) if file else None

    def need(self, pattern: str) -> Path:
        """The same, an error where it is not."""
        if file := self.find(pattern):
            return file
        raise ValueError(
            f"source.path={self._folder}: there is no {pattern.replace('*', '2.0.0')}.csv.gz; it "
            "comes with MIMIC-CXR-JPG, give the folder that has it and files/ in it"
        )

    def given(self, field: str, name: str) -> Path | None:
        """The file that the config names, or the one of a known name."""
        if path := getattr(self._config, field):
            if not Path(path).is_file():
                raise ValueError(f"source.mimic_cxr.{field}={path}: there is no such file")
            return self._use(Path(path))
        file = self._folder / name
        return self._use(file) if file.is_file() else None

    def named(self, field: str, pattern: str) -> Path | None:
        """The table that the config names, or the one of a known name."""
        return self.given(field, "") if getattr(self._config, field) else self.find(pattern)

    def _use(self, file: Path) -> Path:
        self.used.append(file)
        return file
