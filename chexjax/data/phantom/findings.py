"""What a phantom can show, and how that maps onto the 14 CheXbert labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from chexjax.data.chexpert_labels import CHEXPERT_14

SEVERITIES = ("mild", "moderate", "severe")
SIDES = ("left", "right", "bilateral")
ZONES = ("upper", "mid", "lower")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of finding: its label, how often it is drawn, and what can be said about it.

    Attributes:
      label: Its CheXbert label.
      weight: Relative frequency among the findings of the phantom.
      sides: Sides of the patient it can be on; empty where a side makes no sense.
      severities: Grades that it is told apart by, out of `SEVERITIES`; empty for none.
      zones: Lung zones it can be in; empty for none.
    """

    label: str
    weight: float = 1.0
    sides: tuple[str, ...] = ()
    severities: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()


KINDS: Mapping[str, Kind] = {
    "cardiomegaly": Kind(label="Cardiomegaly", weight=1.5, severities=SEVERITIES),
    "mediastinum": Kind(label="Enlarged Cardiomediastinum", weight=0.85),
    "effusion": Kind(label="Pleural Effusion", weight=1.7, sides=SIDES, severities=SEVERITIES),
    "pneumothorax": Kind(label="Pneumothorax", weight=1.1, sides=SIDES[:2], severities=SEVERITIES),
    "consolidation": Kind(label="Consolidation", weight=1.5, sides=SIDES[:2], zones=ZONES),
    "atelectasis": Kind(label="Atelectasis", weight=1.1, sides=SIDES),
    "edema": Kind(label="Edema", weight=1.1, severities=SEVERITIES),
    # A nodule is mild and a mass is severe: mistaking one for the other is two grades.
    "lesion": Kind(
        label="Lung Lesion",
        weight=1.1,
        sides=SIDES[:2],
        severities=("mild", "severe"),
        zones=ZONES,
    ),
    "fracture": Kind(label="Fracture", weight=0.85, sides=SIDES[:2]),
    "pacemaker": Kind(label="Support Devices", weight=0.85, sides=SIDES[:2]),
    "catheter": Kind(label="Support Devices", weight=0.85, sides=SIDES[:2]),
    "tube": Kind(label="Support Devices", weight=0.85),
}

LUNG_KINDS = ("consolidation", "atelectasis", "edema", "lesion")
DEVICES = ("pacemaker", "catheter", "tube")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """Something abnormal (or a device) in one study; None where not stated or not applicable."""

    kind: str
    side: str | None = None
    severity: str | None = None
    zone: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The finding as JSON values."""
        return dataclasses.asdict(self)


def labels(kinds: Iterable[str]) -> dict[str, int]:
    """The 14 CheXbert labels (1 present, 0 absent) of a study that shows `kinds`.

    Two labels are not findings of their own. `Lung Opacity` is what it is in the CheXpert
    hierarchy, the parent of consolidation, atelectasis, edema and lesion, so it holds whenever one
    of them does. `No Finding` holds when nothing but support devices is present. `Pneumonia` (a
    diagnosis, not a shadow) and `Pleural Other` are never drawn, so they are always 0.
    """
    present = set(kinds)
    found = {KINDS[kind].label for kind in present}
    if present & set(LUNG_KINDS):
        found.add("Lung Opacity")
    if found <= {"Support Devices"}:
        found.add("No Finding")
    return {label: int(label in found) for label in CHEXPERT_14}
