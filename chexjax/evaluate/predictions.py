"""Anybody's reports on held-out studies: JSON lines, `{"id": study, "report": text}`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from chexjax.data.sources.tables import JsonLines

_FORM = '{"id": STUDY, "report": TEXT}'


def read_predictions(file: Path) -> dict[str, str]:
    """Study id -> report, as the file has them; a report may be empty.

    Args:
      file: JSON lines, one report a line; it may be compressed by gzip.

    Raises:
      ValueError: there is no such file, or it has a row that is no report, or a second one on a
        study; names the row, blank lines not counted, and never the report.
    """
    if not file.is_file():
        raise ValueError(f"there is no file {file}; give one of JSON lines, {_FORM}")
    found: dict[str, str] = {}
    rows: dict[str, int] = {}
    table = JsonLines(file, ("id",))
    for number in range(1, len(table.ids) + 1):
        try:
            study, report = _read(table[number - 1])
        except ValueError as error:
            raise ValueError(f"{file}, row {number}: {error}; write {_FORM}") from None
        if study in found:
            raise ValueError(
                f"{file}, row {number}: a second report on the study of row {rows[study]}; "
                "leave one of the two"
            )
        found[study], rows[study] = report, number
    if not found:
        raise ValueError(f"{file} holds no report; write a line {_FORM} for each study")
    return found


def _read(row: Mapping[str, Any]) -> tuple[str, str]:
    study, report = row.get("id"), row.get("report")
    if isinstance(study, bool) or not isinstance(study, str | int) or not str(study).strip():
        raise ValueError('its "id" is no study\'s name')
    if not isinstance(report, str):
        raise ValueError('its "report" is no text, as "" of an empty report is')
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
