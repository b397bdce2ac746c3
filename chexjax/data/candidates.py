"""Candidates that were made elsewhere, for judges of this run.

They are the data sets of candidates that CheXalign's code makes, whose scores are passed over where
they have any, or JSON lines of `{"id": study, "candidates": [text, ...]}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chexjax.data.given import Row, UnusableRow, open_given, readable, sort_out
from chexjax.data.reference_folders import candidates_of
from chexjax.rows import Reject

_COLUMN = "candidates"


def count_candidates(file: Path) -> int:
    """Candidates of the first row that has any.

    Raises:
      ValueError: there is no such file or row.
    """
    counts = (len(_texts(row)) for row in readable(open_given(file)))
    if count := next(filter(None, counts), 0):
        return count
    raise ValueError(
        f"{file} has no row with candidates: no {_COLUMN!r}, no 'candidate_findings_1'"
    )


def read_candidates(
    file: Path, studies: Mapping[str, int], count: int
) -> tuple[list[Row], list[Reject]]:
    """Rows with the `id` and `row` of a study and its candidates, in the studies' order.

    Args:
      file: JSON lines or a data set on disk.
      studies: Id of each study that candidates are wanted of, and its row.
      count: Candidates that each must have.

    Returns:
      The rows, and what cannot be used of the file.

    Raises:
      ValueError: there is no such file.
    """
    seen: set[str] = set()

    def use(row: Mapping[str, Any], study: str) -> Row:
        texts = _texts(row)
        if len(texts) != count:
            raise UnusableRow(f"candidates: {len(texts)}, where {count} are wanted")
        for place, text in enumerate(texts, 1):
            if not isinstance(text, str) or not text.strip():
                raise UnusableRow(f"candidate {place} is no text")
        if study in seen:
            raise UnusableRow("an earlier row has candidates of the same study")
        seen.add(study)
        reports = [{"report": text} for text in texts]
        return {"id": study, "row": studies[study], "candidates": reports}

    found, rejects = sort_out(file, studies, use)
    return sorted((row for _, row in found), key=lambda row: row["row"]), rejects


def _texts(row: Mapping[str, Any]) -> list[Any]:
    given = row.get(_COLUMN)
    return given if isinstance(given, list) else list(candidates_of(row).values())
