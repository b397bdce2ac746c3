"""A table with a row a patient, as CheXpert's demographics are handed out beside its images.

Stanford's file `CHEXPERT DEMO` has the columns PATIENT, GENDER, AGE_AT_CXR, PRIMARY_RACE and
ETHNICITY; it is an Excel workbook, of which the one sheet is to be saved as CSV.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from chexjax.data.sources.demographics import attributes
from chexjax.data.sources.table_rows import text_of
from chexjax.data.sources.tables import read_table
from chexjax.data.study import UnusableStudy

_PATIENT = ("PATIENT", "patient", "patient_id", "subject_id")
_COLUMNS = {
    "sex": ("GENDER", "gender", "sex"),
    "age": ("AGE_AT_CXR", "age"),
    "race": ("PRIMARY_RACE", "race"),
    "ethnicity": ("ETHNICITY", "ethnicity"),
}


class DemographicsTable:
    """What a table says of patients; of one with several rows, what the first of them says."""

    def __init__(self, path: str, field: str) -> None:
        """Reads which patient is where.

        Args:
          path: A table; empty for none, which says nothing of anybody.
          field: What a message calls the path.

        Raises:
          ValueError: there is no such file, it is no table, or it lacks a column.
        """
        self.files: list[Path] = []
        self._rows: dict[str, int] = {}
        if not path:
            return
        file = Path(path)
        if not file.is_file():
            raise ValueError(f"{field}={path}: there is no such file")
        self.files = [file]
        self._table = read_table(file, _PATIENT, field)
        there = self._table.columns
        found = {what: [n for n in names if n in there] for what, names in _COLUMNS.items()}
        self._columns = {what: names[0] for what, names in found.items() if names}
        if not (set(_PATIENT) & set(there) and self._columns):
            raise ValueError(
                f"{field}={path}: it needs a column {_PATIENT[0]} and one of "
                f"{', '.join(names[0] for names in _COLUMNS.values())}; there are "
                f"{', '.join(there)}"
            )
        for row, patient in enumerate(self._table.ids):
            if patient:
                self._rows.setdefault(patient, row)

    def attributes(self, patient: str, edits: dict[str, int]) -> dict[str, str | float]:
        """What is said of a patient, for `Study.attributes`.

        Args:
          patient: The name, as in the table.
          edits: Counts a patient who is not in the table as `demographics_missing`, and what of the
            row cannot be read as `demographics_unreadable`.
        """
        if not self.files:
            return {}
        if patient not in self._rows:
            edits["demographics_missing"] = 1
            return {}
        try:
            cells: Mapping[str, object] = self._table[self._rows[patient]]
        except UnusableStudy:
            edits["demographics_unreadable"] = edits.get("demographics_unreadable", 0) + 1
            return {}
        said = {what: text_of(cells.get(name)) for what, name in self._columns.items()}
        return attributes(said, edits)
