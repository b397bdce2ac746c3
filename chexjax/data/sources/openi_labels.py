"""From Open-I's MeSH terms to the 14 labels of CheXpert.

Each study of Open-I was read by annotators, who wrote down what is abnormal as MeSH terms with
qualifiers, `Cardiomegaly/mild` or `Opacity/lung/base/left`, or the one word `normal`. So what is
not written down was not seen: a label that no term names is absent, unless a term leaves it open.

The table follows CheXpert's own use of its labels: `Lung Opacity` is a shadow that is called no
more than that; a granuloma is no `Lung Lesion`; surgical clips are no `Support Devices`. Terms that
it does not have (`Scoliosis`, `Calcinosis/aorta`, ...) have no label among the 14.
"""

from __future__ import annotations

from collections.abc import Sequence

from chexjax.data.chexpert_labels import ABSENT, CHEXPERT_14, PRESENT, UNCERTAIN

TERMS: dict[str, tuple[str, ...]] = {
    "Enlarged Cardiomediastinum": ("Mediastinum/prominent", "Mediastinum/enlarged"),
    "Cardiomegaly": ("Cardiomegaly", "Cardiac Shadow/enlarged", "Heart/enlarged"),
    "Lung Opacity": (
        "Opacity",
        "Airspace Disease",
        "Infiltrate",
        "Density/lung",
        "Density/retrocardiac",
        "Markings/interstitial",
        "Lung/interstitial",
        "Cicatrix/lung",
    ),
    "Lung Lesion": ("Nodule", "Mass/lung", "Mass/thorax", "Cavitation"),
    "Edema": ("Pulmonary Edema", "Pulmonary Congestion", "Heart Failure"),
    "Consolidation": ("Consolidation",),
    "Pneumonia": ("Pneumonia",),
    "Atelectasis": ("Pulmonary Atelectasis",),
    "Pneumothorax": ("Pneumothorax", "Hydropneumothorax", "Hemopneumothorax"),
    "Pleural Effusion": (
        "Pleural Effusion",
        "Hydropneumothorax",
        "Hemothorax",
        "Hemopneumothorax",
    ),
    "Pleural Other": (
        "Thickening/pleura",
        "Calcinosis/pleura",
        "Cicatrix/pleura",
        "Deformity/pleura",
        "Pleura",
    ),
    "Fracture": ("Fractures, Bone",),
    "Support Devices": (
        "Catheters, Indwelling",
        "Implanted Medical Device",
        "Medical Device",
        "Tube, Inserted",
        "Stents",
        "Spinal Fusion",
    ),
}
"""Label -> terms that mean it: a heading, and a qualifier that must be among the term's."""

_UNSURE = {
    "Cardiomegaly": ("Cardiomegaly/borderline", "Cardiac Shadow/borderline"),
    "Pleural Effusion": ("Costophrenic Angle/blunted", "Sulcus/blunted"),
}
"""Terms that leave a label uncertain, whatever else they say."""

_OPEN = {
    "Enlarged Cardiomediastinum": ("Cardiomegaly",),
    "Lung Opacity": ("Atelectasis", "Consolidation", "Edema", "Lung Lesion", "Pneumonia"),
}
"""Parents in CheXpert's hierarchy: whether they hold with these labels is left open."""

_NOTHING_SAID = ("No Indexing", "Technical Quality of Image Unsatisfactory")


def labels(terms: Sequence[str]) -> dict[str, int]:
    """The labels of a study from its hand-made (`major`) terms.

    `No Finding` is present where the study is `normal`, absent where another label but
    `Support Devices` is present or uncertain, and left out where all that is named lies outside
    of the 14.

    Returns:
      Label -> 1 present, 0 absent, -1 uncertain; empty where the terms say nothing.
    """
    said = [tuple(part.strip().lower() for part in term.split("/")) for term in terms]
    said = [term for term in said if term[0] not in {name.lower() for name in _NOTHING_SAID}]
    if not said:
        return {}
    found = {name: _value(said, name) for name in CHEXPERT_14 if name != "No Finding"}
    for parent, children in _OPEN.items():
        if found[parent] == ABSENT and any(found[child] != ABSENT for child in children):
            del found[parent]
    others = [value for name, value in found.items() if name != "Support Devices"]
    if any(value != ABSENT for value in others):
        found["No Finding"] = ABSENT
    elif ("normal",) in said:
        found["No Finding"] = PRESENT
    return found


def _value(said: Sequence[tuple[str, ...]], label: str) -> int:
    unsure = [term for term in said if _means(term, _UNSURE.get(label, ()))]
    if any(_means(term, TERMS[label]) for term in said if term not in unsure):
        return PRESENT
    return UNCERTAIN if unsure else ABSENT


def _means(term: tuple[str, ...], patterns: Sequence[str]) -> bool:
    """Whether a term has the heading of a pattern and its qualifier, if that has one."""
    for pattern in patterns:
        heading, _, qualifier = pattern.lower().partition("/")
        if term[0] == heading and (not qualifier or qualifier in term[1:]):
            return True
    return False
