"""Which studies MIMIC-CXR has, and what its tables say of them and of their images.

Ids are held as numbers, words as places in short lists. Tables of the whole collection's size
(227,835 studies) with their labels are read in half a minute, with 240 MB at the most.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from chexjax.data.sources.columns import read_columns
from chexjax.data.views import UNKNOWN, view_name

_DIGITS = 18  # of the largest numbers that an i64 surely holds


def is_number(cell: str) -> bool:
    """Whether a cell is the number of a study or a patient."""
    return cell.isdecimal() and len(cell) <= _DIGITS


class Words:
    """A column of few different words: a number each, in the order of their coming."""

    def __init__(self, first: str = "") -> None:
        self.words = [first]
        self._numbers = {first: 0}

    def number(self, word: str) -> int:
        """The number that stands for a word."""
        if word not in self._numbers:
            self._numbers[word] = len(self.words)
            self.words.append(word)
        return self._numbers[word]


@dataclasses.dataclass(frozen=True)
class Image:
    """What the tables say of one image."""

    name: str
    view: str


class Index:
    """Studies in the order of their numbers, from `mimic-cxr-2.0.0-split.csv.gz`.

    Attributes:
      studies: Numbers of all studies, rising, `i64[S]`.
      subjects: The patient of each, `i64[S]`.
      years: When it was made, as the metadata says it, shifted as all dates are; 0 where they
        don't, `i32[S]`.
      bad_rows: Line and fault of rows of the split table that name no study.
    """

    def __init__(self, split: Path, metadata: Path | None) -> None:
        """Reads both tables once.

        Args:
          split: The table of official splits, which has a row an image.
          metadata: The table of views and dates; None for unknown ones.

        Raises:
          ValueError: a table cannot be read, or lacks a column.
        """
        self.bad_rows: list[tuple[int, str]] = []
        self._split_words = Words()
        names, studies, subjects, splits = self._read_split(split)
        order = np.argsort(studies, kind="stable")
        self._names, self._splits = names[order], splits[order]
        self._all_subjects = subjects[order]
        self.studies, first = np.unique(studies[order], return_index=True)
        self._ends = np.append(first, len(order))
        self.subjects = self._all_subjects[first]
        self._view_words = Words(UNKNOWN)
        self._views = np.zeros(len(order), np.int16)
        self.years = np.zeros(len(self.studies), np.int32)
        if metadata:
            self._read_metadata(metadata)

    def __len__(self) -> int:
        return len(self.studies)

    def images(self, study: int) -> list[Image]:
        """The images of the study at a place, in the table's order, as often as it names them."""
        rows = slice(*self._ends[study : study + 2])
        return [
            Image(name.decode(), self._view_words.words[view])
            for name, view in zip(self._names[rows].tolist(), self._views[rows], strict=True)
        ]

    def splits(self, study: int) -> list[str]:
        """The splits that the rows of a study name, without repetition; one where all is well."""
        found = np.unique(self._splits[slice(*self._ends[study : study + 2])])
        return [self._split_words.words[number] for number in found]

    def patients(self, study: int) -> int:
        """How many patients the rows of a study name; one where all is well."""
        return len(np.unique(self._all_subjects[slice(*self._ends[study : study + 2])]))

    def places(self, studies: Iterable[int]) -> np.ndarray:
        """Where studies of these numbers stand, `i64[N]`; -1 for one that is not there."""
        return _places(self.studies, np.fromiter(studies, np.int64))

    def _read_split(self, file: Path) -> tuple[np.ndarray, ...]:
        names, studies, subjects, splits = [], [], [], []
        for line, cells in read_columns(file, "dicom_id", "study_id", "subject_id", "split"):
            if cells is None:
                self.bad_rows.append((line, "its row has not as many fields as the table columns"))
                continue
            name, study, subject, split = (cell.strip() for cell in cells)
            if not (name and is_number(study) and is_number(subject)):
                self.bad_rows.append((line, "its row names no image, study and patient"))
                continue
            names.append(name.encode())
            studies.append(int(study))
            subjects.append(int(subject))
            splits.append(self._split_words.number(split))
        return (
            np.asarray(names, np.bytes_),
            np.asarray(studies, np.int64),
            np.asarray(subjects, np.int64),
            np.asarray(splits, np.int16),
        )

    def _read_metadata(self, file: Path) -> None:
        """Views and years by the images' names; rows of other images are passed over."""
        names, views, years = [], [], []
        for _, cells in read_columns(file, "dicom_id", "ViewPosition", "StudyDate"):
            if cells is not None:
                names.append(cells[0].strip().encode())
                views.append(self._view_words.number(view_name(cells[1])))
                years.append(int(cells[2][:4]) if cells[2][:4].isdecimal() else 0)
        order = np.argsort(self._names, kind="stable")
        found = _places(self._names[order], np.asarray(names, np.bytes_))
        rows = order[found[found >= 0]]
        self._views[rows] = np.asarray(views, np.int16)[found >= 0]
        of_study = np.searchsorted(self._ends, rows, side="right") - 1
        self.years[of_study] = np.asarray(years, np.int32)[found >= 0]


def _places(among: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Where values stand in a rising array; -1 for those that don't."""
    if not len(among) or not len(wanted):
        return np.full(len(wanted), -1)
    places = np.minimum(np.searchsorted(among, wanted), len(among) - 1)
    return np.where(among[places] == wanted, places, -1)
