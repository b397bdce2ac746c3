"""Labels as tables have them: a column each, a list of what is present, or names with values."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from chexjax.data.chexpert_labels import ABSENT, CHEXPERT_14, PRESENT, UNCERTAIN
from chexjax.data.study import UnusableStudy, quoted

OTHER_NAMES = {
    "effusion": "Pleural Effusion",
    "infiltration": "Lung Opacity",
    "mass": "Lung Lesion",
    "nodule": "Lung Lesion",
    "pleural thickening": "Pleural Other",
    "airspace opacity": "Lung Opacity",
    "normal": "No Finding",
}
"""Names of ChestX-ray14 and of older versions of CheXpert -> the label that they are here."""

_NAMES = {name.lower(): name for name in CHEXPERT_14} | OTHER_NAMES


def label_named(name: str) -> str | None:
    """The CheXpert label of a name in any case, with blanks or underscores; None for none."""
    return _NAMES.get(" ".join(name.replace("_", " ").lower().split()))


def read_labels(cells: Mapping[str, Any], column: str) -> tuple[dict[str, int], list[str]]:
    """The labels of a row.

    Args:
      cells: The row.
      column: Column with names and values (a dict), or with the names of what is present (a list,
        or text with `|` or `;` between them); empty where each label has a column of its own.

    Returns:
      Label -> 1, 0 or -1, and the names that are none of CheXpert's. What is only named is present;
      with it, `No Finding` is absent, and with `No Finding` alone nothing more is said.

    Raises:
      UnusableStudy: a value is none of 1, 0, -1 and empty, or a number stands where names should.
    """
    value = cells.get(column) if column else cells
    if isinstance(value, Mapping):
        given = ((label_named(str(name)), cell) for name, cell in value.items())
        return _values((name, cell) for name, cell in given if name), []
    names = _named(value)
    found = {label: PRESENT for name in names if (label := label_named(name))}
    if set(found) - {"No Finding", "Support Devices"}:
        found["No Finding"] = ABSENT
    return found, [name for name in names if label_named(name) is None]


def _named(value: Any) -> list[str]:
    """The names in a cell that has no values, without blank ones."""
    if value is None or value != value:  # not a number: pandas' empty cell
        return []
    if isinstance(value, str):
        value = re.split(r"[|;]", value)
    elif not isinstance(value, list | tuple):  # such as the number of a class, whose name is lost
        raise UnusableStudy(f"its labels are no names: {quoted(value)}")
    return [text for name in value if name is not None and (text := str(name).strip())]


def _values(given: Iterable[tuple[str, Any]]) -> dict[str, int]:
    """Values as numbers; where two names mean one label, the stronger statement counts."""
    found: dict[str, int] = {}
    for name, cell in given:
        value = _value(name, cell)
        if value is not None:
            found[name] = max(found.get(name, value), value, key=(ABSENT, UNCERTAIN, PRESENT).index)
    return found


def _value(name: str, cell: Any) -> int | None:
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return None
    try:
        number = float(cell)
    except (TypeError, ValueError):
        number = math.inf
    if math.isnan(number):  # how pandas writes an empty cell
        return None
    if number not in (PRESENT, ABSENT, UNCERTAIN):
        raise UnusableStudy(f"a label is not 1, 0, -1 or empty: {name} = {quoted(cell)}")
    return int(number)
