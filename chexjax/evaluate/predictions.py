"""Anybody's reports on held-out studies: JSON lines, `{"id": study, "report": text}`."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from chexjax.data.study import UnusableStudy
from chexjax.data.text import decode

_FORM = '{"id": STUDY, "report": TEXT}'


def read_predictions(file: Path) -> dict[str, str]:
    """Study id -> report, as the file has them; a report may be empty.

    Args:
      file: JSON lines, one report a line; blank lines are passed over.

    Raises:
      ValueError: there is no such file, or it has a line that is no report, or a second one on a
        study; names the line, never the report.
    """
    if not file.is_file():
        raise ValueError(f"there is no file {file}; give one of JSON lines, {_FORM}")
    found: dict[str, str] = {}
    lines: dict[str, int] = {}
    for number, line in enumerate(file.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            study, report = _read(line)
        except ValueError as error:
            raise ValueError(f"{file}, line {number}: {error}") from None
        if study in found:
            raise ValueError(
                f"{file}, line {number}: a second report on the study of line {lines[study]}; "
                "leave one of the two"
            )
        found[study], lines[study] = report, number
    if not found:
        raise ValueError(f"{file} holds no report; write a line {_FORM} for each study")
    return found


def _read(line: bytes) -> tuple[str, str]:
    try:
        row: Any = json.loads(decode(line))
    except (UnusableStudy, ValueError):
        raise ValueError(f"it is no JSON; write {_FORM}") from None
    if not isinstance(row, Mapping):
        raise ValueError(f"it is no JSON object; write {_FORM}")
    study, report = row.get("id"), row.get("report")
    if isinstance(study, bool) or not isinstance(study, str | int) or not str(study).strip():
        raise ValueError(f'its "id" is no study\'s name; write {_FORM}')
    if not isinstance(report, str):
        raise ValueError(f'its "report" is no text; write {_FORM}, with "" for an empty report')
    return str(study), report


def matched(
    reports: Mapping[str, str], studies: Collection[str], file: Path
) -> tuple[dict[str, str], list[str]]:
    """The reports on these studies, and the ids of the others.

    Raises:
      ValueError: none is on any of them.
    """
    own = {study: report for study, report in reports.items() if study in studies}
    if not own:
        raise ValueError(
            f"{file}: none of its {len(reports):,} ids is one of the {len(studies):,} studies to "
            "evaluate; use the ids that the studies of this run have"
        )
    return own, [study for study in reports if study not in own]
