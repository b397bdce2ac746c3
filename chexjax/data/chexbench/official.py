"""CheXbench's official file: one JSON object, task -> list of items, beside a folder of images.

An item that is chosen from has `image_path` (one path, several parted by `|`, or a list),
`question`, `option_0` to `option_3` (entries that are no text are left out), `answer` (an index of
those that are left), `data_source` and `slice`. The text tasks have `section_indication`,
`section_findings` and `section_impression`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from chexjax.config import nearest
from chexjax.data.chexbench.questions import (
    FINDINGS,
    MOST_OPTIONS,
    PERCEPTION,
    SUMMARY,
    TEXT,
    Question,
    UnusableQuestion,
)
from chexjax.data.fingerprint import fingerprint
from chexjax.data.image_files import ImageRules, prepare
from chexjax.data.images import UnusableImage

CHOICES = (*PERCEPTION, "Temporal Classification", "Fine-Grained Reasoning")
"""Tasks of either version of the file whose answers are chosen from options."""

_FINDINGS_IMAGES = 2
_AS_THEY_ARE = ImageRules()

Item = Mapping[str, Any]


class OfficialQuestions:
    """The questions of the official file, in its order; images are read when they are asked for."""

    def __init__(
        self,
        file: Path,
        images: Path,
        tasks: Sequence[str] = (),
        count: int | None = None,
        rules: ImageRules = _AS_THEY_ARE,
    ) -> None:
        """Reads the file.

        Args:
          file: The JSON file.
          images: Folder that its image paths start from.
          tasks: Names of the tasks to ask; empty for all that can be asked.
          count: Questions of each task, from the first; None for all.
          rules: What becomes of image files.

        Raises:
          ValueError: the file is not there, not of this layout or without these tasks.
        """
        self._file, self._images, self._rules = file, images, rules
        found = _read(file)
        for task in tasks:
            if task not in found or task not in (*CHOICES, *TEXT):
                known = [name for name in found if name in (*CHOICES, *TEXT)]
                raise ValueError(f"tasks: {file} has no task {task!r}{nearest(task, known)}")
        wanted = tasks or [task for task in (*CHOICES, *TEXT) if task in found]
        if not wanted:
            raise ValueError(f"{file} has no task of CheXbench; it has {', '.join(found)}")
        self.left_out = sorted(set(found) - set(wanted))
        self._items = [
            (task, number, item)
            for task in wanted
            for number, item in enumerate(found[task][:count])
        ]

    def __len__(self) -> int:
        """Number of questions."""
        return len(self._items)

    def id(self, index: int) -> str:
        """Task and number in the file, from 0."""
        task, number, _ = self._items[index]
        return f"{task}/{number:05d}"

    def fingerprint(self) -> str:
        """Of the file by its bytes, of the images that it names by their sizes."""
        named = {
            path
            for _, _, item in self._items
            if isinstance(item, Mapping)
            for path in _paths(item.get("image_path"))
        }
        files = ((path, self._images / path) for path in sorted(named) if _stays_inside(path))
        sizes = [(path, file.stat().st_size) for path, file in files if os.path.isfile(file)]
        return fingerprint([self._file], sizes)

    def __getitem__(self, index: int) -> Question:
        """One question with its images.

        Raises:
          UnusableQuestion: a field is missing or of the wrong type, or an image cannot be used.
        """
        task, _, item = self._items[index]
        if not isinstance(item, Mapping):
            raise UnusableQuestion("it is no JSON object")
        values: dict[str, Any] = {
            "id": self.id(index),
            "task": task,
            "source": _optional(item, "data_source"),
            "slice": _optional(item, "slice"),
        }
        if task == SUMMARY:
            findings = _text(item, "section_findings")
            values["text"] = f"Summarize the following Findings: {findings}"
            return Question(reference=_text(item, "section_impression"), **values)
        paths = _paths(item.get("image_path"))
        if not paths:
            raise UnusableQuestion("image_path names no image")
        if task == FINDINGS:
            values["images"] = self._read(paths[:_FINDINGS_IMAGES])
            values["text"] = _optional(item, "section_indication")
            return Question(reference=_text(item, "section_findings"), **values)
        values["images"] = self._read(paths)
        values |= {"text": _text(item, "question"), "answer": _answer(item)}
        return Question(options=_options(item), **values)

    def _read(self, paths: Sequence[str]) -> tuple[bytes, ...]:
        """The images; messages number them, since official paths hold numbers of patients."""
        return tuple(
            self._image(path, f"image {k + 1} of {len(paths)}") for k, path in enumerate(paths)
        )

    def _image(self, path: str, name: str) -> bytes:
        if not _stays_inside(path):
            raise UnusableQuestion(f"the path of {name} leads out of the images' folder")
        try:
            return prepare((self._images / path).read_bytes(), self._rules)
        except FileNotFoundError as error:
            raise UnusableQuestion(f"{name} is not below the images' folder") from error
        except OSError as error:
            raise UnusableQuestion(f"{name} cannot be read: {error.strerror}") from error
        except UnusableImage as error:
            raise UnusableQuestion(f"{name}: {error}") from error


def _read(file: Path) -> dict[str, list[Any]]:
    """Task -> items."""
    try:
        found = json.loads(file.read_text("utf-8-sig"))
    except OSError as error:
        raise ValueError(f"path={file} cannot be read: {error.strerror}") from error
    except ValueError as error:  # of JSON and of UTF-8
        raise ValueError(f"path={file} is no JSON: {error}") from error
    if not isinstance(found, dict) or not all(isinstance(one, list) for one in found.values()):
        raise ValueError(f"path={file} is not CheXbench's: it is no object of task -> list")
    return found


def _paths(value: Any) -> list[str]:
    """The paths of `image_path`, whichever way it holds them."""
    paths = value.split("|") if isinstance(value, str) else value
    if not isinstance(paths, list):
        return []
    return [path for path in paths if isinstance(path, str) and path]


def _stays_inside(path: str) -> bool:
    parsed = PurePosixPath(path)
    return not parsed.is_absolute() and ".." not in parsed.parts


def _text(item: Item, field: str) -> str:
    value = item.get(field)
    if not isinstance(value, str):
        raise UnusableQuestion(f"{field} is no text")
    return value.strip()


def _optional(item: Item, field: str) -> str:
    """A field that may be missing, NaN or a number."""
    value = item.get(field)
    if isinstance(value, str):
        return value.strip()
    return str(value) if isinstance(value, int) else ""


def _options(item: Item) -> tuple[str, ...]:
    values = (item.get(f"option_{k}") for k in range(MOST_OPTIONS))
    return tuple(value for value in values if isinstance(value, str))


def _answer(item: Item) -> int:
    value = item.get("answer")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise UnusableQuestion("answer is no index")
    return value
