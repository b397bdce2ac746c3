"""Triplets of one's own: a table with an instruction and its answer a row, with images or none."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path

from chexjax.config import local
from chexjax.data.image_files import ImageRules, prepare
from chexjax.data.images import UnusableImage
from chexjax.data.instruct.exclusion import EXCLUDED, plain_id
from chexjax.data.instruct.triplets import Triplet
from chexjax.data.sources.table_rows import TableRows
from chexjax.data.sources.tabular import USUAL
from chexjax.data.splits import split_named
from chexjax.data.study import Rejected, UnusableStudy

_USUAL = {
    "id": ("id", "unique_id"),
    "split": USUAL["split"],
    "image": USUAL["image"],
    "instruction": ("instruction", "question", "prompt"),
    "answer": ("answer", "output", "response", "completion"),
    "task": ("task",),
    "study": ("study", "study_id"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class TripletTable:
    """Which column of a table holds what; an empty name stands for a usual one that is there.

    Attributes:
      path: The table: JSON lines, CSV, a Hugging Face data set on disk, or a folder with one.
      id: Name of the triplet; without such a column, triplets are numbered by their rows.
      split: See `splits.split_named`; without it, all are for training.
      image: Paths, relative to the table, with `;` or `|` between two; empty cells for text alone.
      instruction: What is asked.
      answer: What is to be answered.
      task: What kind of question it is.
      study: Id of the study that it is about, by which it can be excluded.
      image_folder: What paths of images are relative to; empty for the table's folder.
    """

    path: str = local("")
    id: str = ""
    split: str = ""
    image: str = ""
    instruction: str = ""
    answer: str = ""
    task: str = ""
    study: str = ""
    image_folder: str = local("")


class TripletSource:
    """The triplets of a table in the order of its rows."""

    def __init__(self, dataset: str, config: TripletTable, *, held_out: bool = False) -> None:
        """Finds the table, its rows and its columns.

        Args:
          dataset: What the table is called in the mixture.
          config: Where it is, and its columns.
          held_out: Whether all of its triplets are for testing, whatever it says.

        Raises:
          ValueError: there is no table, it cannot be read, or it lacks a column.
        """
        field = f"mixture.tables.{dataset}"
        if not config.path or not Path(config.path).exists():
            raise ValueError(f"{field}.path={config.path}: there is no such file or folder")
        self._dataset, self._held_out = dataset, held_out
        self._rows = TableRows(
            Path(config.path), config, _USUAL, path_field=f"{field}.path", field=field
        )
        self._rows.require(("instruction",), "no instructions")
        self._rows.require(("answer",), "no answers")
        names = [self._rows.id(index) for index in range(len(self))]
        self._first = {name: len(names) - k for k, name in enumerate(reversed(names), 1)}

    def __len__(self) -> int:
        """Number of rows."""
        return len(self._rows)

    def id(self, index: int) -> str:
        """Name of a triplet: the data set's, and what the row says, or its number."""
        return f"{self._dataset}/{self._rows.id(index)}"

    def fingerprint(self) -> str:
        """Of the table whole, of the images that it names by size."""
        return self._rows.fingerprint(images=True)

    def __getitem__(self, index: int) -> Triplet:
        """Reads one row and its images.

        Raises:
          UnusableStudy: the row, its split or its images cannot be used, or its id is taken.
        """
        if self._first[self._rows.id(index)] != index:
            raise UnusableStudy("an earlier triplet has the same id")
        cells = self._rows.table[index]
        said = {kind: self._rows.string(cells, kind) for kind in _USUAL if kind != "image"}
        pictures = self._rows.pictures(cells)
        if absent := [picture for picture in pictures if picture.content is None]:
            raise UnusableStudy(f"images that it names are not there: {len(absent)}")
        for kind in ("instruction", "answer"):
            if not said[kind]:
                raise UnusableStudy(f"its {kind} is empty")
        return Triplet(
            id=self.id(index),
            split="test" if self._held_out else split_named(said["split"] or "train"),
            dataset=self._dataset,
            task=said["task"],
            studies=(said["study"],) if said["study"] else (),
            images=tuple(picture.read() for picture in pictures),
            instruction=said["instruction"],
            answer=said["answer"],
        )


def read_triplets(
    source: TripletSource, rows: Iterable[int], images: ImageRules, excluded: frozenset[str]
) -> Iterator[Triplet | Rejected]:
    """Reads triplets and makes of each image what studies keep of it.

    Args:
      source: Where they come from.
      rows: Their indices.
      images: What becomes of images.
      excluded: Ids of studies that no triplet may be about, as of `excluded_ids`.

    Raises:
      ArtefactError: an image is DICOM, and nothing is installed that reads it.
    """
    for index in rows:
        try:
            triplet = source[index]
            if excluded & {plain_id(name) for name in triplet.studies}:
                raise UnusableStudy(EXCLUDED)
            kept = tuple(prepare(image, images) for image in triplet.images)
        except (UnusableStudy, UnusableImage) as error:
            yield Rejected(source.id(index), str(error))
        except OSError as error:
            yield Rejected(source.id(index), f"the triplet cannot be read: {error.strerror}")
        else:
            yield dataclasses.replace(triplet, images=kept)
