"""Preference data that was made elsewhere: JSON lines or a data set on disk, of pairs or singles.

A pair is `{"id": study, "chosen": text, "rejected": text}`, with `"rewards": [score, score]` where
it has any; a single report is `{"id": study, "completion": text, "label": true or false}`. Rows of
CheXalign's code say `reward_chosen` and `reward_rejected`, and no id: the study is the one that the
folders of its images name. Its candidates with their scores are read as best against worst.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from chexjax.artefacts.files import sha256
from chexjax.data.arrow import Arrow, is_dataset
from chexjax.data.fingerprint import fingerprint
from chexjax.data.reference_folders import REWARDS, STUDY, best_against_worst, study_of
from chexjax.rows import Reject

PAIRED, SINGLE = ("chosen", "rejected"), ("completion",)
"""The texts of a row, by what the file holds."""

MISMATCHED = "mismatched"
"""The report of another row, beside the texts."""


class UnusableRow(ValueError):
    """A row that cannot be used; its message is the reason kept in `rejects.jsonl`."""


def texts_of(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Which texts a row of pairs or of single reports has, the mismatched one left out."""
    return SINGLE if SINGLE[0] in row else PAIRED


def holds_single(file: Path) -> bool:
    """Whether a file holds single reports, by its first row that is either.

    Raises:
      ValueError: there is no such file or row.
    """
    if not (file.is_file() or is_dataset(file)):
        raise ValueError(f"there is no file {file}, and no data set on disk of that name")
    for row in _rows(file):
        if isinstance(row, dict) and any(names[0] in row for names in (PAIRED, SINGLE)):
            return texts_of(row) == SINGLE
    raise ValueError(f"{file} has no row with {PAIRED[0]!r} and {PAIRED[1]!r}, or {SINGLE[0]!r}")


def digest(file: Path) -> str:
    """Of what a file or a data set on disk holds, wherever it lies."""
    return fingerprint(Arrow(file, ()).files()) if file.is_dir() else sha256(file)


def count_rows(file: Path) -> int:
    """Rows of a file, usable or not."""
    return sum(1 for _ in _rows(file))


def read_preferences(
    file: Path, studies: Mapping[str, int]
) -> tuple[list[dict[str, Any]], list[Reject]]:
    """Rows as the `pairs` artefact has them, and what cannot be used of the file.

    A row's id is its study's, with the number of its line behind it: a study can have many. A pair
    without rewards gets 1 and 0, a single report its label.

    Args:
      file: JSON lines or a data set on disk, all pairs or all single reports.
      studies: Id of each study that can be trained on, and its row.

    Raises:
      ValueError: there is no such file, or it holds neither.
    """
    names = SINGLE if holds_single(file) else PAIRED
    found, rejects = [], []
    for number, row in enumerate(_rows(file), 1):
        name = f"{_id(row, studies) or file.name}:{number}"
        try:
            found.append({"id": name, **_checked(row, names, studies)})
        except UnusableRow as error:
            rejects.append(Reject(name, str(error)))
    return found, rejects


def _rows(file: Path) -> Iterator[Any]:
    """The JSON value of each line, None where it is none, or the rows of a data set on disk."""
    if file.is_dir():
        table = Arrow(file, ())
        yield from (best_against_worst(table[row]) for row in range(len(table.ids)))
        return
    with open(file, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                yield json.loads(line)
            except ValueError:
                yield None


def _checked(row: Any, names: Sequence[str], studies: Mapping[str, int]) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise UnusableRow("the line is no JSON object")
    study = _id(row, studies)
    if not isinstance(study, str) or study not in studies:
        raise UnusableRow(f"id {study!r} is of no study to train on")
    texts = {name: row.get(name) for name in names}
    for name, text in texts.items():
        if not isinstance(text, str) or not text.strip():
            raise UnusableRow(f"{name} is no text")
    numbers = _label(row) if names == SINGLE else _rewards(row)
    return {"row": studies[study], **texts, **numbers}


def _id(row: Any, studies: Mapping[str, int]) -> Any:
    """What the row says, or else what its images' folders do."""
    if not isinstance(row, dict):
        return None
    return next((row[name] for name in ("id", STUDY) if name in row), study_of(row, studies))


def _label(row: Mapping[str, Any]) -> dict[str, Any]:
    label = row.get("label")
    if not isinstance(label, bool):
        raise UnusableRow(f"label {label!r} is neither true nor false")
    return {"rewards": [float(label)], "desirable": [float(label)]}


def _rewards(row: Mapping[str, Any]) -> dict[str, Any]:
    if row["chosen"] == row["rejected"]:
        raise UnusableRow("chosen and rejected are the same text")
    given = row.get("rewards", [row.get(name) for name in REWARDS if name in row] or [1.0, 0.0])
    if not (isinstance(given, list) and len(given) == 2 and all(map(_is_finite, given))):
        raise UnusableRow(f"rewards {given!r} are not two finite numbers")
    if given[0] <= given[1]:
        raise UnusableRow(f"rewards {given!r} do not put the chosen report first")
    return {"rewards": [float(reward) for reward in given]}


def _is_finite(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value)
