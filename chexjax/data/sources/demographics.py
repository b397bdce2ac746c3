"""Who a patient is, in the words that all sources share, so that evaluation can slice by them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

_SEXES = {"f": "F", "female": "F", "m": "M", "male": "M"}
_NOT_SAID = {
    "",
    "declined",
    "n/a",
    "nan",
    "not reported",
    "patient declined to answer",
    "patient refused",
    "refused",
    "unable to obtain",
    "unknown",
}
_OLDEST = 120


def attributes(said: Mapping[str, str], edits: dict[str, int]) -> dict[str, str | float]:
    """What `Study.attributes` keeps of a patient; what a source doesn't say is left out.

    Args:
      said: `sex`, `age` in years (`61`, `061Y` as in DICOM, or `1-5 years`, of which
        the middle is kept), and others, as the source writes
        them.
      edits: Counts cells of sex and age that cannot be read as `demographics_unreadable`.

    Returns:
      `sex` as `F` or `M`, `age` as a number, whatever else as it is said.
    """
    found: dict[str, str | float] = {}
    for name, text in said.items():
        text = text.strip()
        if text.lower() in _NOT_SAID:
            continue
        value = {"sex": _sex, "age": _age}.get(name, str)(text)
        if value is None:
            edits["demographics_unreadable"] = edits.get("demographics_unreadable", 0) + 1
        else:
            found[name] = value
    return found


def broad_race(text: str) -> str:
    """`WHITE` for `WHITE - RUSSIAN`, in the terms of MIMIC-IV; empty where nothing is said."""
    broad = text.partition(" - ")[0].strip()
    return "" if broad.lower() in _NOT_SAID else broad


def _sex(text: str) -> str | None:
    return _SEXES.get(text.lower())


def _age(text: str) -> float | None:
    plain = re.sub(r"\s*Y(EARS?)?$", "", text.upper())
    try:
        ends = [float(end) for end in plain.split("-", 1)]
    except ValueError:
        return None
    years = sum(ends) / len(ends)
    return years if math.isfinite(years) and 0 <= years <= _OLDEST else None
