"""Sex, age and race of MIMIC-CXR's patients, from the tables of MIMIC-IV."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from chexjax.data.sources.columns import column_names, read_columns
from chexjax.data.sources.demographics import broad_race

_RACE = ("race", "ethnicity")
"""What `admissions` calls it, since MIMIC-IV 2 and before."""


class Patients:
    """What `patients.csv.gz` and `admissions.csv.gz` say of some patients."""

    def __init__(
        self, wanted: np.ndarray, patients: Path | None = None, admissions: Path | None = None
    ) -> None:
        """Reads the tables once, and keeps what is said of the patients that are wanted.

        Args:
          wanted: Numbers of patients, `i64[N]`.
          patients: Sex, and age in a certain year; None for none.
          admissions: Race, once for each stay; None for none.

        Raises:
          ValueError: a table cannot be read, or lacks a column.
        """
        known = set(np.unique(wanted).tolist())
        self._persons = dict(_persons(patients, known)) if patients else {}
        self._races = _races(admissions, known) if admissions else {}

    def said(self, patient: int, year: int) -> Mapping[str, str]:
        """What is said of a patient, for `demographics.attributes`.

        Args:
          patient: The number.
          year: Of the study, whose date is shifted as those of MIMIC-IV are; 0 where it is unknown.

        Returns:
          Some of `sex`, `age` and `race`. The age is that in the year of the study, or else the one
          that the table gives; a patient whose race is given differently has the one that is given
          most often, of equals the first in the alphabet.
        """
        sex, age, anchor = self._persons.get(patient, ("", "", 0))
        if year and anchor and age.isdecimal():
            age = str(int(age) + year - anchor)
        return {"sex": sex, "age": age, "race": self._races.get(patient, "")}


def _persons(file: Path, known: set[int]) -> Iterator[tuple[int, tuple[str, str, int]]]:
    columns = ("subject_id", "gender", "anchor_age", "anchor_year")
    for patient, cells in _of_known(file, columns, known):
        gender, age, year = (cell.strip() for cell in cells)
        yield patient, (gender, age, int(year) if year.isdecimal() else 0)


def _races(file: Path, known: set[int]) -> dict[int, str]:
    there = column_names(file)
    column = next((name for name in _RACE if name in there), _RACE[0])
    said: Counter[tuple[int, str]] = Counter()
    for patient, cells in _of_known(file, ("subject_id", column), known):
        if race := broad_race(cells[0]):
            said[patient, race] += 1
    # From the rarest, of equals the last in the alphabet first, so that what counts overwrites it.
    rising = sorted(said, key=lambda one: one[1], reverse=True)
    return dict(sorted(rising, key=said.__getitem__))


def _of_known(
    file: Path, columns: Iterable[str], known: set[int]
) -> Iterator[tuple[int, list[str]]]:
    for _, cells in read_columns(file, *columns):
        if cells and cells[0].strip().isdecimal() and int(cells[0]) in known:
            yield int(cells[0]), list(cells[1:])
