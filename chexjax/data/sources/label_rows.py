"""CheXpert's labels of many studies, a byte each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from chexjax.data.chexpert_labels import ABSENT, CHEXPERT_14, PRESENT, UNCERTAIN
from chexjax.data.sources.table_labels import label_named, read_labels
from chexjax.data.study import UnusableStudy

_NOT_SAID = 2

# How the collections' tables and JSON files write them; whatever else there is, is looked at twice.
_USUAL: dict[Any, int] = {None: _NOT_SAID, "": _NOT_SAID}
for _value in (PRESENT, ABSENT, UNCERTAIN):
    _USUAL |= {_value: _value, f"{_value}": _value, f"{_value}.0": _value}


class LabelRows:
    """Labels by row; a table of 227,000 studies takes 3 MB."""

    def __init__(self, rows: int) -> None:
        """Nothing is said of any of `rows` rows."""
        self._values = np.full((rows, len(CHEXPERT_14)), _NOT_SAID, np.int8)
        self._faults: dict[int, str] = {}

    def put(self, row: int, cells: Mapping[str, Any]) -> None:
        """Enters what a table says of a row; a fault waits until somebody asks for the row.

        Args:
          row: Which one.
          cells: Names as in CheXpert -> 1, 0, -1 or nothing, as numbers or text; other columns are
            passed over.
        """
        labels = {label: cell for name, cell in cells.items() if (label := label_named(name))}
        if not all(map(_is_usual, labels.values())):
            try:
                labels = dict(read_labels(labels, "")[0])
            except UnusableStudy as error:
                self._faults[row] = str(error)
                return
        values = np.asarray([_USUAL[labels.get(name)] for name in CHEXPERT_14], np.int8)
        if (self._values[row] != _NOT_SAID).any() and (self._values[row] != values).any():
            self._faults[row] = "its labels are given twice, and differ"
        self._values[row] = values

    def __getitem__(self, row: int) -> dict[str, int]:
        """Label -> 1, 0 or -1, of those of which something is said.

        Raises:
          UnusableStudy: a label is out of range, or given twice.
        """
        if row in self._faults:
            raise UnusableStudy(self._faults[row])
        values = zip(CHEXPERT_14, self._values[row].tolist(), strict=True)
        return {name: value for name, value in values if value != _NOT_SAID}


def _is_usual(cell: Any) -> bool:
    plain = cell is None or isinstance(cell, str | float | int)
    return plain and not isinstance(cell, bool) and cell in _USUAL
