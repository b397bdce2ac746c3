"""The reports of MIMIC-CXR: text files, a table of their sections, or rewritten by organ system."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from chexjax.data.sections import last_paragraph, sections
from chexjax.data.sources.tables import Csv
from chexjax.data.study import UnusableStudy
from chexjax.data.text import decode

_SECTIONS = ("findings", "impression", "indication")
_TWICE = -1


def patient_folder(subject: int) -> str:
    """`files/p10/p10000032`, below which a patient's reports and images lie."""
    return f"files/{f'p{subject}'[:3]}/p{subject}"


class Sectioned:
    """`mimic_cxr_sectioned.csv`: a row a study, a column a section."""

    def __init__(self, file: Path) -> None:
        """Finds the rows.

        Raises:
          ValueError: the table cannot be read, or has neither studies nor findings.
        """
        if file.suffix == ".gz":
            raise ValueError(f"{file}: its rows are read out of order; unpack it")
        self._table = Csv(file, ("study", "study_id"))
        for names in (("study", "study_id"), ("findings",)):
            if not set(names) & set(self._table.columns):
                there = ", ".join(self._table.columns)
                raise ValueError(
                    f"{file}: it has no column {' or '.join(names)}; there are {there}"
                )
        self.columns = [name for name in _SECTIONS if name in self._table.columns]
        self._rows: dict[int, int] = {}
        for row, name in enumerate(self._table.ids):
            if (number := name.removeprefix("s")).isdecimal():
                self._rows[int(number)] = _TWICE if int(number) in self._rows else row

    def __getitem__(self, study: int) -> Mapping[str, str]:
        """The sections of a study, and its `last_paragraph`; empty where it has no row.

        Raises:
          UnusableStudy: it has two rows, or one that cannot be read.
        """
        row = self._rows.get(study)
        if row == _TWICE:
            raise UnusableStudy("the table of sections has two rows of it")
        return {} if row is None else self._table[row]


class Structured:
    """Findings by organ system, as `{"findings": {"s50414267": text}, "impression": {...}}`.

    The whole file is in memory: some 100 MB for the 148,000 studies of MIMIC-CXR-Struct.
    """

    def __init__(self, file: Path) -> None:
        """Reads the file.

        Raises:
          ValueError: it is no JSON of this form.
        """
        try:
            said = json.loads(decode(file.read_bytes()))
        except (OSError, ValueError) as error:
            raise ValueError(f"{file} cannot be read: {type(error).__name__}") from error
        texts = said.get("findings") if isinstance(said, dict) else None
        if not isinstance(texts, dict):
            raise ValueError(f"{file}: it has no object 'findings' with a text for each study")
        impressions = said.get("impression")
        self._texts = {
            "findings": texts,
            "impression": impressions if isinstance(impressions, dict) else {},
        }

    def __getitem__(self, study: int) -> Mapping[str, str]:
        """Findings and impression of a study.

        Raises:
          UnusableStudy: it has no findings there, or something that is no text.
        """
        found = {name: texts.get(f"s{study}", "") for name, texts in self._texts.items()}
        if not all(isinstance(text, str) for text in found.values()):
            raise UnusableStudy("its structured findings are no text")
        if not found["findings"]:
            raise UnusableStudy("it has no structured findings")
        return {name: text for name, text in found.items() if text}


class Reports:
    """What is known of each report, the most worked over first.

    Structured findings, where they are given, are findings and impression; the table of sections
    decides what it has a column for; the rest is read from the text file.
    """

    def __init__(
        self,
        folder: Path,
        sectioned: Sectioned | None = None,
        structured: Structured | None = None,
        *,
        conclude: bool = False,
    ) -> None:
        """Names what is read.

        Args:
          folder: Where `files/p10/p10000032/s50414267.txt` lies.
          sectioned: The table of sections, if there is one.
          structured: Findings by organ system, if there are any.
          conclude: Take the last paragraph for findings where a report has no sections.
        """
        self._folder, self._sectioned, self._structured = folder, sectioned, structured
        self._conclude = conclude

    def sections(self, study: int, subject: int, edits: dict[str, int]) -> dict[str, str]:
        """Some of `findings`, `impression` and `indication`.

        Args:
          study: Number of the study.
          subject: Number of its patient.
          edits: Counts a last paragraph that was taken for findings.

        Raises:
          UnusableStudy: there is no report, or none of the kind that was asked for.
        """
        found: dict[str, str] = {}
        if self._structured:
            found |= self._structured[study]
        if len(found) < len(_SECTIONS) and self._sectioned and (row := self._sectioned[study]):
            found = {name: row[name] for name in self._sectioned.columns} | found
            self._take_last(found, row.get("last_paragraph", ""), edits)
        if len(found) < len(_SECTIONS):
            report = self._text(study, subject, needed=not found)
            found = sections(report) | found
            self._take_last(found, last_paragraph(report), edits)
        return found

    def _take_last(self, found: dict[str, str], paragraph: str, edits: dict[str, int]) -> None:
        said = found.get("findings") or found.get("impression")
        if self._conclude and paragraph and not said:
            found["findings"] = paragraph
            edits["last_paragraph"] = 1

    def _text(self, study: int, subject: int, *, needed: bool) -> str:
        try:
            return decode((self._folder / patient_folder(subject) / f"s{study}.txt").read_bytes())
        except FileNotFoundError as error:
            if needed:
                raise UnusableStudy("its report is not there") from error
            return ""
