"""Which way a radiograph lies in its DICOM file, by PatientOrientation (PS3.3, C.7.6.1.1.1).

The attribute says towards what rows run from left to right, and columns from the top: the patient's
left or right, anterior or posterior, head or feet. A frontal view is read as facing the patient,
`L\\F`; a lateral one feet down, from whichever side it was taken.
"""

from __future__ import annotations

from collections.abc import Sequence

from PIL.Image import Transpose

_FRONTAL, _LATERAL, _UPRIGHT = frozenset("LR"), frozenset("AP"), frozenset("HF")
_VIEWS = {"PA": _FRONTAL, "AP": _FRONTAL, "LL": _LATERAL, "RL": _LATERAL}
"""The directions across a view, by its ViewPosition; other views are laid out in many ways."""


def turns(orientation: Sequence[str], view: str) -> list[Transpose]:
    """What puts a radiograph upright, in order; nothing where the attributes do not say for sure.

    A frontal view may be mirrored by it, since that is what one reads as dextrocardia. A lateral
    one is only rotated: seen from the other side it is as good.

    Args:
      orientation: PatientOrientation, the directions of rows and of columns; oblique ones, of
        several letters, are left alone.
      view: ViewPosition; empty for an unknown one.
    """
    across = _across(orientation)
    if not across or (view and _VIEWS.get(view) != across):
        return []
    rows, columns = orientation
    found = []
    if rows in _UPRIGHT:
        found.append(Transpose.TRANSPOSE)
        rows, columns = columns, rows
    if columns == "H":
        found.append(Transpose.FLIP_TOP_BOTTOM)
    mirrored = rows == "R" if across == _FRONTAL else len(found) == 1
    return [*found, Transpose.FLIP_LEFT_RIGHT] if mirrored else found


def _across(orientation: Sequence[str]) -> frozenset[str] | None:
    """The pair of directions that one side of the picture shows, if the other is upright."""
    if len(orientation) == 2 and all(len(letters) == 1 for letters in orientation):
        for across in (_FRONTAL, _LATERAL):
            if set(orientation) & across and set(orientation) & _UPRIGHT:
                return across
    return None
