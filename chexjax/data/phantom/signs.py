"""What in the phantom's picture speaks for a finding, as it is drawn."""

from __future__ import annotations

from collections.abc import Mapping

SIGNS: Mapping[str, str] = {
    "cardiomegaly": "the shadow of the heart is too wide for the chest",
    "mediastinum": "the shadow of the upper mediastinum is wider than it should be",
    "effusion": "fluid lies {where}, with a surface that climbs at the side",
    "pneumothorax": "{where} the lung ends at a fine line, with black air and no vessels beyond it",
    "consolidation": "{where} there is a white shadow with a ragged border and air in the bronchi",
    "atelectasis": "plates lie over the diaphragm {where}",
    "edema": "haze spreads from the hila, and the vessels are full",
    "lesion": "a round shadow, a {grade}, stands alone {where}",
    "fracture": "neighbouring ribs {where} are broken, their outer pieces a step lower",
    "pacemaker": "a metal box lies {where}, with leads to the heart",
    "catheter": "a line enters under the collar bone {where} and ends above the heart",
    "tube": "a tube stands in the windpipe, its tip above the carina",
}
"""Kind of finding -> what is seen; `{where}` is a place and `{grade}` a word for the grade."""
