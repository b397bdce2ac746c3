"""Preference data that was made elsewhere: JSON lines or a data set on disk, of pairs or singles.

A pair is `{"id": study, "chosen": text, "rejected": text}`, with `"rewards": [score, score]` where
it has any; a single report is `{"id": study, "completion": text, "label": true or false}`. Rows of
CheXalign's code say `reward_chosen` and `reward_rejected`, and its candidates with their scores,
gathered or still in chunks, are read as best against worst.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chexjax.data.given import Row, UnusableRow, open_given, readable, sort_out
from chexjax.data.reference_folders import REWARDS, candidates_of, scores_of
from chexjax.data.study import quoted
from chexjax.rows import Reject

PAIRED, SINGLE = ("chosen", "rejected"), ("completion",)
"""The texts of a row, by what the file holds."""

MISMATCHED = "mismatched"
"""The report of another row, beside the texts."""


def texts_of(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Which texts a row of pairs or of single reports has, the mismatched one left out."""
    return SINGLE if SINGLE[0] in row else PAIRED


def holds_single(file: Path) -> bool:
    """Whether a file holds single reports, by its first row that is either.

    Raises:
      ValueError: there is no such file or row.
    """
    for row in readable(open_given(file)):
        named = any(names[0] in row for names in (PAIRED, SINGLE))
        if named or (candidates_of(row) and scores_of(row)):
            return texts_of(row) == SINGLE
    raise ValueError(
        f"{file} has no row with {PAIRED[0]!r} and {PAIRED[1]!r}, or {SINGLE[0]!r}, or scores; "
        "candidates alone belong into config.sample.source"
    )


def read_preferences(file: Path, studies: Mapping[str, int]) -> tuple[list[Row], list[Reject]]:
    """Rows as the `pairs` artefact has them, and what cannot be used of the file.

    A row's id is its study's, with the number of the row behind it: a study can have many. A pair
    without rewards gets 1 and 0, a single report its label.

    Args:
      file: All pairs or all single reports, see `open_given`.
      studies: Id of each study that can be trained on, and its row.

    Raises:
      ValueError: there is no such file, or it holds neither.
    """
    names = SINGLE if holds_single(file) else PAIRED

    def use(row: Mapping[str, Any], study: str) -> Row:
        row = best_against_worst(row)
        texts = {name: row.get(name) for name in names}
        for name, text in texts.items():
            if not isinstance(text, str) or not text.strip():
                raise UnusableRow(f"{name} is no text")
        numbers = _label(row) if names == SINGLE else _rewards(row)
        return {"row": studies[study], **texts, **numbers}

    found, rejects = sort_out(file, studies, use)
    return [{"id": name, **row} for name, row in found], rejects


def best_against_worst(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """A row of scored candidates as a pair, of equals the first; any other row as it is.

    Raises:
      UnusableRow: several judges have scored it, or a candidate has no finite score.
    """
    candidates, judged = candidates_of(row), scores_of(row)
    if not (candidates and judged):
        return row
    if len(judged) > 1:
        raise UnusableRow(f"several judges have scored it: {', '.join(judged)}")
    [scores] = judged.values()
    for number in candidates:
        if not _is_finite(scores.get(number)):
            raise UnusableRow(f"candidate {number} has no finite score: {scores.get(number)!r}")
    best, worst = (pick(candidates, key=scores.__getitem__) for pick in (max, min))
    return {
        "chosen": candidates[best],
        "rejected": candidates[worst],
        "rewards": [scores[best], scores[worst]],
    }


def _label(row: Mapping[str, Any]) -> Row:
    label = row.get("label")
    if not isinstance(label, bool):
        raise UnusableRow(f"label {quoted(label)} is neither true nor false")
    return {"rewards": [float(label)], "desirable": [float(label)]}


def _rewards(row: Mapping[str, Any]) -> Row:
    if row["chosen"] == row["rejected"]:
        raise UnusableRow("chosen and rejected are the same text")
    given = row.get("rewards", [row.get(name) for name in REWARDS if name in row] or [1.0, 0.0])
    if not (isinstance(given, list) and len(given) == 2 and all(map(_is_finite, given))):
        raise UnusableRow(f"rewards {quoted(given)} are not two finite numbers")
    if given[0] <= given[1]:
        raise UnusableRow(f"rewards {quoted(given)} do not put the chosen report first")
    return {"rewards": [float(reward) for reward in given]}


def _is_finite(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value)
