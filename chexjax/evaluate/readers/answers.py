"""What readers filled in: their CSVs, checked against the key, with all that is amiss named."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

_OWN = ("page", "reader", "case", "seconds", "edits", "answered")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answer:
    """One case, answered.

    Attributes:
      reader: Who.
      case: Its name on the page.
      values: Field -> what was filled in.
      seconds: How long the case was in front of the reader.
      edits: Changes of text.
      answered: When, ISO 8601.
    """

    reader: str
    case: str
    values: Mapping[str, str]
    seconds: float
    edits: int
    answered: str


@dataclasses.dataclass(frozen=True)
class Answers:
    """Of all readers: one answer a reader and case, and in words what was amiss."""

    rows: Sequence[Answer]
    amiss: Sequence[str]

    @property
    def readers(self) -> list[str]:
        """Who answered anything, sorted."""
        return sorted({row.reader for row in self.rows})


def read_answers(
    files: Sequence[Path], page: str, cases: Collection[str], allowed: Mapping[str, Collection[str]]
) -> Answers:
    """Reads the readers' CSVs.

    Args:
      files: Any number a reader, such as one at half-time and one at the end.
      page: Name of the page, from the key.
      cases: All cases, in the key's order.
      allowed: Column -> values that it may have; other columns are free text.

    Raises:
      ValueError: a file is no such CSV, or holds answers to another page.
    """
    amiss: list[str] = []
    found: dict[tuple[str, str], Answer] = {}
    for file in files:
        for number, answer in _read(file, page, allowed):
            where = f"{file.name}, line {number}"
            wrong = [
                f"{name}={answer.values.get(name, '')!r}"
                for name, values in allowed.items()
                if answer.values.get(name) not in values
            ]
            if answer.case not in cases:
                amiss.append(f"{where}: the key has no case {answer.case!r}; left out")
            elif wrong or not answer.reader:
                amiss.append(f"{where}: {', '.join(wrong) or 'no reader'}; left out")
            else:
                _enter(found, answer, amiss)
    rows = sorted(found.values(), key=lambda row: (row.reader, row.case))
    for reader in sorted({row.reader for row in rows}):
        lacking = [case for case in cases if (reader, case) not in found]
        if lacking:
            amiss.append(
                f"reader {reader} left {len(lacking)} of {len(cases)} cases unanswered: "
                f"{', '.join(lacking)}"
            )
    return Answers(rows, amiss)


def _enter(found: dict[tuple[str, str], Answer], answer: Answer, amiss: list[str]) -> None:
    """Keeps the later of two answers; only those that differ are worth a word."""
    earlier = found.get((answer.reader, answer.case))
    if earlier is not None:
        kept, dropped = sorted((answer, earlier), key=lambda one: one.answered, reverse=True)
        if kept.values != dropped.values:
            amiss.append(
                f"reader {answer.reader} answered {answer.case} twice, differently; the answer of "
                f"{kept.answered} counts, that of {dropped.answered} does not"
            )
        answer = kept
    found[answer.reader, answer.case] = answer


def _read(file: Path, page: str, required: Iterable[str]) -> Iterable[tuple[int, Answer]]:
    """Line and answer of each row."""
    try:
        text = file.read_text(encoding="utf-8-sig")  # spreadsheets put a mark in front
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} cannot be read ({error}); give CSVs of answers") from error
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)  # some spreadsheets save with semicolons
    table = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    if lacking := [n for n in (*_OWN, *required) if n not in (table.fieldnames or ())]:
        raise ValueError(
            f"{file} has no column {', '.join(lacking)}: give a CSV that the page saved"
        )
    for row in table:
        if row["page"] != page:
            raise ValueError(
                f"{file}, line {table.line_num}: an answer to page {row['page']!r}, but the key is "
                f"that of page {page!r}; give the study that its page came from"
            )
        values = {n: (v or "").strip() for n, v in row.items() if n is not None and n not in _OWN}
        try:
            seconds, edits = float(row["seconds"]), int(row["edits"])
            if not math.isfinite(seconds):
                raise ValueError
        except (TypeError, ValueError):
            raise ValueError(
                f"{file}, line {table.line_num}: seconds={row['seconds']!r}, "
                f"edits={row['edits']!r} are no numbers; give the CSV as the page saved it"
            ) from None
        yield (
            table.line_num,
            Answer(
                reader=(row["reader"] or "").strip(),
                case=row["case"],
                values=values,
                seconds=seconds,
                edits=edits,
                answered=row["answered"],
            ),
        )
